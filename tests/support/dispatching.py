"""What tests of the dispatcher stand on: a Valkey of their own, and providers that do as the test says."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.support.bench import Bench, ManualClock, make_bench
from tests.support.live import PATIENCE_S, clean, patient, until
from verify_service import codes, config
from verify_service.adapters import Provider
from verify_service.codes import KeyRing
from verify_service.dispatch import Dispatcher
from verify_service.dispatch.notices import NoticeGate
from verify_service.embedded import EmbeddedValkey
from verify_service.model import Message, Receipt
from verify_service.store import Store
from verify_service.store.clock import OFFSET_KEY
from verify_service.store.health import HIST_MS, Report

DAY_MS = 86_400_000
ACCEPTED = Receipt()
ONE = '[providers.a]\nkind = "fake"\n'
TWO = f"""{ONE}
[providers.b]
kind = "fake"
[[routes]]
via = [{{ provider = "a", weight = 1 }}, {{ provider = "b", weight = 0 }}]
"""
"""Always a first, and b where a does not take it."""
THREE = """
[providers.a]
kind = "fake"
[providers.b]
kind = "fake"
[providers.c]
kind = "fake"
[[routes]]
via = [{ provider = "a", weight = 1 }, { provider = "b", weight = 0 }]
receipt_within = "20 seconds"
fallback = ["whatsapp", "voice"]
[[routes]]
channel = "whatsapp"
via = [{ provider = "c" }]
receipt_within = "20 seconds"
[[routes]]
channel = "voice"
via = [{ provider = "c" }]
receipt_within = "20 seconds"
"""
"""By text from a, then from b; then by WhatsApp and by voice."""
NO_HIST = (0,) * (len(HIST_MS) + 1)


def accept(_message: Message) -> Receipt:
    return ACCEPTED


@dataclass
class Scripted:
    """A provider that does what `act` says, and keeps what it was asked to send."""

    act: Callable[[Message], Receipt] = accept
    asked: list[Message] = field(default_factory=list)
    closed: bool = False

    def send(self, message: Message) -> Receipt:
        self.asked.append(message)
        return self.act(message)

    def close(self) -> None:
        self.closed = True


def raising(*errors: Exception) -> Callable[[Message], Receipt]:
    """Raises them one after the other, and accepts from then on."""
    left = list(errors)

    def act(_message: Message) -> Receipt:
        if left:
            raise left.pop(0)
        return ACCEPTED

    return act


@contextmanager
def ticking(clock: ManualClock) -> Iterator[None]:
    """Moves the clock as real time goes."""
    stop = threading.Event()

    def tick() -> None:
        last = time.monotonic()
        while not stop.wait(0.01):
            now = time.monotonic()
            clock.advance(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@dataclass
class Post:
    """A service on a Valkey of its own, and the dispatchers that a test starts."""

    server: EmbeddedValkey
    folder: Path
    bench: Bench

    def at_noon(self) -> dict[str, str]:
        """Tomorrow's noon for the bench, and for processes with these settings: no day ends in the middle of a test."""
        now = time.time_ns() // 1_000_000
        self.bench.clock.ms = now - now % DAY_MS + DAY_MS * 3 // 2
        self.bench.store.link.command(0, ["SET", OFFSET_KEY, self.bench.clock.ms - now])
        return {"VERIFY_CLOCK": "virtual"}

    def renew(self, policy: str) -> None:
        """Another policy from here on."""
        self.bench = make_bench(self.bench.store, policy)

    @contextmanager
    def dispatching(
        self,
        providers: Mapping[str, Provider],
        toml: str = ONE,
        name: str = "d1",
        keys: KeyRing | None = None,
        store: Store | None = None,
    ) -> Iterator[threading.Event]:
        """Runs a dispatcher with its own connections, or those of `store`; the event stops it, as the end does."""
        file = self.folder / f"{name}.toml"
        file.write_text(toml)
        store = store or Store(patient(self.server.url))
        operator = config.load(file, None)
        gate = NoticeGate(store.notices, operator, self.bench.tagger, self.bench.clock, self.bench.service.rules)
        made = Dispatcher(store, operator, keys or self.bench.keys, self.bench.clock, providers, name, gate)
        stop = threading.Event()
        thread = threading.Thread(target=made.run, args=(stop,), name=name)
        thread.start()
        try:
            yield stop
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), f"{name} does not stop"

    def timeline(self, verification_id: str) -> list[tuple[str, str | None, str | None]]:
        """(event, provider, reason) of each line."""
        found = self.bench.service.status("default", verification_id).timeline
        return [(line.event, line.provider, line.reason) for line in found]

    def settled(self, verification_id: str) -> list[tuple[str, str | None, str | None]]:
        """The timeline without its beginning, once the outbox is empty."""
        until(lambda: self.bench.store.outbox.depth() == 0, "an empty outbox")
        lines = self.timeline(verification_id)
        assert [event for event, *_ in lines[:2]] == ["started", "queued"]
        return [line for line in lines[2:] if line[0] != "expired"]


def taking(name: str) -> Scripted:
    """Takes every message, and calls them a1, a2 and so on."""
    serial = count(1)

    def take(_message: Message) -> Receipt:
        return Receipt(provider_id=f"{name}{next(serial)}")

    return Scripted(take)


def report(name: str, ok: int = 0, errors: int = 0, came: int = 0, missing: int = 0) -> Report:
    """Good answers and receipts first, then the others."""
    return Report(name, ok + errors, errors, errors, came, missing, missing, NO_HIST)


def environment(post: Post) -> dict[str, str]:
    """Of a dispatcher on the post's store and keys, with the built-in fake provider."""
    ring = f"k1:{codes.new_key()}"
    post.bench = make_bench(post.bench.store, keys=ring)
    return clean() | {"VERIFY_REDIS_URL": post.server.url, "VERIFY_KEYS": ring, "VERIFY_TAG_KEY": codes.new_key()}
