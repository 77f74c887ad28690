"""Where nothing happens the service does next to nothing, and with the first message it is as quick as ever."""

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import a_start
from tests.support.dispatching import Post, Scripted
from tests.support.live import until
from verify_service.dispatch.dispatcher import BEAT_S, CALM_S
from verify_service.gateway import Gateway
from verify_service.store.health import Health
from verify_service.store.outbox import Outbox

pytestmark = pytest.mark.slow


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a dispatcher has renewed its lease (`claim`), looked for what is carried (`carry`) and asked how the
    providers do (`pulse`)."""
    counts: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def counted(*args: Any) -> Any:
            counts[name] += 1
            return real(*args)

        monkeypatch.setattr(owner, name, counted)

    for owner, name in ((Outbox, "claim"), (Outbox, "carry"), (Health, "pulse")):
        count(owner, name)
    return counts


def test_a_dispatcher_looks_seldom_until_a_message_comes(post: Post, asked: Counter[str]) -> None:
    """For what is carried once with each beat, and for how the providers do every fifth time; for the former four
    times as often while a message lives that may be approved."""
    began = time.monotonic()
    with post.dispatching({"a": Scripted()}):
        until(lambda: asked["claim"] >= 4, "four beats")
        carries, pulses = asked["carry"], asked["pulse"]
        took = time.monotonic() - began
        assert carries <= took / BEAT_S + 2
        assert pulses <= took / CALM_S + 2
        started = post.bench.service.start("default", a_start("+14155550123"))
        assert post.settled(started.id) == [("sent", "a", None)]
        asked.clear()
        until(lambda: asked["carry"] > 2 * asked["claim"] + 4, "it to look more often")


def test_who_watches_bodies_rests_while_there_is_none() -> None:
    """The thread is not woken up once, however long no request comes."""
    known = set(threading.enumerate())
    Gateway(lambda _environ, _start: [], 1)
    [thread] = [each for each in threading.enumerate() if each not in known and each.name == "bodies"]
    status = Path(f"/proc/self/task/{thread.native_id}/status")

    def asleep() -> bool:
        return "State:\tS" in status.read_text()

    until(asleep, "it to rest")
    time.sleep(0.3)
    [before] = [line for line in status.read_text().splitlines() if line.startswith("voluntary")]
    time.sleep(0.5)
    assert before in status.read_text().splitlines()
