"""A role ends when it is asked to: whichever of its threads gets the signal, however many come, and whatever hangs."""

import ctypes
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.dispatching import Post, environment
from tests.support.live import PATIENCE_S, until
from verify_service.embedded import free_port

pytestmark = pytest.mark.slow

TERM, INT = signal.SIGTERM, signal.SIGINT
STORM = [TERM, INT] * 10

linux = pytest.mark.skipif(sys.platform != "linux", reason="sends signals to threads of others")


# The option that says where a role listens, and what there says that it is at work.
AT_WORK = {
    "dispatch": ("--metrics-port", "metrics", b"verify_provider_weight_percent{"),
    "web": ("--port", "healthz", b""),
    "run": ("--port", "readyz", b""),
}


def answers(port: int, path: str, words: bytes) -> bool:
    url = f"http://127.0.0.1:{port}/{path}"
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return words in answer.read()
    return False


@contextmanager
def roles(name: str, count: int, post: Post) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """So many processes of the role, at work; each leads a process group, as in a terminal."""
    option, path, words = AT_WORK[name]
    env = environment(post) | {"VERIFY_API_KEY": "vk_default_0123456789", "VERIFY_STATE_DIR": str(post.folder / "run")}
    if name == "run":
        del env["VERIFY_REDIS_URL"]
    ports = [free_port() for _ in range(count)]
    with ExitStack() as stack:
        started = []
        for port in ports:
            argv = [sys.executable, "-m", "verify_service", name, option, str(port)]
            started.append(subprocess.Popen(argv, env=env, process_group=0))
            stack.callback(started[-1].wait)
            stack.callback(started[-1].kill)
        until(lambda: all(answers(port, path, words) for port in ports))
        yield started


def ends(processes: "Sequence[subprocess.Popen[bytes]]") -> list[int]:
    return [process.wait(PATIENCE_S) for process in processes]


@linux
@pytest.mark.parametrize("name", ["dispatch", "web", "run"])
def test_a_signal_counts_whichever_thread_gets_it(name: str, post: Post) -> None:
    """The system chooses the thread, and when several signals come at once not always the main one: a role that gets
    SIGTERM in any other ends as well, with status 0."""
    with roles(name, 1, post) as [process]:
        main, *others = map(int, os.listdir(f"/proc/{process.pid}/task"))
        assert main == process.pid
        for thread in others:
            ctypes.CDLL(None).tgkill(process.pid, thread, TERM)
        assert ends([process]) == [0]


@pytest.mark.parametrize(("name", "count"), [("dispatch", 3), ("web", 3), ("run", 1)])
def test_a_storm_of_signals_ends_a_role(name: str, count: int, post: Post) -> None:
    """SIGTERM and SIGINT, twenty of them and without a pause, on several processes: each ends, with status 0."""
    with roles(name, count, post) as processes:
        for number in STORM:
            for process in processes:
                process.send_signal(number)
        assert ends(processes) == [0] * len(processes)


def test_ctrl_c_ends_a_web_server_with_all_its_workers(post: Post) -> None:
    """It reaches every process of the terminal's group. The workers leave it to their parent, and are not taken for
    crashed: each server ends with status 0."""
    with roles("web", 2, post) as processes:
        for process in processes:
            os.killpg(process.pid, INT)
        assert ends(processes) == [0, 0]


# What `hearing_signals` promises for itself: its body is `hang` or `leave`, and what it is told is a line.
PROGRAM = """
import os, signal, sys, threading
from verify_service.process import hearing_signals
def say(words):
    os.write(1, (words + os.linesep).encode())
def hang():
    say(f"{os.getpid()} hangs")
    threading.Event().wait()
def fork():
    child = os.fork() or hang()
    say(f"fork ended with {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")
with hearing_signals(lambda number: say(number.name), [signal.SIGTERM, signal.SIGINT], 1):
    {body}
{after}
"""


@contextmanager
def program(body: str, after: str = "") -> "Iterator[subprocess.Popen[str]]":
    text = PROGRAM.replace("{body}", body).replace("{after}", after)
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], process_group=0
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # nothing is left, not even a fork
                os.killpg(process.pid, signal.SIGKILL)


def told(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip()


def test_what_hangs_is_ended_by_the_system() -> None:
    """A process that is asked to end and does not is ended when its time is over, by SIGALRM; another signal on the
    way is heard, and gives it no more time."""
    with program("hang()") as process:
        assert told(process) == f"{process.pid} hangs"
        process.send_signal(TERM)
        assert told(process) == "SIGTERM"
        process.send_signal(INT)
        assert told(process) == "SIGINT"
        assert process.wait(PATIENCE_S) == -signal.SIGALRM


def test_a_process_that_is_leaving_hears_no_signals() -> None:
    """What comes once the work is done does not change the exit status; and leaving takes no longer than ending."""
    with program("pass", "hang()") as process:
        assert told(process) == f"{process.pid} hangs"
        process.send_signal(TERM)
        assert told(process) == ""
        assert process.wait(PATIENCE_S) == -signal.SIGALRM


def test_a_fork_has_its_signals_to_itself() -> None:
    """SIGTERM ends a fork that handles none, and does not ask its parent to end."""
    with program("fork()") as process:
        os.kill(int(told(process).removesuffix(" hangs")), TERM)
        assert told(process) == f"fork ended with {-TERM}"
        assert process.wait(PATIENCE_S) == 0
