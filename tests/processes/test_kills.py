"""Processes that are killed, a store that falls silent, Ctrl-C: nothing that was answered is lost, nothing is left."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import pytest
import redis
import urllib3

from benchmarks.processes import of_folder, roles
from benchmarks.soak import soak
from tests.support.bench import make_bench
from tests.support.concurrency import at_once
from tests.support.live import PATIENCE_S, clean, patient, until
from tests.support.people import People
from verify_service import config, phone
from verify_service.codes import KeyRing, Tagger, new_key
from verify_service.embedded import EmbeddedValkey
from verify_service.inbox import Inbox, Rule
from verify_service.model import Start
from verify_service.policy import file as policy_file
from verify_service.policy.rulebook import fixed
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.clock import SystemClock
from verify_service.testing import RunningServer, VerifyClient, VerifyInbox, start_server

pytestmark = [pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"), pytest.mark.slow]

TO = "+14155550123"
TENANT = "default"


def test_no_start_is_lost_and_no_code_approved_twice_while_processes_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill -9` of the store, the dispatcher, the web server and its workers at random moments of load: every 201 ends
    as sent with its code in the inbox, or as failed; every right code is approved once; no answer is a 5xx but 503;
    all are back, and at the end no process is left. `make soak` is the same for a minute."""
    # How soon is measured there; here, it may take what a machine takes that has other things to do.
    for within in ("ANSWERED_WITHIN_S", "BACK_WITHIN_S"):
        monkeypatch.setattr(f"benchmarks.soak.{within}", 60.0)
    report = soak(tmp_path, seconds=12, seed=36)
    print(report, (tmp_path / "state" / "run.log").read_text())
    assert report.faults == []
    assert report.starts > 20
    assert report.approved > 10
    assert set(report.kills) == {"valkey", "dispatcher", "web parent", "web worker"}


@contextmanager
def dispatcher(env: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """The dispatch role as a process."""
    process = subprocess.Popen([sys.executable, "-m", "verify_service", "dispatch"], env=clean(env))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_what_a_dead_dispatcher_held_is_taken_over(tmp_path: Path) -> None:
    """One dispatcher is killed while its provider is slow with ten messages; the other sends them all, soon, each with
    its own code."""
    keys, tag_key = f"k1:{new_key()}", new_key()
    ring, tagger = KeyRing(keys), Tagger(tag_key)
    with EmbeddedValkey(tmp_path / "valkey") as server:
        store = Store(patient(server.url))
        store.prepare()
        policy = policy_file.parse(policy_file.default_text(), "default policy")
        rules = config.load(None, secrets.token_hex(16))
        service = Service(rules, fixed(policy, tagger), ring, tagger, store.verifications, SystemClock())
        inbox = Inbox(store, ring, tagger)
        inbox.set_behaviour((Rule(to="*", do="slow", delay_ms=120_000),))
        env = {"VERIFY_REDIS_URL": server.url, "VERIFY_KEYS": keys, "VERIFY_TAG_KEY": tag_key}
        client = store.link.client()

        def held() -> dict[str, int]:
            return {one["name"]: one["pending"] for one in client.xinfo_consumers("vs:{0}:outbox", "dispatch")}

        with dispatcher(env) as first:
            numbers = [f"+1415555{n:04d}" for n in range(100, 110)]
            asks = [Start(number=phone.parse(to, None), channel="sms", purpose="login") for to in numbers]
            started = [service.start(TENANT, ask) for ask in asks]
            until(lambda: list(held().values()) == [10])
            with dispatcher(env):
                until(lambda: len(held()) == 2)
                inbox.set_behaviour(())
                first.kill()
                took = until(lambda: store.outbox.depth() == 0)
        # Five looks of a dispatcher are promised, one a second; the rest is for a machine that has other things to do.
        assert took < 60.0
        for to, one in zip(numbers, started, strict=True):
            found = service.status(TENANT, one.id)
            assert [line.event for line in found.timeline] == ["started", "queued", "sent", "delivered"]
            assert [message.verification_id for message in inbox.messages(TENANT, to, None, 0)] == [one.id]


def test_a_killed_store_keeps_every_factor_and_every_used_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kill -9` of the store at any moment of enrolments and checks: whoever was told that a factor is verified has it,
    and no code that was taken is good again."""
    monkeypatch.setattr("verify_service.authenticators._MEMORY_KIB", 64)  # Ten slow hashes an enrolment are not it.
    with EmbeddedValkey(tmp_path / "valkey") as server:
        store = Store(patient(server.url))
        store.prepare()
        people = People(make_bench(store), threading.Event())
        for kills in range(1, 4):
            until(lambda kills=kills: len(people.told) >= 7 * kills)  # type: ignore[misc]
            server.kill()
            server.start()
        people.judge()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningServer]:
    """A service on this machine's clock, which is not asked from the store."""
    service = start_server(tmp_path, {"VERIFY_CLOCK": "system"})
    yield service
    service.stop()


def test_a_silent_store_is_a_503_within_patience_and_recovery_needs_no_restart(running: RunningServer) -> None:
    """While the store is stopped every start and check is refused with 503 and Retry-After, soon. When it goes
    on, the same processes serve again."""
    client = VerifyClient(running.server)
    started = client.start(TO)
    code = VerifyInbox(client).code(TO)
    until(lambda: len(roles(running.server.pid)["web worker"]) == 2, "both workers")
    before = roles(running.server.pid)
    store = before["valkey"][0]
    calls: list[tuple[str, dict[str, str]]] = [("/check", {"id": started["id"], "code": "000000"})]
    calls += [("/start", {"to": f"+1415555{n:04d}"}) for n in range(150, 159)]

    def ask(path: str, body: dict[str, str]) -> tuple[int, dict[str, str], float]:
        began = time.monotonic()
        status, headers, _ = client.request("POST", path, body)
        return status, headers, time.monotonic() - began

    os.kill(store, signal.SIGSTOP)
    try:
        for _ in range(2):
            answers = at_once(*[lambda call=call: ask(*call) for call in calls])
            assert {(status, headers["retry-after"]) for status, headers, _ in answers} == {(503, "1")}
            # Patience is a second; the median, for a machine that has other things to do.
            assert median(seconds for _, _, seconds in answers) < 3.0
        until(lambda: client.request("GET", "/readyz")[0] == 503, "it to be unready")
        assert client.request("GET", "/healthz")[0] == 200
    finally:
        os.kill(store, signal.SIGCONT)
    until(lambda: client.request("GET", "/readyz")[0] == 200, "it to be ready")
    # What lay in the stopped server's buffers came to nothing: no text to anybody who was told 503.
    refused = [body["to"] for path, body in calls if path == "/start"]
    assert [to for to in refused if VerifyInbox(client).messages(to, wait=0.1)] == []
    again = client.start("+14155550160")
    assert client.check(id=again["id"], code=VerifyInbox(client).code("+14155550160"))["approved"]
    assert client.check(id=started["id"], code=code)["approved"]
    assert roles(running.server.pid) == before
    client.close()


def test_two_kills_of_a_worker_in_a_row_are_no_reason_to_end(running: RunningServer) -> None:
    """A worker that is killed, and its successor too, is replaced each time by the same web server, which serves on."""
    client = VerifyClient(running.server)
    parent = roles(running.server.pid)["web parent"]

    def workers() -> list[int]:
        return roles(running.server.pid)["web worker"]

    for _ in range(2):
        until(lambda: len(workers()) == 2, "both workers")
        os.kill(killed := workers()[-1], signal.SIGKILL)
        until(lambda: killed not in workers(), "the killed one to be gone")
    until(lambda: len(workers()) == 2, "both workers")
    assert client.request("GET", "/healthz")[0] == 200
    assert roles(running.server.pid)["web parent"] == parent
    client.close()


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """After SIGINT, though somebody watches the inbox: exit status 0 in a few seconds, and no process, no port, no
    socket and no address of a store is left."""
    running = start_server(tmp_path)
    client = VerifyClient(running.server)
    client.start(TO)
    until(lambda: len(of_folder(tmp_path)) == 6, "all processes")
    watching = threading.Thread(target=_watch, args=(running,))
    watching.start()
    until(lambda: _waiting(tmp_path) == 1)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(PATIENCE_S) == 0
    watching.join(PATIENCE_S)
    assert not watching.is_alive()
    assert of_folder(tmp_path) == []
    address = urlsplit(running.server.url)
    with socket.socket() as probe:
        assert probe.connect_ex((address.hostname or "", address.port or 0)) != 0
    left = {path.name for path in tmp_path.rglob("*") if path.is_socket() or path.name in ("store-url", "metrics")}
    assert left == set()
    client.close()


def _watch(running: RunningServer) -> None:
    """A long poll that ends with its server."""
    with closing(VerifyClient(running.server)) as watcher, suppress(urllib3.exceptions.HTTPError):
        VerifyInbox(watcher).messages("+14155550199", wait=30)


def _waiting(state: Path) -> int:
    """How many long polls are under way, by the store's count of subscribers to the inbox's bell."""
    with redis.Redis.from_url((state / "store-url").read_text().strip()) as store:
        return int(store.pubsub_numsub("vs:inbox")[0][1])
