"""Backtests beside the live service: each in a process of its own, which gets what nobody else wants of the machine."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from verify_service import settings
from verify_service.backtest.worker import MOST_S
from verify_service.errors import StoreUnavailable
from verify_service.process import cause_of_end, give_way, kill_group
from verify_service.store.backtests import Job, tell
from verify_service.store.connection import Link
from verify_service.telemetry import log

_FOLDER = "verify-beside-"
_LOOK_S = 1.0
# It ends itself at MOST_S, and then packs its result and stops its stores, which may take long at its priority.
_KILL_S = MOST_S + 120
_LEAVES_S = 10
_OLD_S = 60

_log = log("backtest")


def launch(job: Job) -> None:
    """Runs the job in a process, and returns at once. A thread attends to it while it runs.

    The process ends with this one, however this one ends. It gets no key of ours, and leaves no folder behind.
    """
    threading.Thread(target=_attend, args=(job,), name="backtest", daemon=True).start()


def _attend(job: Job) -> None:
    link = Link(job.url)
    try:
        with _folder() as (folder, lock):
            # Its own thread starts it, and waits: on Linux a child ends with the thread that has started it.
            child = _start(job, folder, lock)
            give_way(child.pid)
            try:
                _watch(link, job.id, child)
            finally:
                _end(child)
        why = f"its process ended with {cause_of_end(child.returncode)}"
    except OSError as error:
        why = f"its process cannot be started: {error.strerror}"
    with suppress(StoreUnavailable):  # Its lease runs out by itself.
        if tell(link, job.id, state="failed", why=why):
            _log.warning("a backtest failed", id=job.id, reason=why)


def _start(job: Job, folder: Path, lock: int) -> "subprocess.Popen[bytes]":
    argv = [sys.executable, "-m", "verify_service.backtest.worker", str(os.getpid()), str(folder)]
    with tempfile.TemporaryFile(dir=folder) as said:
        said.write(msgspec.msgpack.encode(job))
        said.seek(0)
        return subprocess.Popen(
            argv,
            env=settings.inherited_in_part(),
            stdin=said,
            stdout=subprocess.DEVNULL,
            pass_fds=(lock,),
            start_new_session=True,
        )


def _watch(link: Link, id: str, child: "subprocess.Popen[bytes]") -> None:
    """Returns when it has ended, or is to be ended. While it waits for its turn of the processor, this renews its
    lease."""
    deadline = time.monotonic() + _KILL_S
    while time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_LOOK_S)
            return
        with suppress(StoreUnavailable):
            if not tell(link, id):
                return


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_LEAVES_S)
            return
        kill_group(child)
        child.wait()


@contextmanager
def _folder() -> Iterator[tuple[Path, int]]:
    """A folder for what it writes, gone at the end of the block whatever was killed; locked, while anybody of it lives,
    by the descriptor that is given with it. Removes what an earlier one has left whose parent was killed with it."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > _OLD_S and left.stat().st_uid == os.geteuid():
                descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(left)
                finally:
                    os.close(descriptor)
    folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder, descriptor
    finally:
        os.close(descriptor)
        _remove(folder)


def _remove(folder: Path) -> None:
    """With what a store still writes there that is ending."""
    for _ in range(100):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
