"""How weights shift away from a provider that does badly, and back: by what all dispatchers see of it together."""

import json
import subprocess
import sys
import time
from itertools import count

import pytest

from tests.conftest import ManualClock, a_start
from tests.dispatching import ONE, Post, Scripted, ticking
from tests.live import until
from tests.test_policy_live import clean
from verify_service.errors import Unavailable
from verify_service.model import Message, Receipt
from verify_service.store import Store
from verify_service.store.health import HIST_MS, Report

HALF = f"""{ONE}
[providers.b]
kind = "fake"
[[routes]]
via = [{{ provider = "a" }}, {{ provider = "b" }}]
"""
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
SERIAL = count()
GROUPS = (("a/sms", "b/sms"), ("c/sms",))
NO_HIST = (0,) * (len(HIST_MS) + 1)


class Watch:
    """Reports to a store's health, second by second."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock()
        self.factors: dict[str, int] = {}
        self.probes: set[str] = set()
        self.reasons: list[str] = []

    def second(self, *reports: Report, seconds: float = 1) -> None:
        self.clock.advance(seconds)
        standings, shifts = self.store.health.pulse(self.clock.now(), reports, GROUPS, {})
        self.factors = {each.name: each.factor for each in standings}
        self.probes = {each.name for each in standings if each.probe}
        self.reasons += [f"{each.name} {each.before} {each.after} {each.reason}" for each in shifts]


def report(name: str, ok: int = 0, errors: int = 0, came: int = 0, missing: int = 0) -> Report:
    """Good answers and receipts first, then the others."""
    return Report(name, ok + errors, errors, errors, came, missing, missing, NO_HIST)


@pytest.fixture
def watch(post: Post) -> Watch:
    return Watch(post.bench.store)


def test_a_provider_that_fails_loses_its_weight_in_five_seconds(watch: Watch) -> None:
    """Three failures in a row are enough, on the quietest service; 20 points a second, and each shift says why."""
    watch.second(report("a/sms", errors=2), report("b/sms", ok=2))
    assert watch.factors == {"a/sms": 100, "b/sms": 100, "c/sms": 100}
    watch.second(report("a/sms", errors=1))
    assert watch.factors["a/sms"] == 80
    watch.second(seconds=0.5)
    assert watch.factors["a/sms"] == 80
    for _ in range(5):
        watch.second()
    assert watch.factors == {"a/sms": 0, "b/sms": 100, "c/sms": 100}
    steps = [(100, 80), (80, 60), (60, 40), (40, 20), (20, 0)]
    assert watch.reasons == [f"a/sms {a} {b} 3 tries in a row failed or came too late" for a, b in steps]


def test_a_third_of_errors_among_many_tries_is_too_much(watch: Watch) -> None:
    """30 % of the tries of some ten seconds; one error in ten is nobody's business."""
    for _ in range(20):
        watch.second(Report("a/sms", 10, 1, 0, 0, 0, 0, NO_HIST), report("b/sms", ok=10))
    assert watch.factors["a/sms"] == 100
    for _ in range(3):
        watch.second(Report("a/sms", 10, 9, 0, 0, 0, 0, NO_HIST), report("b/sms", ok=10))
    assert watch.factors["a/sms"] < 100
    assert watch.reasons[0].endswith("% of tries failed or came too late")


def test_where_all_of_a_route_fail_nobody_is_blamed(watch: Watch) -> None:
    """A route whose providers all fail, and one with a single provider, keep their weights: it is not the provider."""
    for _ in range(10):
        watch.second(*(report(name, errors=5) for name in ("a/sms", "b/sms", "c/sms")))
    assert watch.factors == {"a/sms": 100, "b/sms": 100, "c/sms": 100}
    watch.second(report("b/sms", ok=100), report("a/sms", errors=5))
    assert watch.factors == {"a/sms": 80, "b/sms": 100, "c/sms": 100}


def test_it_comes_back_by_a_probe_and_drifts_to_its_full_weight(watch: Watch) -> None:
    """Down, one message every two seconds is let through; one that is taken brings 10 points, and so do ten seconds
    without a complaint."""
    for _ in range(6):
        watch.second(report("a/sms", errors=3), report("b/sms", ok=3))
    assert watch.factors["a/sms"] == 0
    probed = []
    for _ in range(6):
        watch.second(seconds=1)
        probed.append("a/sms" in watch.probes)
    assert probed.count(True) == 3
    watch.second(report("a/sms", errors=1))
    assert watch.factors["a/sms"] == 0
    watch.second(seconds=30)
    watch.second(report("a/sms", ok=1))
    assert watch.factors["a/sms"] == 10
    for points in range(20, 101, 10):
        watch.second(seconds=9.999)
        assert watch.factors["a/sms"] == points - 10
        watch.second(seconds=0.001)
        assert watch.factors["a/sms"] == points
    assert watch.reasons[-1] == "a/sms 90 100 does well again"


def test_once_back_it_is_not_blamed_for_the_messages_that_had_been_let_through(watch: Watch) -> None:
    """Failed probes do not weigh on the first good seconds."""
    for _ in range(6):
        watch.second(report("a/sms", errors=3), report("b/sms", ok=3))
    for _ in range(10):
        watch.second(report("a/sms", errors=1), report("b/sms", ok=3), seconds=2)
    for _ in range(9):
        watch.second(report("a/sms", ok=2), report("b/sms", ok=3))
        assert watch.factors["a/sms"] == 10


def test_receipts_that_stay_out_are_missed_where_they_used_to_come(watch: Watch) -> None:
    """A provider whose receipts came and come no more is down in seconds, and back with a message that arrives; one
    that never gave any is left alone."""
    for _ in range(10):
        watch.second(report("a/sms", ok=5, came=5), report("b/sms", ok=5, missing=5))
    assert watch.factors == {"a/sms": 100, "b/sms": 100, "c/sms": 100}
    for _ in range(8):
        watch.second(report("a/sms", ok=5, missing=5), report("b/sms", ok=5))
    assert watch.factors == {"a/sms": 0, "b/sms": 100, "c/sms": 100}
    assert watch.reasons[0] == "a/sms 100 80 5 messages in a row without a receipt that they arrived"
    watch.second(seconds=120)
    watch.second(report("a/sms", ok=1))
    assert watch.factors["a/sms"] == 0
    watch.second(report("a/sms", ok=1, came=1))
    assert watch.factors["a/sms"] == 10


def test_every_shift_is_an_event(watch: Watch) -> None:
    """With provider, channel, both weights and the reason, in the recorded traffic, where each event has an id."""
    watch.second(report("a/sms", errors=3), report("b/sms", ok=1))
    [event] = [each for each in watch.store.events.read(0) if each["event"] == "shifted"]
    assert {name: event[name] for name in ("id", "provider", "channel", "from", "to", "reason")} == {
        "id": "a/sms",
        "provider": "a",
        "channel": "sms",
        "from": "100",
        "to": "80",
        "reason": "3 tries in a row failed or came too late",
    }
    assert event["at"] == watch.clock.now() / 1000


def test_a_dispatcher_turns_away_from_what_fails_and_lets_one_message_try_it(post: Post) -> None:
    """A provider that fails is asked no more after some seconds, but for one message at a time; once it takes that, it
    gets messages again."""
    down = True

    def fail(_message: Message) -> Receipt:
        if down:
            raise Unavailable("down")
        return Receipt()

    a, b = Scripted(fail), Scripted()
    with post.dispatching({"a": a, "b": b}, HALF), ticking(post.bench.clock):
        for n in range(150):
            post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
            time.sleep(0.04)
        until(lambda: post.bench.store.health.states()["a/sms"].factor == 0, "a to be down")
        asked = len(a.asked)
        assert 5 < asked < 100
        for n in range(150, 200):
            post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
            time.sleep(0.04)
        assert len(a.asked) - asked <= 3
        down = False
        until(lambda: tried_again(post), "a to come back")
    until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    shifts = [event for event in post.bench.store.events.read(0) if event["event"] == "shifted"]
    assert [shift["to"] for shift in shifts] == ["80", "60", "40", "20", "0", "10"]


def tried_again(post: Post) -> bool:
    """Starts one more, and says whether a has its first ten points again."""
    post.bench.service.start("default", a_start(f"+1415{2_020_000 + next(SERIAL)}"))
    time.sleep(0.1)
    return post.bench.store.health.states()["a/sms"].factor == 10


def test_operators_see_health_and_cost(post: Post) -> None:
    """`verify-service providers` shows of each provider and channel its weight and why, answer times, errors, receipts,
    and what today has come to by sender: with prices that came with the message, or with its receipt, once."""
    post.bench.clock.ms = time.time_ns() // 1_000_000
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
    words = ["providers", "--json"]
    env = {**clean(), "VERIFY_REDIS_URL": post.server.url, "VERIFY_CONFIG": str(post.folder / "d1.toml")}
    run = [sys.executable, "-m", "verify_service"]
    shown = json.loads(subprocess.run([*run, *words], env=env, capture_output=True, text=True, check=True).stdout)
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
    text = subprocess.run([*run, "providers"], env=env, capture_output=True, text=True, check=True).stdout
    assert "a  sms  100 % of its weight\n" in text
    assert "today by short: 2 messages, 4 segments" in text
    assert "b  sms  60 % of its weight since 20" in text


def test_a_price_that_nobody_told_is_not_nothing(post: Post) -> None:
    """`verify-service providers` shows — and null for a vendor whose answers and receipts hold no price."""
    costs = {"a/short/sms:messages": 2, "a/short/sms:segments": 2, "b//sms:messages": 1, "b//sms:price": 7_900}
    post.bench.store.health.pulse(time.time_ns() // 1_000_000, [], [], costs)
    file = post.folder / "verify.toml"
    file.write_text(SENDERS)
    env = {**clean(), "VERIFY_REDIS_URL": post.server.url, "VERIFY_CONFIG": str(file)}
    run = [sys.executable, "-m", "verify_service", "providers"]
    text = subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout
    assert "today by short: 2 messages, 2 segments, 0 delivered, 0 failed, price —\n" in text
    assert "today by the brand: 1 messages, 0 segments, 0 delivered, 0 failed, $0.01\n" in text
    shown = subprocess.run([*run, "--json"], env=env, capture_output=True, text=True, check=True).stdout
    assert [each["today"][0]["price"] for each in json.loads(shown)] == [None, 0.0079]


def _sum(today: dict[str, dict[str, int]]) -> int:
    """How many receipts the day has."""
    return sum(sums.get("delivered", 0) + sums.get("failed", 0) for sums in today.values())
