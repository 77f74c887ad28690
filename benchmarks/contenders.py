"""Who is measured beside whom: the bare app, checkouts of verify_service, and services that are not ours.

Each takes a start over HTTP and has its message at a vendor of its own (`sink`), which is asked for the codes; so
nothing here knows what any of them stores. Every store is an embedded Valkey without an append-only file.
"""

import http.client
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.load import drive
from benchmarks.stack import Service, cpu_seconds, running
from benchmarks.traffic import Caller, Callers, post
from verify_service.embedded import EmbeddedValkey, free_port

ARRIVED_WITHIN_S = 60.0
_SIX_DIGITS = re.compile(r"(?<!\d)\d{6}(?!\d)")


class Message(msgspec.Struct):
    """What a vendor is given, as far as it matters here."""

    to: str
    body: str
    verification_id: str = ""

    @property
    def code(self) -> str:
        found = _SIX_DIGITS.search(self.body)
        assert found, self.body
        return found[0]


@dataclass(frozen=True)
class Cost:
    """What `calls` calls took: seconds until the last was answered and its message had arrived, and CPU microseconds a
    call by process."""

    calls: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Calls a second."""
        return self.calls / self.seconds

    @property
    def sum(self) -> float:
        """Without the vendor and the load generator, which are the same for all."""
        return sum(self.cpu[name] for name in ("web", "dispatch", "store"))


@dataclass(frozen=True)
class Contender:
    """One of those that are measured, listening on `port`; `vendor`: the port where its messages arrive."""

    name: str
    port: int
    pids: dict[str, int]
    start: Callable[[Caller], bytes]
    check: Callable[[Message], bytes] | None = None
    vendor: int | None = None
    warm: int = 300
    """How many calls it takes until it costs what it always does."""

    def starts(
        self, callers: Sequence[Caller], connections: int, *, admitted: bool = True
    ) -> tuple[Cost, list[Message]]:
        """Starts for all of them, to the last message's arrival; without `admitted` some may be refused, and no message
        is waited for."""
        requests = [self.start(caller) for caller in callers]
        return self._taken(
            requests, connections, len(callers) if self.vendor and admitted else 0, b"2" if admitted else b"24"
        )

    def checks(self, messages: Sequence[Message], connections: int) -> Cost:
        """The right code of each."""
        assert self.check
        return self._taken([self.check(message) for message in messages], connections, 0, b"2")[0]

    def _taken(
        self, requests: Sequence[bytes], connections: int, arriving: int, statuses: bytes
    ) -> tuple[Cost, list[Message]]:
        before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
        began = time.perf_counter()
        load = drive(self.port, requests, connections, 600, statuses=statuses)
        messages = self._messages(arriving)
        seconds = time.perf_counter() - began
        used = {name: (cpu_seconds(pid) - before[name]) / load.done * 1e6 for name, pid in self.pids.items()}
        return Cost(load.done, seconds, {"web": 0.0, "dispatch": 0.0, "store": 0.0} | used), messages

    def _messages(self, count: int) -> list[Message]:
        found: list[Message] = []
        deadline = time.monotonic() + ARRIVED_WITHIN_S
        while len(found) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {len(found)} of {count} messages arrived")
            connection = http.client.HTTPConnection("127.0.0.1", self.vendor)
            connection.request("GET", "/messages")
            found += msgspec.json.decode(connection.getresponse().read(), type=list[Message])
            connection.close()
            time.sleep(0.005)
        return found


@contextmanager
def bare(folder: Path) -> Iterator[Contender]:
    """The yardstick (`bare`): its start is one call that sends nothing, and a check costs it the same."""
    port = free_port()
    with EmbeddedValkey(folder / "valkey", append_fsync=None) as valkey:
        env = {"BENCH_REDIS_URL": valkey.url}
        with running(folder, "bare", ["benchmarks.bare", str(port)], env, port) as pid:
            pids = {"web": pid, "store": valkey.pid}
            yield Contender("bare", port, pids, lambda caller: post("/set", {"to": caller.to, "ip": caller.ip}, "-"))


@contextmanager
def checkout(folder: Path, name: str, tree: Path | None = None) -> Iterator[Contender]:
    """Both roles of this checkout or another, under the shipped policy."""
    with ExitStack() as stack:
        valkey = stack.enter_context(EmbeddedValkey(folder / "valkey", append_fsync=None))
        service = Service(folder, valkey.url, tree)
        stack.enter_context(service.dispatch())
        port = stack.enter_context(service.web())
        pids = {"web": service.pids["web"], "dispatch": service.pids["dispatch"], "store": valkey.pid}

        def check(message: Message) -> bytes:
            return service.check(message.verification_id, message.code)

        yield Contender(name, port, pids, service.start, check, service.vendor)


def one_round(contender: Contender, callers: Callers, calls: int, connections: int) -> dict[str, Cost]:
    """Starts and then their checks, by the name of the call; without a check, the start's cost stands for both."""
    started, messages = contender.starts([callers.next() for _ in range(calls)], connections)
    checked = contender.checks(messages, connections) if contender.check else started
    return {"start": started, "check": checked}
