"""Processes: what children to run, how to start them, that none outlives its parent; and how one is asked to end."""

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# Loaded before any fork: between fork and exec nothing may be imported.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

ENDS_WITHIN = 25
"""Seconds that a role has from the first signal: more than it takes to drain, less than the 30 it is mostly given."""


_GARBAGE = 10_000


def keep_what_is_built() -> None:
    """What a process has built by now, before it begins its work, is no garbage: the collector looks at none of it
    again, some 80,000 objects, and at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, *gc.get_threshold()[1:])


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process to run. Times are in seconds."""

    name: str
    argv: Sequence[str]
    argv_at_first: Sequence[str] = ()
    """More arguments, until it has answered once."""
    env: Mapping[str, str] | None = None
    """The whole environment; None inherits the parent's."""
    pass_fds: Sequence[int] = ()
    output: Path | None = None
    """The file that standard output and error are appended to; None inherits the parent's."""
    answers: Callable[[], bool] | None = None
    """True once the child does its work; asked again and again while it comes up, so it must return soon."""
    answers_within: float = 15.0
    why_ended: Callable[[], str] | None = None
    """After an end: what can be seen of its reason, in a few words; '' where that is nothing."""
    restart: bool = True
    """False: its end, whatever the reason, is the end of all."""
    stops_within: float = 10.0
    """How long it may take from SIGTERM to its end; then it is killed."""


def spawn(child: Child, *more: str) -> "subprocess.Popen[bytes]":
    """Starts it in a session of its own, so that Ctrl-C reaches only us; its group id is its process id. `more` are
    arguments after its own.

    On Linux it gets SIGTERM when the calling thread ends, however it ends: call this from one that lives on.
    """
    output = None if child.output is None else child.output.open("ab")
    try:
        return subprocess.Popen(
            [*child.argv, *more],
            env=child.env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=child.pass_fds,
            start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    finally:
        if output is not None:
            output.close()


def die_with_parent(parent: int | None = None) -> None:
    """Asks Linux to send this process SIGTERM when its parent is gone, even by `kill -9`; a no-op elsewhere.

    `parent` is the process id that the parent should have: if it is gone already, this process ends at once.
    """
    if _LIBC is None:
        return
    if _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def give_way(pid: int) -> None:
    """The lowest priority for a process and what it starts: it has the processor where nobody else wants it.

    On Linux it is SCHED_IDLE, by which its turns at the disk come last as well (ioprio_set(2)); elsewhere nice 19.
    """
    with suppress(OSError):  # It has ended, or a sandbox does not let us.
        os.setpriority(os.PRIO_PROCESS, pid, 19)
        if sys.platform == "linux":
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


@contextmanager
def hearing_signals(
    act: Callable[[signal.Signals], None], numbers: Collection[signal.Signals], ends_within: int
) -> Iterator[None]:
    """While its body lasts, `act` is called with each of these signals, one after the other, in a thread of its own.

    The first one asks the process to end: where it is still there `ends_within` seconds later, whatever hangs in it,
    the system ends it by SIGALRM. So it does after the body, when these signals are ignored: the process is leaving.
    A fork starts without all this. Only in the main thread, and once in a process.
    """
    # Python calls a handler in the main thread, as soon as that runs on. But the system hands a signal to any thread,
    # and several that come at once often to another: then the main thread may wait for its lock for ever. The byte in
    # the pipe is written by whichever thread was handed the signal. And what takes a lock in a handler, as
    # `threading.Event.set` does, may wait for ever for what the handler has interrupted; in a thread it may not.
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def listen() -> None:
        while True:
            number = os.read(reader, 1)[0]
            if number in numbers:
                _end_within(ends_within)
                act(signal.Signals(number))

    def forget() -> None:
        signal.set_wakeup_fd(-1)
        _handle(numbers, signal.SIG_DFL)

    threading.Thread(target=listen, name="signals", daemon=True).start()
    os.register_at_fork(after_in_child=forget)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    _handle(numbers, lambda *_: None)
    try:
        yield
    finally:
        _handle(numbers, signal.SIG_IGN)
        _end_within(ends_within)


def _handle(numbers: Collection[signal.Signals], handler: "Callable[..., None] | signal.Handlers") -> None:
    for number in numbers:
        signal.signal(number, handler)


def _end_within(seconds: int) -> None:
    """Has the system end this process then, which needs none of its threads; what was said first stands."""
    if not signal.getitimer(signal.ITIMER_REAL)[0]:
        signal.alarm(seconds)


def kill_group(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL to all that is left of what `spawn` started: itself and whatever it has started."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM where only zombies are left
        os.killpg(process.pid, signal.SIGKILL)


def cause_of_end(returncode: int) -> str:
    """'exit status 3' or 'SIGKILL', for a line to a person."""
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def last_lines(output: Path | None, count: int = 8) -> str:
    """The end of a child's output file, indented for an error message; '' where there is none."""
    if output is None or not output.exists():
        return ""
    with output.open("rb") as file:
        file.seek(max(0, output.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").splitlines()
    return "".join(f"\n    {line}" for line in lines[-count:])
