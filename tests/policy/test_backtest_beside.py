"""Backtests beside the live service: one at a time, seen and canceled from anywhere, and nothing left behind."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.support.bench import Bench, a_start, make_bench
from tests.support.live import PATIENCE_S, clean, everything, until
from tests.support.recorded import NUMBERS
from verify_service.backtest import beside, worker
from verify_service.model import Actor
from verify_service.process import give_way
from verify_service.store import Store
from verify_service.store.backtests import Backtest, Backtests, Job
from verify_service.store.connection import Link

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"), pytest.mark.slow]

IN_FORCE = "[code]\nguess_ceiling = 1\n[prices]\ndefault = 0.02\n"
ANN = Actor("ann")
PROPOSED = IN_FORCE + '[block]\nnumbers = ["+14155550199"]\n[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "1/hour"\n'
PARENT = """
import os, signal, sys, time, msgspec
from verify_service.backtest import beside
from verify_service.store.backtests import Job
beside.give_way = lambda pid: (os.kill(pid, signal.SIGSTOP), print(pid, flush=True))
beside.launch(msgspec.json.decode(sys.argv[1], type=Job))
time.sleep(600)
"""


@pytest.fixture
def bench(alone: Store) -> Bench:
    """An hour's traffic under the policy in force: two starts of one address, of which one is approved, and another of
    the last minutes."""
    made = make_bench(alone, IN_FORCE)
    made.clock.advance(1800)
    for number in NUMBERS[:2]:
        begun = made.service.start("default", a_start(number, ip="203.0.113.1"))
        made.clock.advance(1)
    assert made.service.check("default", begun.id, made.code(begun.id), ip=None).approved
    made.clock.advance(3000)
    made.service.start("default", a_start(NUMBERS[0], ip="203.0.113.1"))
    made.clock.advance(60)
    return made


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where backtests lie; the names of sockets must be short."""
    with tempfile.TemporaryDirectory() as made:
        monkeypatch.setattr(tempfile, "tempdir", made)
        yield Path(made)


@pytest.fixture
def backtests(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Backtests:
    """At the priority of the test, which waits for them."""
    monkeypatch.setattr(beside, "give_way", lambda _pid: None)
    return Backtests(bench.store.link, bench.tagger, beside.launch)


def begin(backtests: Backtests, bench: Bench) -> tuple[str, bool]:
    """One over the last hour."""
    return backtests.begin(bench.clock.now(), ANN, 1, PROPOSED, (7, IN_FORCE))


def ended(backtests: Backtests, id: str) -> Backtest:
    """How it ended."""
    until(lambda: found(backtests, id).state != "running")
    return found(backtests, id)


def found(backtests: Backtests, id: str) -> Backtest:
    """One that there is."""
    one = backtests.get(id)
    assert one is not None
    return one


def test_whom_a_change_refuses_is_told_with_what_cannot_be_known(
    bench: Bench, backtests: Backtests, folder: Path
) -> None:
    """Who and what, by country, prefix and hour, from the store's own events. The policy's numbers lie sealed, and the
    folder is gone."""
    id, began = begin(backtests, bench)
    done = ended(backtests, id)
    assert began
    assert (done.state, done.why, done.by, done.revision, done.text) == ("done", "", "ann", 7, PROPOSED)
    assert (done.at - done.since, done.until) == (3_600_000, bench.clock.now())
    assert backtests.latest() == done
    result: Any = done.result
    assert (result["cut"], result["events"], result["proposed"]["starts"]) == (None, 4, 3)
    one = {"refused": 2, "approved_lost": 1, "approved_lost_at_most": 2, "spend_saved": 0.04}
    nothing = {"admitted": 0, "spend_added": 0.0}
    assert result["changed"]["newly_refused"] == 2
    assert result["changed"]["whom"]["country"] == {"US": one | nothing}
    assert result["changed"]["whom"]["prefix"] == {"+1415": one | nothing}
    assert [each["refused"] for each in result["changed"]["whom"]["hour"].values()] == [1, 1]
    assert any(
        sentence.startswith("1 of the refused starts are of the record's last 10") for sentence in result["unknown"]
    )
    assert b"4155550199" not in everything(bench.store)
    until(lambda: not [*folder.iterdir()])


def test_one_runs_at_a_time_and_is_canceled_from_anywhere(
    bench: Bench, backtests: Backtests, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks meanwhile is told which. Another process cancels it, were it never to answer; then another may begin.
    One that is killed says so."""
    monkeypatch.setattr(beside, "_LEAVES_S", 0.1)
    started: Queue[int] = Queue()

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        started.put(pid)

    monkeypatch.setattr(beside, "give_way", stop)
    elsewhere = Backtests(Link(bench.store.link.url), bench.tagger, beside.launch)
    id, _ = begin(backtests, bench)
    started.get(timeout=PATIENCE_S)
    assert begin(elsewhere, bench) == (id, False)
    bob = Actor("bob")
    assert elsewhere.cancel(1, id, bob)
    assert not elsewhere.cancel(1, id, bob)
    assert (found(elsewhere, id).state, found(elsewhere, id).why) == ("canceled", "by bob")
    until(lambda: not [*folder.iterdir()])
    other, began = begin(elsewhere, bench)
    assert began
    os.kill(started.get(timeout=PATIENCE_S), signal.SIGKILL)
    killed = ended(backtests, other)
    assert (killed.state, killed.why) == ("failed", "its process ended with SIGKILL")
    until(lambda: not [*folder.iterdir()])
    assert backtests.get("lease") is None
    assert not backtests.cancel(1, "lease", bob)


def test_it_ends_with_the_worker_that_began_it(bench: Bench, folder: Path) -> None:
    """Even by `kill -9`: no process and no folder is left, and when its lease has run out it counts as lost."""
    jobs: list[Job] = []
    backtests = Backtests(bench.store.link, bench.tagger, jobs.append)
    id, _ = begin(backtests, bench)
    words = [sys.executable, "-c", PARENT, msgspec.json.encode(jobs[0]).decode()]
    with subprocess.Popen(words, env=clean({"TMPDIR": str(folder)}), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
    os.kill(pid, signal.SIGCONT)
    until(lambda: not [*folder.iterdir()])
    until(lambda: not Path(f"/proc/{pid}").exists())
    bench.store.link.command(0, ["PEXPIRE", "vs:{0}:backtest:lease", 0])
    assert found(backtests, id).state == "lost"
    assert begin(backtests, bench)[1]


def test_it_says_where_it_was_cut(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By too many events, and by time: the figures are those of the part that was judged. The record is for nobody
    else to read."""
    now = bench.clock.now()
    job = Job(bench.store.link.url, "bt_0", PROPOSED, IN_FORCE, now - 3_600_000, now)
    monkeypatch.setattr(worker, "MOST_EVENTS", 3)
    paths = [tmp_path / name for name in "ab"]
    cut = worker.judge(job, bench.store.link, paths[0], lambda **_: None)
    assert (cut["cut"], cut["events"], cut["proposed"]["starts"]) == ("events", 3, 2)
    assert paths[0].stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(worker, "MOST_EVENTS", 500)

    def late(**said: int) -> None:
        if said["judged"]:
            monkeypatch.setattr("verify_service.backtest.worker.time", SimpleNamespace(monotonic=lambda: 1e12))

    cut = worker.judge(job, bench.store.link, paths[1], late)
    assert (cut["cut"], cut["events"], cut["proposed"]["starts"]) == ("time", 1, 1)


def test_it_has_the_lowest_priority() -> None:
    """What else there is to do comes first, for the processor and, by its scheduling class, for the disk."""
    process = subprocess.Popen(["sleep", "60"])
    try:
        give_way(process.pid)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 19
        assert os.sched_getscheduler(process.pid) == os.SCHED_IDLE
    finally:
        process.kill()
        process.wait()
    give_way(process.pid)
