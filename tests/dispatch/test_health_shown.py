"""What operators see of their providers: health, weights, and what today has come to."""

import json
from collections.abc import Mapping
from itertools import count
from typing import Any, Literal

import pytest

from tests.support.bench import a_start
from tests.support.commands import run
from tests.support.dispatching import ONE, Post, Scripted, report
from tests.support.live import until
from verify_service import config
from verify_service.dispatch.acknowledging import straying
from verify_service.dispatch.health import HealthReporter
from verify_service.errors import StoreUnavailable
from verify_service.model import Receipt
from verify_service.store import Store
from verify_service.store.entries import Came
from verify_service.store.health import Health
from verify_service.telemetry import exposition

pytestmark = pytest.mark.slow

SENDERS = """
[providers.a]
kind = "fake"
[providers.b]
kind = "fake"
[senders.short]
type = "short-code"
address = "43721"
countries = ["US"]
[[routes]]
countries = ["US"]
via = [{ provider = "a", sender = "short" }]
[[routes]]
via = [{ provider = "b" }]
"""


def test_operators_see_health_and_cost(post: Post) -> None:
    """`verify-service providers` shows of each provider and channel its weight and why, answer times, errors, receipts,
    and what today has come to by sender: with prices that came with the message, or with its receipt, once."""
    noon = post.at_noon()
    serial = count(1)
    a = Scripted(lambda _: Receipt(provider_id=f"m{next(serial)}", price=0.0079, segments=2))
    b = Scripted(lambda _: Receipt(provider_id=f"m{next(serial)}"))
    pulse = post.bench.store.health.pulse
    with post.dispatching({"a": a, "b": b}, SENDERS):
        for n in range(2):
            post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
            post.bench.service.start("default", a_start(f"+4479111234{56 + n}"))
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
        for provider in "ab":
            for n in range(1, 5):
                receipt = Receipt(provider_id=f"m{n}", status="delivered" if n < 3 else "failed", price=0.05)
                post.bench.store.deliveries.received(post.bench.clock.now(), provider, receipt)
        today = post.bench.store.health.costs
        until(lambda: _sum(today(post.bench.clock.now())) == 4, "all receipts to be counted")
    for _ in range(2):
        post.bench.clock.advance(1)
        pulse(post.bench.clock.now(), [report("b/sms", errors=3)], [["a/sms", "b/sms"]], {})
    env = {**noon, "VERIFY_REDIS_URL": post.server.url, "VERIFY_CONFIG": str(post.folder / "d1.toml")}
    shown = json.loads(printed("--json", env=env))
    first, second = shown
    assert {name: first[name] for name in ("provider", "channel", "weight_percent", "reason", "errors")} == {
        "provider": "a",
        "channel": "sms",
        "weight_percent": 100,
        "reason": None,
        "errors": 0.0,
    }
    assert (second["weight_percent"], second["reason"]) == (60, "6 tries in a row failed or came too late")
    assert 0 < first["p50_ms"] <= first["p95_ms"]
    assert first["receipts"] + second["receipts"] == 1.0
    told = {"delivered": first["today"][0]["delivered"], "failed": first["today"][0]["failed"]}
    assert first["today"] == [{"sender": "short", "messages": 2, "segments": 4, "price": 0.0158, **told}]
    assert second["today"][0]["price"] == 0.1
    text = printed(env=env)
    assert "a  sms  100 % of its weight\n" in text
    assert "today by short: 2 messages, 4 segments" in text
    assert "b  sms  60 % of its weight since 20" in text


def test_a_weight_that_stays_beside_many_errors_is_explained(post: Post) -> None:
    """The only provider of a route keeps its weight however many of its tries fail; the same line says why."""
    noon = post.at_noon()
    post.bench.store.health.pulse(post.bench.clock.now(), [report("a/sms", ok=2, errors=7)], [["a/sms"]], {})
    file = post.folder / "sole.toml"
    file.write_text(ONE)
    env = {**noon, "VERIFY_REDIS_URL": post.server.url, "VERIFY_CONFIG": str(file)}
    text = printed(env=env)
    first, *_ = text.splitlines()
    assert first == (
        "a  sms  100 % of its weight, although 78% of its tries fail: no other provider of its routes does better"
    )


def test_a_message_counts_once_by_its_last_word(post: Post) -> None:
    """What failed and then arrives has arrived, at the price of one message; what failed on another day stays that
    day's."""
    post.bench.clock.ms = 1_800_057_599_000  # A second before midnight.
    serial = count(1)
    a = Scripted(lambda _: Receipt(provider_id=f"m{next(serial)}"))
    deliveries, health = post.bench.store.deliveries, post.bench.store.health

    def told(number: int, status: Literal["delivered", "failed"]) -> None:
        receipt = Receipt(provider_id=f"m{number}", status=status, price=0.05)
        deliveries.received(post.bench.clock.now(), "a", receipt)

    def today() -> dict[str, int]:
        sums = health.costs(post.bench.clock.now()).get("a//sms", {})
        return {name: sums[name] for name in ("delivered", "failed", "price") if name in sums}

    with post.dispatching({"a": a}):
        for n in range(3):
            post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
        for number in (1, 2, 3):
            told(number, "failed")
        told(1, "delivered")
        until(lambda: today() == {"delivered": 1, "failed": 2, "price": 150_000}, "one to have arrived after all")
        post.bench.clock.advance(1)
        told(2, "delivered")
        until(lambda: today() == {"delivered": 1}, "a new day's first")


def test_a_correction_that_the_store_did_not_take_is_told_again(store: Store) -> None:
    """Sums to add and to take away are kept until the store answers."""
    taken: list[dict[str, int]] = []

    class Silent(Health):
        def pulse(self, _now: int, _reports: object, _groups: object, costs: Mapping[str, int]) -> Any:
            taken.append(dict(costs))
            if len(taken) == 1:
                raise StoreUnavailable("gone")
            return [], []

    pulse = HealthReporter(Silent(store.link, 1000), config.load(None, "k" * 32))
    pulse.came(Came("a//sms", True, False, 7, True))
    with pytest.raises(StoreUnavailable):
        pulse.beat(1)
    pulse.beat(2)
    assert taken == [{"a//sms:delivered": 1, "a//sms:failed": -1, "a//sms:price": 7}] * 2


def test_a_price_that_nobody_told_is_not_nothing(post: Post) -> None:
    """`verify-service providers` shows — and null for a vendor whose answers and receipts hold no price."""
    costs = {"a/short/sms:messages": 2, "a/short/sms:segments": 2, "b//sms:messages": 1, "b//sms:price": 7_900}
    noon = post.at_noon()
    post.bench.store.health.pulse(post.bench.clock.now(), [], [], costs)
    file = post.folder / "verify.toml"
    file.write_text(SENDERS)
    env = {**noon, "VERIFY_REDIS_URL": post.server.url, "VERIFY_CONFIG": str(file)}
    text = printed(env=env)
    assert "today by short: 2 messages, 2 segments, 0 delivered, 0 failed, price —\n" in text
    assert "today by the brand: 1 messages, 0 segments, 0 delivered, 0 failed, $0.01\n" in text
    shown = printed("--json", env=env)
    assert [each["today"][0]["price"] for each in json.loads(shown)] == [None, 0.0079]


def test_what_nobody_could_use_is_counted_and_shown(post: Post) -> None:
    """`verify-service providers` shows of a provider, for the day, receipts whose word is not known, that name no
    message, or one that is none of ours, and texts in no alphabet; the metric has the same, and no other words."""
    noon = post.at_noon()
    deliveries, now = post.bench.store.deliveries, post.bench.clock.now()
    deliveries.all_received(now, "a", [Receipt(provider_id=f"x{n}", status="delivered") for n in range(3)])
    stray = straying(deliveries.strays, post.bench.clock, "a")
    stray("word", "VANISHED")
    stray("word", "LOST")
    stray("nameless", "DELIVRD")
    stray("text", "data_coding 32")
    stray("entry", "in no form that is known", 7)
    file = post.folder / "verify.toml"
    file.write_text(SENDERS)
    env = {**noon, "VERIFY_REDIS_URL": post.server.url, "VERIFY_CONFIG": str(file)}
    text = printed(env=env)
    assert (
        "    today by all channels, told and not used: 7 entries of lists that could not be read, 1 receipts that "
        "name no message, 1 texts that could not be read, "
        "3 receipts whose id matched no message, 2 receipts with a word that is not known\n"
    ) in text
    shown = printed("--json", env=env)
    assert [each["strays"] for each in json.loads(shown)] == [
        {"entry": 7, "nameless": 1, "text": 1, "unmatched": 3, "word": 2},
        {},
    ]
    assert deliveries.strays.today(now + 86_400_000) == {}
    assert exposition(False, {}).decode().count('verify_strays_total{provider="a",why="word"} 2.0') == 1


def printed(*words: str, env: Mapping[str, str]) -> str:
    """What `verify-service providers` prints."""
    done = run("providers", *words, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _sum(today: dict[str, dict[str, int]]) -> int:
    """How many receipts the day has."""
    return sum(sums.get("delivered", 0) + sums.get("failed", 0) for sums in today.values())
