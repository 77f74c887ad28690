"""What waits for a provider that hangs or fails costs nobody else anything, and is neither lost nor late."""

import gc
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from statistics import median
from typing import Any

import pytest

from tests.support.bench import a_start, make_bench
from tests.support.dispatching import ACCEPTED, ONE, TWO, Post, Scripted, raising
from tests.support.live import PATIENCE_S, clean, until
from tests.support.vendor import Vendor
from verify_service import codes
from verify_service.dispatch.backlog import Backlog
from verify_service.dispatch.job import Job
from verify_service.dispatch.planner import DeliveryPath
from verify_service.dispatch.reader import CLAIM_MOST
from verify_service.errors import StoreUnavailable, Unavailable
from verify_service.model import Message, Receipt
from verify_service.store.entries import Entry
from verify_service.store.layouts import Content
from verify_service.store.outbox import Outbox

pytestmark = pytest.mark.slow

TO, ABROAD = "+14155550123", "+447911123456"
OUTBOX = "vs:{0}:outbox"
DISPATCHER = "verify_service.dispatch.dispatcher"
READER = "verify_service.dispatch.reader"
APART = f"""{ONE}
[providers.b]
kind = "fake"
[[routes]]
countries = ["US"]
via = [{{ provider = "a" }}]
[[routes]]
via = [{{ provider = "b" }}]
"""
"""The United States by a, all others by b."""


class Hanging(Scripted):
    """Answers nobody until it is released; then it takes everything."""

    def __init__(self) -> None:
        super().__init__(self._hang)
        self.release = threading.Event()

    def _hang(self, _message: Message) -> Receipt:
        self.release.wait()
        return ACCEPTED


@pytest.fixture
def small_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two messages on their way are all that a provider has room for, and none that waits is kept whole."""
    monkeypatch.setattr("verify_service.dispatch.rooms.ROOM", 2)
    monkeypatch.setattr("verify_service.dispatch.backlog.WHOLE", 0)


def backlog(post: Post, count: int) -> None:
    """So many messages to one number in the United States."""
    post.bench.service.start("default", a_start(TO))
    client = post.bench.store.link.client()
    entries: Any = client.xrevrange(OUTBOX, count=1)
    [(_, fields)] = entries
    pipe = client.pipeline(transaction=False)
    for _ in range(count - 1):
        pipe.xadd(OUTBOX, fields)
    pipe.execute()


def starts(post: Post, count: int) -> list[str]:
    """So many numbers in the United States; the ids of their verifications."""
    return [post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}")).id for n in range(count)]


@pytest.mark.parametrize("way", ["hangs", "errs"])
def test_ten_thousand_that_wait_for_one_provider_delay_no_other(post: Post, way: str) -> None:
    """They stand before it in the same stream, for a provider that never answers, or that refuses at once whatever it
    is asked: another country's message is sent all the same, about as soon as it was without them."""
    a = hanging = Hanging()
    if way == "errs":
        a = Scripted(raising(*[Unavailable("HTTP 503")] * 100_000))  # type: ignore[assignment]
    b = Scripted()
    with post.dispatching({"a": a, "b": b}, APART) as stop:
        try:
            took = []
            for n in range(20):
                if n == 10:
                    backlog(post, 10_000)
                began = time.monotonic()
                post.bench.service.start("default", a_start(f"+4479111234{56 + n}"))
                until(lambda n=n: len(b.asked) == n + 1, "the message by the other provider")  # type: ignore[misc]
                took.append(time.monotonic() - began)
            alone, beside = median(took[:10]), median(took[10:])
            assert beside < 1.0 + 5 * alone  # What a busy machine takes, it takes of both.
            assert post.bench.store.outbox.depth() >= 9_900
            stop.set()
        finally:
            hanging.release.set()


@pytest.mark.usefixtures("small_rooms")
def test_what_waited_is_sent_once_its_provider_answers(post: Post) -> None:
    """All of it, each once, though only two were on their way and the others known by their place alone."""
    ids = starts(post, 40)
    a = Hanging()
    with post.dispatching({"a": a}):
        until(lambda: len(a.asked) == 2, "the room to be full")
        a.release.set()
        post.settled(ids[0])
    assert sorted(message.verification_id for message in a.asked) == sorted(ids)


@pytest.mark.usefixtures("small_rooms")
def test_what_dies_while_it_waits_is_told_in_time(post: Post) -> None:
    """The code's life ends in front of a provider that hangs: the message is settled, with its reason, without it."""
    ids = starts(post, 10)
    a = Hanging()
    with post.dispatching({"a": a}):
        try:
            until(lambda: len(a.asked) == 2, "the room to be full")
            until(lambda: post.bench.store.link.client().xpending(OUTBOX, "dispatch")["pending"] == 10, "all to wait")
            post.bench.clock.advance(601)
            until(lambda: post.bench.store.outbox.depth() == 2, "the eight that wait to be settled")
            asked = {message.verification_id for message in a.asked}
            for each in set(ids) - asked:
                assert ("failed", None, "expired before it was sent") in post.timeline(each)
        finally:
            a.release.set()
    assert len(a.asked) == 2


@pytest.mark.usefixtures("small_rooms")
def test_countries_take_turns_at_one_provider(post: Post) -> None:
    """Fifty of one country wait before one of another: that is among the next to go when there is room."""
    starts(post, 50)
    a = Hanging()
    with post.dispatching({"a": a}):
        until(lambda: len(a.asked) == 2, "the room to be full")
        post.bench.service.start("default", a_start(ABROAD))
        client = post.bench.store.link.client()
        until(lambda: client.xpending(OUTBOX, "dispatch")["pending"] == 51, "all to wait")
        a.release.set()
        until(lambda: len(a.asked) == 51, "all to be sent")
    assert ABROAD in [message.to for message in a.asked[2:7]]


@pytest.mark.usefixtures("small_rooms")
def test_what_has_no_room_goes_the_next_way_at_once(post: Post) -> None:
    """Where another provider has room, nobody waits for one that is full; the timeline says why."""
    a, b = Hanging(), Scripted()
    with post.dispatching({"a": a, "b": b}, TWO):
        try:
            full = starts(post, 2)
            until(lambda: len(a.asked) == 2, "the room to be full")
            started = post.bench.service.start("default", a_start(TO))
            until(lambda: ("sent", "b", None) in post.timeline(started.id), "the message to be sent")
            assert post.timeline(started.id)[2:] == [("failed-over", "a", "no room in its lane"), ("sent", "b", None)]
        finally:
            a.release.set()
        post.settled(full[0])


def test_a_living_dispatchers_backlog_is_its_own_and_a_dead_ones_is_taken_over(
    post: Post, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dispatcher process holds 3,000 messages for a provider that hangs; another leaves them alone while it lives.
    Killed, it leaves them all to the other within five of that one's looks, one a second."""
    release = threading.Event()

    def hang() -> tuple[int, dict[str, str], bytes]:
        release.wait(PATIENCE_S)
        return 204, {}, b""

    vendor.answer = hang
    ring = f"k1:{codes.new_key()}"
    post.bench = make_bench(post.bench.store, keys=ring)
    post.bench.clock.ms = int(time.time() * 1000)
    backlog(post, 3_000)
    config = post.folder / "verify.toml"
    config.write_text(f"""
        [providers.hook]
        kind = "webhook"
        url = "{vendor.url}"
        secret = "env:HOOK"
        timeout = "60 seconds"
    """)
    env = {
        **clean(),
        "VERIFY_REDIS_URL": post.server.url,
        "VERIFY_KEYS": ring,
        "VERIFY_TAG_KEY": codes.new_key(),
        "VERIFY_CONFIG": str(config),
        "HOOK": f"whsec_{codes.new_key()}",
    }
    claim, claimed, looks = Outbox.claim, list[Entry](), list[int]()

    def claiming(outbox: Outbox, *args: Any) -> list[Entry]:
        claimed.extend(found := claim(outbox, *args))
        if len(found) < CLAIM_MOST:  # The last call of a look.
            looks.append(len(claimed))
        return found

    monkeypatch.setattr(Outbox, "claim", claiming)
    process = subprocess.Popen([sys.executable, "-m", "verify_service", "dispatch"], env=env)
    client = post.bench.store.link.client()

    def held() -> dict[str, int]:
        return {each["name"].decode(): each["pending"] for each in client.xinfo_consumers(OUTBOX, "dispatch")}

    try:
        until(lambda: 3_000 in held().values(), "all to be taken")
        a = Scripted()
        with post.dispatching({"a": a}, name="heir"):
            time.sleep(4.0)  # Longer than the time after which what nobody keeps is claimed.
            assert a.asked == []
            process.send_signal(signal.SIGKILL)
            process.wait()
            before = len(looks)
            until(lambda: len(claimed) == 3_000, "all to be taken over")
            assert len(looks) - before <= 5
            until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    finally:
        process.kill()
        process.wait()
        release.set()


def test_what_was_taken_and_not_heard_of_is_looked_up(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store gives entries to a dispatcher that hears no answer: it lives, so nobody claims them, and finds them
    itself."""
    monkeypatch.setattr(f"{READER}.IDLE_MS", 300)
    monkeypatch.setattr(f"{DISPATCHER}.BEAT_S", 0.05)
    ids = starts(post, 5)
    real, unheard = Outbox.take, [StoreUnavailable("no answer")]

    def take(self: Outbox, *args: Any) -> list[Entry]:
        found = real(self, *args)
        if unheard:
            raise unheard.pop()
        return found

    monkeypatch.setattr(Outbox, "take", take)
    a = Scripted()
    with post.dispatching({"a": a}):
        assert post.settled(ids[0]) == [("sent", "a", None)]
    assert sorted(message.verification_id for message in a.asked) == sorted(ids)


@pytest.mark.usefixtures("small_rooms")
def test_what_is_too_much_even_to_put_aside_stays_in_the_outbox(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound nothing of a message is kept here; it is found in the outbox when there is place again."""
    monkeypatch.setattr(f"{READER}.IDLE_MS", 300)
    monkeypatch.setattr(f"{DISPATCHER}.BEAT_S", 0.05)
    for module in ("backlog", "reader"):
        monkeypatch.setattr(f"verify_service.dispatch.{module}.MOST", 10)
    ids = starts(post, 60)
    a = Hanging()
    with post.dispatching({"a": a}):
        client = post.bench.store.link.client()
        until(lambda: client.xpending(OUTBOX, "dispatch")["pending"] == 60, "all to be read")
        a.release.set()
        post.settled(ids[0])
    assert sorted(message.verification_id for message in a.asked) == sorted(ids)


def test_a_message_that_waits_takes_half_a_kilobyte() -> None:
    """At most: 100,000 of them, the bound, take less than 50 MB."""
    way = DeliveryPath("a", None, "sms")
    ways = [way]
    gc.collect()
    tracemalloc.start()
    try:
        parking = Backlog()
        for n in range(5_000):
            content = Content("n" * 64, "US", "6", "en")
            entry = Entry(0, f"1795938315699-{n}", f"ve_{n:024}", "default", "login", "sms", "k1", "n" * 22,
                          b"t" * 60, 1_795_938_915_699 + n, content)  # fmt: skip
            parked = parking.put_aside(Job(entry, [ways], 0.0), ways)
            assert parked is not None
            parking.add(parked._replace(entry=None))
            del entry, parked
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / 5_000 < 500


def test_an_outage_is_two_lines_in_the_log(
    post: Post, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """However many tries fail: a warning when the provider is down, with the reason, and a line when it is back."""
    monkeypatch.setattr("verify_service.dispatch.failover.BACKOFF_S", (0.01,) * 40)
    a = Scripted(raising(*[Unavailable("HTTP 503")] * 30))
    with post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id)[-1] == ("sent", "a", None)
    said = "".join(capsys.readouterr())
    assert (said.count("a try failed"), said.count("provider is down"), said.count("provider is back")) == (2, 1, 1)
    assert "HTTP 503" in said
    assert "failures=30" in said or '"failures":30' in said
