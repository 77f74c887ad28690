"""What is measured, running: the two roles of verify_service with a vendor behind them, and the bare app beside."""

import base64
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import redis

from benchmarks.traffic import Caller, post
from verify_service.codes import KeyRing, new_api_key, new_key
from verify_service.embedded import EmbeddedValkey, free_port
from verify_service.process import Child, kill_group, last_lines, spawn
from verify_service.store.connection import Link
from verify_service.store.layouts import Record

PATIENCE_S = 30.0
_CONFIG = '[providers.vendor]\nkind = "webhook"\nurl = "http://127.0.0.1:{port}/"\nsecret = "env:VENDOR_SECRET"\n'


@contextmanager
def running(folder: Path, name: str, argv: Sequence[str], env: Mapping[str, str], port: int | None) -> Iterator[int]:
    """A Python process of ours until the end of the block, listening on `port` where one is given; its process id."""
    with program(folder, name, [sys.executable, "-m", *argv], env, port) as pid:
        yield pid


@contextmanager
def program(folder: Path, name: str, argv: Sequence[str], env: Mapping[str, str], port: int | None) -> Iterator[int]:
    """The same of any program."""
    output = folder / f"{name}.log"
    process = spawn(Child(name=name, argv=argv, env={**os.environ, **env}, output=output))
    try:
        deadline = time.monotonic() + PATIENCE_S
        while port is not None and not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not start:{last_lines(output)}")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(PATIENCE_S)
        finally:
            kill_group(process)


def python_of(tree: Path | None) -> tuple[list[str], dict[str, str]]:
    """What calls verify_service of this checkout or another, and the environment that it needs."""
    if tree is None:
        return [sys.executable, "-m", "verify_service"], {}
    own = tree.resolve() / ".venv/bin/python"
    command = [str(own) if own.exists() else sys.executable, "-m", "verify_service"]
    # Safe: it and its children find the checkout's own package, and not the one where this was called.
    return command, {"PYTHONPATH": str(tree.resolve()), "PYTHONSAFEPATH": "1"}


class Service:
    """A running verify_service: a store's address, keys of its own, and the processes that are up, by role. With `tree`
    the roles are those of that checkout, run by its own `.venv` where it has one."""

    def __init__(self, folder: Path, redis_url: str, tree: Path | None = None, policy: Path | None = None) -> None:
        self.folder = folder
        self.redis_url = redis_url
        self.api_key = new_api_key("default")
        self.vendor = free_port()
        self._keys = f"k1:{new_key()}"
        self._ring = KeyRing(self._keys)
        self._config = folder / "verify.toml"
        self._config.write_text(_CONFIG.format(port=self.vendor))
        self.pids: dict[str, int] = {}
        self._env = {
            "VERIFY_KEYS": self._keys,
            "VERIFY_TAG_KEY": new_key(),
            "VERIFY_API_KEY": self.api_key,
            "VERIFY_CONFIG": str(self._config),
            "VENDOR_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        if policy is not None:
            self._env["VERIFY_POLICY"] = str(policy)
        self._python, more = python_of(tree)
        self._env |= more

    @cached_property
    def store(self) -> redis.Redis:
        """A connection to a store that is a single server."""
        return redis.Redis.from_url(self.redis_url)

    @contextmanager
    def web(self, redis_url: str | None = None, workers: int = 2) -> Iterator[int]:
        """The web role, on another way to the store where one is given; its port."""
        port = free_port()
        argv = [*self._python, "web", "--port", str(port), "--workers", str(workers)]
        env = self._env | {"VERIFY_REDIS_URL": redis_url or self.redis_url}
        with program(self.folder, f"web-{port}", argv, env, port) as self.pids["web"]:
            yield port

    @contextmanager
    def dispatch(self) -> Iterator[None]:
        """The dispatch role and the vendor that it sends to."""
        env = self._env | {"VERIFY_REDIS_URL": self.redis_url}
        vendor = ["benchmarks.sink", str(self.vendor)]
        with (
            running(self.folder, "vendor", vendor, {}, self.vendor) as self.pids["vendor"],
            program(self.folder, "dispatch", [*self._python, "dispatch"], env, None) as self.pids["dispatch"],
        ):
            link = Link(self.redis_url)
            wait_until(lambda: bool(link.command(0, ["EXISTS", "vs:{0}:dispatcher"])), "the dispatcher to live")
            yield

    def start(self, caller: Caller) -> bytes:
        """The request of a start."""
        return post("/start", {"to": caller.to, "ip": caller.ip}, self.api_key)

    def check(self, verification_id: str, code: str) -> bytes:
        """The request of a check."""
        return post("/check", {"id": verification_id, "code": code}, self.api_key)

    def checks(self, answers: Sequence[bytes]) -> list[bytes]:
        """For each answer of a start, the request that checks its right code.

        A code is nowhere to be read: it is derived, as the dispatcher does it, from the nonce and the key ring.
        """
        ids = [msgspec.json.decode(answer)["id"] for answer in answers]
        pipe = self.store.pipeline(transaction=False)
        for verification_id in ids:
            pipe.get(f"vs:{{0}}:verification:{verification_id}")
        requests = []
        for found, packed in zip(ids, pipe.execute(), strict=True):
            record = Record.open(packed)
            code = self._ring.code(record.kid, record.nonce, record.tenant, record.purpose, 6)
            requests.append(self.check(found, code))
        return requests

    def drained(self) -> float:
        """Waits until no message is queued; how many seconds that took."""
        began = time.monotonic()
        wait_until(lambda: self.store.xlen("vs:{0}:outbox") == 0, "the dispatcher to send what is queued")
        return time.monotonic() - began


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Returns once it is true. Raises TimeoutError, after five minutes: this machine may be busy."""
    deadline = time.monotonic() + 300
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited five minutes for {what}")
        time.sleep(0.01)


@dataclass(frozen=True)
class Sides:
    """verify_service and the bare app, each listening on its port; `bare_pids` are the yardstick's processes."""

    service: Service
    port: int
    bare: int
    bare_pids: dict[str, int]


@contextmanager
def side_by_side(folder: Path) -> Iterator[Sides]:
    """Both sides at once, each with an embedded Valkey of its own, set alike."""
    with ExitStack() as stack:
        mine, theirs = (stack.enter_context(EmbeddedValkey(folder / name)) for name in ("valkey", "bare-valkey"))
        service, bare = Service(folder, mine.url), free_port()
        stack.enter_context(service.dispatch())
        port = stack.enter_context(service.web())
        service.pids["valkey"] = mine.pid
        env = {"BENCH_REDIS_URL": theirs.url}
        pid = stack.enter_context(running(folder, "bare", ["benchmarks.bare", str(bare)], env, bare))
        yield Sides(service, port, bare, {"web": pid, "valkey": theirs.pid})


def cpu_seconds(leader: int) -> float:
    """The CPU time that a process and all of its session have used so far; 0 where there is no /proc to say so."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
