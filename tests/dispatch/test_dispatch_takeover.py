"""Several dispatchers, dead ones, slow providers, a store that goes away: nothing is lost, nothing sent needlessly."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.bench import a_start, make_bench
from tests.support.dispatching import ACCEPTED, ONE, Post, Scripted
from tests.support.live import PATIENCE_S, clean, until
from tests.support.vendor import Vendor
from verify_service import __version__, codes
from verify_service.dispatch import dispatcher
from verify_service.model import Message, Receipt, TimelineEvent
from verify_service.store.entries import Entry, Settlement
from verify_service.store.outbox import Outbox
from verify_service.store.url import shown

pytestmark = pytest.mark.slow

TO = "+14155550123"
HOUR_MS = 3_600_000
DISPATCHER = "verify_service.dispatch.dispatcher"
READER = "verify_service.dispatch.reader"
CLAIM = Outbox.claim


@pytest.fixture
def quick_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispatcher counts as dead after 1.5 s, or thirty beats: one that lives on a busy machine misses a few."""
    monkeypatch.setattr(f"{READER}.IDLE_MS", 1500)
    monkeypatch.setattr(f"{DISPATCHER}.BEAT_S", 0.05)


def test_a_dead_dispatchers_messages_are_taken_over_in_five_seconds(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a dispatcher held when it died is taken over by another within five of its looks, one a second, however
    much it was, and sent."""
    looks: list[int] = []

    def claim(outbox: Outbox, *args: Any) -> list[Entry]:
        found = CLAIM(outbox, *args)
        looks.append(len(found))
        return found

    monkeypatch.setattr(Outbox, "claim", claim)
    assert dispatcher.BEAT_S == 1.0
    ids = [post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}")).id for n in range(300)]
    taken = post.bench.store.outbox.take(0, "dead", 300, 0)
    assert len(taken) == 300
    a = Scripted()
    with post.dispatching({"a": a}):
        until(lambda: len(a.asked) == 300, "all messages to be sent")
        assert sum(looks[:5]) == 300
        assert post.settled(ids[0]) == [("sent", "a", None)]
    assert {message.verification_id for message in a.asked} == set(ids)


def test_what_ended_before_the_takeover_is_not_sent_again(post: Post) -> None:
    """Where the dead dispatcher had sent the message and the person has used it, nothing more is sent."""
    started = post.bench.service.start("default", a_start(TO))
    post.bench.store.outbox.take(0, "dead", 1, 0)
    assert post.bench.service.check("default", started.id, post.bench.code(started.id)).approved
    a = Scripted()
    with post.dispatching({"a": a}):
        assert post.settled(started.id)[-1] == ("failed", None, "nobody waited for it any more")
    assert a.asked == []


def test_a_claim_looks_past_what_the_living_hold(post: Post) -> None:
    """Thousands of messages that a living dispatcher works on do not hide the dead one's."""
    outbox = post.bench.store.outbox
    client = post.bench.store.link.client()
    post.bench.service.start("default", a_start(TO))
    entries: Any = client.xrange("vs:{0}:outbox")
    [(_, fields)] = entries
    for _ in range(12_000):
        client.xadd("vs:{0}:outbox", fields)
    living: list[Any] = [entry.entry for entry in outbox.take(0, "living", 12_000, 0)]
    [last] = outbox.take(0, "dead", 10, 0)
    client.xclaim("vs:{0}:outbox", "dispatch", "living", 0, living, idle=HOUR_MS, justid=True)
    client.xclaim("vs:{0}:outbox", "dispatch", "dead", 0, [last.entry], idle=HOUR_MS, justid=True)
    outbox.refresh(0, "living", living)
    assert [entry.entry for entry in outbox.claim(0, "heir", HOUR_MS, 100)] == [last.entry]


@pytest.mark.usefixtures("quick_beat")
def test_a_slow_send_stays_with_its_dispatcher(post: Post) -> None:
    """As long as a dispatcher lives, no other takes over what it is still sending, also while it drains."""
    sending, answer = threading.Event(), threading.Event()

    def slow(_message: Message) -> Receipt:
        sending.set()
        assert answer.wait(PATIENCE_S)
        return ACCEPTED

    first, second = Scripted(slow), Scripted()
    with post.dispatching({"a": first}, name="first") as stop:
        started = post.bench.service.start("default", a_start(TO))
        assert sending.wait(PATIENCE_S)
        with post.dispatching({"a": second}, name="second"):
            time.sleep(2.0)  # Longer than the time after which it would count as dead.
            stop.set()
            time.sleep(2.0)
            answer.set()
            assert post.settled(started.id) == [("sent", "a", None)]
    assert (len(first.asked), len(second.asked)) == (1, 0)


@pytest.mark.usefixtures("quick_beat")
def test_a_send_that_outlasts_the_drain_is_left_to_another(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispatcher ends in time even where a provider hangs, and the message is sent by another one."""
    monkeypatch.setattr(f"{DISPATCHER}.DRAIN_S", 0.3)
    sending, release = threading.Event(), threading.Event()

    def hang(_message: Message) -> Receipt:
        sending.set()
        release.wait()
        return ACCEPTED

    hanging, a = Scripted(hang), Scripted()
    try:
        with post.dispatching({"a": hanging}, name="first") as stop:
            started = post.bench.service.start("default", a_start(TO))
            assert sending.wait(PATIENCE_S)
            stop.set()
        assert hanging.closed
        assert not release.is_set()
        with post.dispatching({"a": a}, name="second"):
            assert post.settled(started.id) == [("sent", "a", None)]
    finally:
        release.set()
    assert hanging.asked == a.asked


def test_settling_twice_counts_once(post: Post) -> None:
    """Who settles an entry that another has settled writes nothing: neither timeline nor events stream."""
    started = post.bench.service.start("default", a_start(TO))
    [entry] = post.bench.store.outbox.take(0, "d1", 10, 0)
    settlement = Settlement(entry, [TimelineEvent(at=post.bench.clock.now(), event="sent", provider="a")])
    events = post.bench.store.link.client()
    post.bench.store.outbox.settle([settlement])
    after_one = events.xlen("vs:{0}:events")
    post.bench.store.outbox.settle([settlement, settlement])
    assert post.settled(started.id) == [("sent", "a", None)]
    assert events.xlen("vs:{0}:events") == after_one
    pending = events.xpending("vs:{0}:outbox", "dispatch")
    assert pending["pending"] == 0


def test_two_dispatchers_share_the_load(post: Post) -> None:
    """Each message is sent by one of them, once."""
    first_asked, second_asked = threading.Event(), threading.Event()

    def meeting(mine: threading.Event, other: threading.Event) -> Callable[[Message], Receipt]:
        def act(_message: Message) -> Receipt:
            mine.set()
            assert other.wait(PATIENCE_S)
            return ACCEPTED

        return act

    first, second = Scripted(meeting(first_asked, second_asked)), Scripted(meeting(second_asked, first_asked))
    with post.dispatching({"a": first}, name="first"), post.dispatching({"a": second}, name="second"):
        client = post.bench.store.link.client()
        until(lambda: len(client.xinfo_consumers("vs:{0}:outbox", "dispatch")) == 2, "both to ask for messages")
        for n in range(400):
            post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    ids = Counter(message.id for message in first.asked + second.asked)
    assert (len(ids), set(ids.values())) == (400, {1})
    assert first.asked
    assert second.asked


def test_a_slow_provider_gets_the_threads_that_it_needs(post: Post) -> None:
    """Forty sends wait at the provider at the same time."""
    together = threading.Barrier(40)

    def wait_for_all(_message: Message) -> Receipt:
        together.wait(PATIENCE_S)
        return ACCEPTED

    a = Scripted(wait_for_all)
    with post.dispatching({"a": a}):
        for n in range(40):
            started = post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
        assert post.settled(started.id) == [("sent", "a", None)]
    assert not together.broken


def test_a_provider_that_hangs_delays_no_other(post: Post) -> None:
    """While hundreds of messages wait for one provider, which never answers, another country's provider sends."""
    release = threading.Event()

    def hang(_message: Message) -> Receipt:
        release.wait()
        return ACCEPTED

    routes = f"""{ONE}
        [providers.b]
        kind = "fake"
        [[routes]]
        countries = ["US"]
        via = [{{ provider = "a" }}]
        [[routes]]
        via = [{{ provider = "b" }}]
    """
    sent = threading.Event()

    def tell(_message: Message) -> Receipt:
        sent.set()
        return ACCEPTED

    with post.dispatching({"a": Scripted(hang), "b": Scripted(tell)}, routes):
        try:
            for n in range(300):
                post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
            post.bench.service.start("default", a_start("+447911123456"))
            assert sent.wait(PATIENCE_S)
        finally:
            release.set()
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")


def test_a_store_that_goes_away_and_comes_back_loses_nothing(post: Post) -> None:
    """The store is killed in the middle of the work: afterwards, without a restart, everything is sent and settled."""
    ids = [post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}")).id for n in range(200)]
    begun, go_on = threading.Event(), threading.Event()

    def stop_at_the_tenth(_message: Message) -> Receipt:
        if len(a.asked) >= 10:
            begun.set()
            go_on.wait(PATIENCE_S)
        return ACCEPTED

    a = Scripted(stop_at_the_tenth)
    with post.dispatching({"a": a}):
        assert begun.wait(PATIENCE_S)
        post.server.kill()
        go_on.set()
        post.server.start()
        until(post.bench.store.link.client().ping, "the store to answer")
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    sent: dict[str, set[str]] = {}
    for message in a.asked:
        sent.setdefault(message.verification_id, set()).add(message.code)
    assert set(sent) == set(ids)
    assert all(len(shown) == 1 for shown in sent.values())
    assert all(("sent", "a", None) in post.timeline(found) for found in ids)


def test_sigterm_drains_a_dispatcher(post: Post, vendor: Vendor) -> None:
    """A dispatcher that is told to end finishes what it is sending, settles it and exits with 0. Its log says when it
    began, with its version and store, when it drains, and when it stops."""
    asked, answer = threading.Event(), threading.Event()

    def in_the_end() -> tuple[int, dict[str, str], bytes]:
        asked.set()
        answer.wait(PATIENCE_S)
        return 204, {}, b""

    vendor.answer = in_the_end
    ring = f"k1:{codes.new_key()}"
    post.bench = make_bench(post.bench.store, keys=ring)
    post.bench.clock.ms = int(time.time() * 1000)
    config = post.folder / "verify.toml"
    config.write_text(f'[providers.hook]\nkind = "webhook"\nurl = "{vendor.url}"\nsecret = "env:HOOK"\n')
    env = clean() | {
        "VERIFY_REDIS_URL": post.server.url,
        "VERIFY_KEYS": ring,
        "VERIFY_TAG_KEY": codes.new_key(),
        "VERIFY_CONFIG": str(config),
        "HOOK": f"whsec_{codes.new_key()}",
    }
    log = (post.folder / "dispatch.log").open("w+b")
    process = subprocess.Popen([sys.executable, "-m", "verify_service", "dispatch"], env=env, stderr=log)
    try:
        started = post.bench.service.start("default", a_start(TO))
        assert asked.wait(PATIENCE_S)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert process.poll() is None
        answer.set()
        assert process.wait(PATIENCE_S) == 0
        assert post.settled(started.id) == [("sent", "hook", None)]
        assert len(vendor.requests) == 1
        log.seek(0)
        said = {line["event"]: line for line in map(json.loads, log)}
        first = said["dispatching"]
        where = {"version": __version__, "store": shown(post.server.url), "providers": ["hook"]}
        assert {name: first[name] for name in where} == where
        assert "@" not in first["store"]
        assert (said["draining"]["sends"], said["draining"]["waiting"], said["stopped"]["left"]) == (1, 0, 0)
    finally:
        process.kill()
        process.wait()
        log.close()
