"""The supervisor, on real processes and real signals. Each runs in a process of its own, as `run` does."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

import pytest
import redis

from tests.support.live import PATIENCE_S, until

pytestmark = pytest.mark.slow

REPO = Path(__file__).parents[2]

linux = pytest.mark.skipif(sys.platform != "linux", reason="waits for processes of others, which needs pidfd")

PROLOGUE = '''
import pathlib, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Whoever runs the tests under `nohup` passes on that it is ignored.
from verify_service import supervisor
from verify_service.embedded import EmbeddedValkey
from verify_service.supervisor import Child, Supervisor

FOLDER = pathlib.Path(sys.argv[1])

# Says its name and process id, answers by a file of its name, and says when it was asked to stop. Each line is one
# write, so that lines of several do not mix.
POLITE = """
import os, pathlib, signal, sys
def say(words):
    os.write(1, (f"{sys.argv[1]} {words}" + os.linesep).encode())
def stop(*_):
    say("stops")
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
say(f"is {os.getpid()}")
pathlib.Path(sys.argv[2], sys.argv[1]).touch()
while True:
    signal.pause()
"""
# Does not care to be asked.
RUDE = POLITE.replace("os._exit(0)", "")

def child(name, program=POLITE, **more):
    more = {"answers": (FOLDER / name).exists, **more}
    return Child(name=name, argv=[sys.executable, "-c", program, name, str(FOLDER)], **more)

def run(*children):
    sys.exit(Supervisor(children, on_ready=lambda: print("ready", flush=True)).run())
'''


@dataclass
class Run:
    """A supervisor under test: its process, and the lines that it and its children have said."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)

    def until(self, start: str) -> str:
        """Reads on to the next line that starts so, and gives the rest of it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith(start):
                return line.removeprefix(start).strip()
        raise AssertionError(f"it ended without saying {start!r}: {self.lines}")

    def pid_of(self, name: str) -> int:
        """The process id that the child says next."""
        return int(self.until(f"{name} is "))

    def signal(self, number: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def ends(self) -> int:
        """Waits for its end, and gives its exit status."""
        assert self.process.stdout is not None
        self.lines += self.process.stdout.read().splitlines()
        return self.process.wait()


class Supervised(Protocol):
    def __call__(self, program: str) -> Run: ...


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    """Starts a program that ends with `run(...)`. A test that hangs fails when our patience ends."""
    processes = []

    def start(program: str) -> Run:
        process = subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + program, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPO,
        )
        processes.append(process)
        return Run(process)

    def out_of_patience(number: int, frame: object) -> None:
        raise TimeoutError(f"not done in {PATIENCE_S:g} s")

    before = signal.signal(signal.SIGALRM, out_of_patience)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield start
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        for process in processes:
            process.kill()
            process.communicate()


def answers(client: "redis.Redis") -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_starts_in_order_and_stops_in_reverse(supervised: Supervised, number: signal.Signals) -> None:
    """Each child is started when the one before it answers; one signal to the supervisor alone ends them all,
    the last one first, with status 0 and no process left."""
    run = supervised("run(child('a', 'import time; time.sleep(0.3)' + POLITE), child('b'), child('c'))")
    pids = {name: run.pid_of(name) for name in "abc"}
    run.until("ready")
    assert all(os.getsid(pid) == pid for pid in pids.values()), "Ctrl-C must not reach a child by itself"
    run.signal(number)
    assert run.ends() == 0
    assert run.lines == [
        *(f"{name} is {pid}" for name, pid in pids.items()),
        "ready",
        "c stops",
        "b stops",
        "a stops",
    ]
    assert all(map(gone, pids.values()))


def test_a_killed_child_is_back_within_a_second(supervised: Supervised) -> None:
    """Each `kill -9` of a child is noticed, and another one begun, mostly within a second even on a machine that has
    other things to do; the others go on undisturbed."""
    run = supervised("run(child('a'), child('b'))")
    kept, pid = run.pid_of("a"), run.pid_of("b")
    run.until("ready")
    took = []
    for _ in range(5):
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        assert run.until("verify-service: ") == f"b (process {pid}) ended with SIGKILL; starting it again"
        took.append(time.monotonic() - killed)
        pid = run.pid_of("b")
    assert median(took) < 1
    run.signal()
    assert run.ends() == 0
    assert [line for line in run.lines if line.startswith("a ")] == [f"a is {kept}", "a stops"]
    assert gone(pid)


@linux
def test_what_a_dead_child_started_dies_too(supervised: Supervised) -> None:
    """A killed child's own processes are killed with it, so that its successor finds the port free."""
    start_worker = "print('worker is', subprocess.Popen(['sleep', '60'], stdout=-3).pid, flush=True)"
    run = supervised(f"run(child('a', {'import subprocess; ' + start_worker!r} + POLITE))")
    worker, pid = os.pidfd_open(run.pid_of("worker")), run.pid_of("a")
    run.until("ready")
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(worker)
    worker = os.pidfd_open(run.pid_of("worker"))
    run.pid_of("a")
    run.signal()
    assert run.ends() == 0
    wait_until_gone(worker)


def test_a_child_that_does_not_stop_is_killed(supervised: Supervised) -> None:
    """A child that ignores SIGTERM is killed when its own time to stop is over, and that is said."""
    run = supervised("run(child('a', RUDE, stops_within=2))")
    pid = run.pid_of("a")
    run.until("ready")
    run.signal()
    assert run.ends() == 0
    assert run.lines[-2:] == ["a stops", f"verify-service: a (process {pid}) is killed"]
    assert gone(pid)


def test_a_second_ctrl_c_hurries(supervised: Supervised) -> None:
    """A second SIGINT kills at once what the first one was still waiting for."""
    run = supervised("run(child('a', RUDE, stops_within=60))")
    pid = run.pid_of("a")
    run.until("ready")
    run.signal()
    run.until("a stops")
    run.signal()
    assert run.ends() == 0
    assert gone(pid)


def test_a_child_that_dies_at_once_is_tried_for_ever(supervised: Supervised, tmp_path: Path) -> None:
    """However often it dies, with what can be seen of the reason and pauses that grow to a bound; where the reason has
    gone, it lives on."""
    dies = "import pathlib, sys\nif not pathlib.Path(sys.argv[2], 'room').exists(): exit(3)\n"
    run = supervised(
        "supervisor._LONGEST_PAUSE = 1.1\n"
        f"run(child('a'), child('b', {dies!r} + POLITE, answers=None, why_ended=lambda: 'no room'))"
    )
    kept = run.pid_of("a")
    deaths = [run.until("verify-service: b ") for _ in range(22)]
    assert all("ended with exit status 3 (no room); starting it again" in death for death in deaths)
    assert not deaths[0].endswith(" s")
    assert deaths[-1].endswith("starting it again in 1 s")
    (tmp_path / "room").touch()
    pid = run.pid_of("b")
    run.signal()
    assert run.ends() == 0
    assert [line for line in run.lines if line.startswith("a ")] == [f"a is {kept}", "a stops"]
    assert gone(pid)


def test_a_child_that_is_killed_again_and_again_is_back_without_a_pause(supervised: Supervised) -> None:
    """Who is killed at work has not failed, however often it comes: only one that ends at once is waited for."""
    run = supervised("supervisor._AT_ONCE = 0.0\nrun(child('a', answers=None))")
    for _ in range(12):
        os.kill(run.pid_of("a"), signal.SIGKILL)
        assert run.until("verify-service: a ").endswith("ended with SIGKILL; starting it again")
    run.pid_of("a")
    run.signal()
    assert run.ends() == 0


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("child('b', 'exit(3)')", "b ended with exit status 3 before it answered"),
        ("child('b', POLITE, answers=bool, answers_within=0.1)", "b did not answer in 0.1 s"),
        ("child('b', 'exit(0)', answers=None, restart=False)", "b ended with exit status 0"),
        ("child('b', 'exit(2)', answers=None)", "b ended with exit status 2"),
        ("Child(name='b', argv=['/nowhere'])", "b cannot be started ([Errno 2] No such file or directory"),
    ],
)
def test_a_wrong_setting_stops_all_at_once(supervised: Supervised, broken: str, why: str) -> None:
    """A child that never answers, cannot be started, or must not end but does, stops all with one line."""
    run = supervised(f"run(child('a'), {broken})")
    pid = run.pid_of("a")
    assert run.until("verify-service: ").startswith(why)
    assert run.ends() == 1
    assert run.lines[-1] == "a stops"
    assert gone(pid)


def test_the_embedded_store_comes_back_with_its_data(supervised: Supervised, tmp_path: Path) -> None:
    """Valkey under the supervisor: killed, it is back on the same socket with all that was answered; Ctrl-C
    leaves no process and no socket."""
    run = supervised("""
store = EmbeddedValkey(FOLDER / "store")
print("url is", store.url, flush=True)
try:
    run(store.child)
finally:
    store.close()
""")
    url = run.until("url is")
    run.until("ready")
    with redis.Redis.from_url(url, retry=None) as client:
        client.set("a", "1")
        pid = client.info("server")["process_id"]
        os.kill(pid, signal.SIGKILL)
        run.until(f"verify-service: valkey (process {pid}) ended with SIGKILL")
        until(lambda: answers(client), "the store to be back")
        assert client.get("a") == b"1"
        pid = client.info("server")["process_id"]
    run.signal()
    assert run.ends() == 0
    assert gone(pid)
    assert not (tmp_path / "store" / "valkey.sock").exists()


@linux
def test_nothing_outlives_a_supervisor_that_is_killed(supervised: Supervised) -> None:
    """`kill -9` of the supervisor asks all its children to stop."""
    run = supervised("run(child('a'), child('b'))")
    pids = [os.pidfd_open(run.pid_of(name)) for name in "ab"]
    run.until("ready")
    run.signal(signal.SIGKILL)
    for pid in pids:
        wait_until_gone(pid)
    assert run.ends() == -signal.SIGKILL
    assert sorted(run.lines[-2:]) == ["a stops", "b stops"]


def wait_until_gone(pidfd: int) -> None:
    """Returns when the process has ended; fails when our patience has."""
    try:
        assert select.select([pidfd], [], [], PATIENCE_S)[0], "still running"
    finally:
        os.close(pidfd)
