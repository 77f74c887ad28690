"""What tests of live processes need: a free port, waiting with a deadline, a dispatcher at work beside a bench."""

import random
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.conftest import Bench
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


def free_port() -> int:
    """A port of 127.0.0.1 that is free, from below the range that outgoing connections draw from."""
    for port in random.sample(range(10_000, 32_000), 100):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port in 100 tries")


def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    """Returns once it holds; fails when it does not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not true within {seconds:g} s"
        time.sleep(0.02)


def everything(store: Store) -> bytes:
    """All keys and values of a single server, as bytes to search in."""
    client: Any = store.link.client()
    return b"".join(key + client.dump(key) for key in client.scan_iter(count=1000))


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
        thread.join(30)
        assert not thread.is_alive()
