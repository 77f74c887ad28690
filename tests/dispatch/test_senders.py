"""How fast a sender sends, whoever sends by it; and where a message goes that would wait too long for its turn."""

import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from benchmarks.delivery import busiest_second
from tests.support.bench import a_start
from tests.support.dispatching import ACCEPTED, Post, Scripted
from tests.support.live import PATIENCE_S, until
from verify_service import config
from verify_service.errors import ConfigError
from verify_service.model import Message, Receipt
from verify_service.policy.file import default_text
from verify_service.store import Store
from verify_service.store.senders import Senders

pytestmark = pytest.mark.slow

TO = "+14155550123"
PROVIDERS = '[providers.a]\nkind = "fake"\n[providers.b]\nkind = "fake"\n'
SHORT = f"""{PROVIDERS}
[senders.short]
type = "short-code"
address = "43721"
per_second = 40
"""
TWO_WAYS = f"""{SHORT}
[[routes]]
via = [{{ provider = "a", sender = "short", weight = 1 }}, {{ provider = "b", weight = 0 }}]
"""
ONE_WAY = f"""{SHORT}
[[routes]]
via = [{{ provider = "a", sender = "short" }}]
"""


def timed() -> tuple[Scripted, list[float]]:
    """A provider, and when it was asked each time."""
    times: list[float] = []

    def act(_message: Message) -> Receipt:
        times.append(time.monotonic())
        return ACCEPTED

    return Scripted(act), times


def test_places_in_a_line_are_a_tenth_slower_than_the_sender(post: Post) -> None:
    """100 a second are told apart by 11.1 ms a segment, over all connections to the store; a place that is further away
    than the caller can wait is not taken, and costs nobody anything."""
    first, second = post.bench.store.senders, Store(post.server.url).senders
    assert first.reserve("s", 100, 1, 0) == 0
    began = time.monotonic()
    waits = [(first, second)[n % 2].reserve("s", 100, 90, 100_000) for n in range(100)]
    passed = time.monotonic() - began
    assert waits[-1] is not None
    assert 0.011111 * (1 + 90 * 99) - passed - 0.05 < waits[-1] < 0.011112 * (1 + 90 * 99)
    for _ in range(5):
        assert first.reserve("s", 100, 1, 10_000) is None
    wait = second.reserve("s", 100, 1, 101_000)
    assert wait is not None
    assert wait < 0.011112 * (1 + 90 * 100)
    assert first.reserve("another", 100, 1, 0) == 0


def full(sender: str) -> float:
    """How many messages the sender had no room for, as this process counted."""
    return REGISTRY.get_sample_value("verify_sender_full_total", {"sender": sender}) or 0.0


def test_a_sender_never_sends_faster_than_it_may(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short code at 40 a second, given 80 a second for six seconds by two dispatchers: no second sees more than
    forty, the excess takes the next way, and everything is sent once."""
    places: list[float] = []
    reserve = Senders.reserve

    def noted(*asked: Any) -> float | None:
        began = time.monotonic()
        wait = reserve(*asked)
        if wait is not None:
            places.append(began + wait)
        return wait

    monkeypatch.setattr(Senders, "reserve", noted)
    a, times = timed()
    b = Scripted()
    providers = {"a": a, "b": b}
    with post.dispatching(providers, TWO_WAYS, "first"), post.dispatching(providers, TWO_WAYS, "second"):
        began = time.monotonic()
        for n in range(480):
            time.sleep(max(0.0, began + n / 80 - time.monotonic()))
            post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
        took = time.monotonic() - began
    # A tenth is left for calls that come after their place. A busy machine may keep one for longer; that says nothing.
    in_time = []
    places.sort()
    for at in sorted(times, reverse=True):
        while places[-1] > at:  # Of one that came too late for it, and took another.
            places.pop()
        if at - places.pop() < 0.1:
            in_time.append(at)
    assert busiest_second(in_time) <= 40
    assert len({message.id for message in a.asked + b.asked}) == len(a.asked) + len(b.asked) == 480
    # It sends 36 a second where messages come for all of the six; on a busy machine they come for longer, in bursts.
    assert 100 < len(a.asked) <= 36 * took + 1
    if b.asked:
        reason = post.timeline(b.asked[0].verification_id)[2]
        assert reason == ("failed-over", "a", "short has no room for 1 s")


def test_an_excess_that_no_other_way_takes_fails_before_its_code_does(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no other way a message waits its turn while its code is of use; one whose turn would come too late fails at
    once, and says why. Nobody waits so long that it would be sent that late."""
    post.renew(default_text().replace('life = "10 minutes"', 'life = "6 seconds"'))
    counted, waits, reserve = full("short"), list[float](), Senders.reserve
    ids = [post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}")).id for n in range(450)]
    a, times = timed()

    def noted(senders: Senders, *args: Any) -> float | None:
        if (wait := reserve(senders, *args)) is not None:
            waits.append(wait)
        return wait

    monkeypatch.setattr(Senders, "reserve", noted)
    with post.dispatching({"a": a}, ONE_WAY):
        began = time.monotonic()
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
        took = time.monotonic() - began
    lines = [post.timeline(each)[2:] for each in ids]
    exhausted = ("failed", None, "short is exhausted until after the code's end")
    sent = sum(line[0] == ("sent", "a", None) for line in lines)
    assert sum(line[0] == exhausted for line in lines) == 450 - sent
    assert len(a.asked) == sent
    assert full("short") - counted == 450 - sent
    assert 60 < sent <= 36 * took + 1
    assert busiest_second(times) <= 40
    assert max(waits) <= 3.0  # Three seconds of its life are left to it then.


def test_who_misses_the_turn_takes_another_place(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that comes too late for its turn is not sent then, but asks for another place in the line."""
    monkeypatch.setattr("verify_service.dispatch.attempts.MISSED_S", -1.0)  # Everybody is too late,
    reserve, waits = Senders.reserve, list[float | None]()

    def noted(senders: Senders, name: str, per_second: float, segments: int, most_ms: int) -> float | None:
        if not waits:
            reserve(senders, name, per_second, 9, most_ms)  # Others were first.
        waits.append(reserve(senders, name, per_second, segments, most_ms))
        if len(waits) == 2:
            monkeypatch.setattr("verify_service.dispatch.attempts.MISSED_S", PATIENCE_S)  # but once.
        return waits[-1]

    monkeypatch.setattr(Senders, "reserve", noted)
    a = Scripted()
    with post.dispatching({"a": a}, ONE_WAY):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("sent", "a", None)]
    assert len(waits) == 2
    assert len(a.asked) == 1


def test_a_sender_is_used_where_it_may_be(post: Post) -> None:
    """A way whose sender does not serve the country is none, and one with letters does not serve the United States."""
    named = f"""{PROVIDERS}
        [senders.us]
        type = "toll-free"
        address = "+18005550100"
        countries = ["US"]
        [senders.brand]
        type = "alphanumeric"
        address = "Acme"
        [[routes]]
        via = [{{ provider = "a", sender = "brand" }}, {{ provider = "b", sender = "us" }}]
    """
    a, b = Scripted(), Scripted()
    with post.dispatching({"a": a, "b": b}, named):
        for to in (TO, "+14155550124", "+447911123456", "+447911123457"):
            post.bench.service.start("default", a_start(to))
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    assert {message.to for message in b.asked} == {TO, "+14155550124"}
    assert {message.to for message in a.asked} == {"+447911123456", "+447911123457"}


@pytest.mark.parametrize(
    ("countries", "route"), [('["US"]', '["*"]'), ('["*"]', '["US", "DE"]')], ids=["sender", "route"]
)
def test_letters_are_refused_where_carriers_refuse_them(tmp_path: Path, countries: str, route: str) -> None:
    """An alphanumeric sender that is meant for the United States or Canada stops the start, with the fix."""
    file = tmp_path / "verify.toml"
    file.write_text(f"""{PROVIDERS}
        [senders.brand]
        type = "alphanumeric"
        address = "Acme"
        countries = {countries}
        [[routes]]
        countries = {route}
        via = [{{ provider = "a", sender = "brand" }}]
    """)
    with pytest.raises(ConfigError, match="brand is alphanumeric, and carriers in US refuse those; use a short code"):
        config.load(file, None)
