"""Child processes: what to run, how to start it, and that none outlives its parent."""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

# Loaded before any fork: between fork and exec nothing may be imported.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@dataclass(frozen=True, kw_only=True)
class Child:
    """One process to run. Times are in seconds."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    """The whole environment; None inherits the parent's."""
    pass_fds: Sequence[int] = ()
    output: Path | None = None
    """The file that standard output and error are appended to; None inherits the parent's."""
    answers: Callable[[], bool] | None = None
    """True once the child does its work; asked again and again while it comes up, so it must return soon."""
    answers_within: float = 15.0
    restart: bool = True
    """False: its end, whatever the reason, is the end of all."""
    stops_within: float = 10.0
    """How long it may take from SIGTERM to its end; then it is killed."""


def spawn(child: Child) -> "subprocess.Popen[bytes]":
    """Starts it in a session of its own, so that Ctrl-C reaches only us; its group id is its process id.

    On Linux it gets SIGTERM when the calling thread ends, however it ends: call this from one that lives on.
    """
    output = None if child.output is None else child.output.open("ab")
    try:
        return subprocess.Popen(
            child.argv,
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


def deferred(act: Callable[[], None]) -> Callable[..., None]:
    """A signal's handler that has `act` called once, in a thread of its own.

    A handler runs between two steps of what it interrupts, another handler included. What takes a lock there, as
    `threading.Event.set` does, may wait for ever for the one it has interrupted; `SimpleQueue.put` takes none.
    """
    asked: queue.SimpleQueue[None] = queue.SimpleQueue()

    def wait() -> None:
        asked.get()
        act()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return lambda *_: asked.put(None)


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
