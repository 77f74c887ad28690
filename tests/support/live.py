"""What tests of live processes need: waiting with a deadline, a dispatcher at work beside a bench."""

import os
import secrets
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from tests.support.bench import Bench
from verify_service.adapters import Provider
from verify_service.dispatch import Dispatcher
from verify_service.inbox import Inbox
from verify_service.providers.fake import FakeProvider
from verify_service.store import Store

# A policy to begin with, for tests that push others.
BASE = """
[code]
digits = 6
[[limit]]
name = "number"
of = ["number"]
allow = "5/10 minutes; 10/day"
[[limit]]
name = "ip"
of = ["ip"]
allow = "30/hour"
"""


# Seconds that a test waits for what must happen: so long that only a fault lets it end, however busy the machine.
PATIENCE_S = 300.0


def patient(url: str) -> str:
    """A server's URL, for a store that waits for its answers as long: a second is short where a disk is busy."""
    return f"{url}?socket_timeout={PATIENCE_S:g}"


def until(true: Callable[[], object], what: str = "it to hold", patience: float = PATIENCE_S) -> float:
    """Waits until it holds, at most our patience; how many seconds that took. Raises AssertionError."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() < began + patience, f"waited {patience:g} s for {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def clean(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, in which nothing of the service is set but `env`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("VERIFY_")} | dict(env or {})


def everything(store: Store) -> bytes:
    """All keys and values of a single server, as bytes to search in."""
    client: Any = store.link.client()
    return b"".join(key + (client.dump(key) or b"") for key in client.scan_iter(count=1000))


def contents(client: Any) -> dict[bytes, tuple[bytes, int]]:
    """Each key with its value, and with when it goes by itself: milliseconds of the server's clock, or -1."""
    keys = list(client.scan_iter(count=1000))
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.pexpiretime(key).dump(key)
    told = pipe.execute()
    found = zip(keys, told[1::2], told[::2], strict=True)
    return {key: (value, end) for key, value, end in found if value is not None}


def changed(client: Any, before: Mapping[bytes, tuple[bytes, int]]) -> set[bytes]:
    """The keys that are not as they were before. What has come to its own end meanwhile is none of them."""
    after = contents(client)
    seconds, micros = client.time()
    now, none = seconds * 1000 + micros // 1000, (None, -1)
    gone = {key for key, (_, end) in before.items() if 0 <= end <= now}
    return {key for key in {*before, *after} - gone if before.get(key, none)[0] != after.get(key, none)[0]}


@contextmanager
def dispatching(bench: Bench) -> Iterator[Inbox]:
    """A real dispatcher with the fake provider, under the bench's keys and clock; gives its inbox."""
    inbox = Inbox(bench.store, bench.keys, bench.tagger)
    providers: dict[str, Provider] = {}
    made = Dispatcher(bench.store, bench.service.config, bench.keys, bench.clock, providers, secrets.token_hex(4))
    providers["fake-a"] = FakeProvider("fake-a", inbox, bench.clock, made.report("fake-a"))
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        yield inbox
    finally:
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def scraped(port: int) -> list[str]:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode()).splitlines()
    return []
