"""How weights shift away from a provider that does badly, and back: by what all dispatchers see of it together."""

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count

import pytest

from tests.support.bench import ManualClock, a_start
from tests.support.dispatching import NO_HIST, ONE, Post, Scripted, report, ticking
from tests.support.live import until
from verify_service import config
from verify_service.dispatch.health import HealthReporter
from verify_service.dispatch.planner import DeliveryPath
from verify_service.errors import Unavailable
from verify_service.model import Message, Receipt
from verify_service.store import Store
from verify_service.store.entries import Came, Overdue
from verify_service.store.health import Report

pytestmark = pytest.mark.slow

HALF = f"""{ONE}
[providers.b]
kind = "fake"
[[routes]]
via = [{{ provider = "a" }}, {{ provider = "b" }}]
"""
SERIAL = count()
GROUPS = (("a/sms", "b/sms"), ("c/sms",))


class Watch:
    """Reports to a store's health, second by second."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock()
        self.factors: dict[str, int] = {}
        self.probes: set[str] = set()
        self.reasons: list[str] = []
        self.up: dict[str, int] = {}
        self.groups: Sequence[Sequence[str]] = GROUPS

    def second(self, *reports: Report, seconds: float = 1) -> None:
        self.clock.advance(seconds)
        standings, shifts = self.store.health.pulse(self.clock.now(), reports, self.groups, {})
        self.factors = {each.name: each.factor for each in standings}
        self.probes = {each.name for each in standings if each.probe}
        self.up = {each.name: each.up for each in standings}
        self.reasons += [f"{each.name} {each.before} {each.after} {each.reason}" for each in shifts]


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


def test_whatever_is_missing_of_before_a_receipt_brings_it_back(watch: Watch) -> None:
    """Down, it is judged by a message that arrives now, not by those that were let through in vain."""
    for _ in range(10):
        watch.second(report("a/sms", ok=5, came=5), report("b/sms", ok=5, came=5))
    for _ in range(20):
        watch.second(report("a/sms", ok=1, missing=5), report("b/sms", ok=5, came=5))
    assert watch.factors["a/sms"] == 0
    watch.second(report("a/sms", ok=1, came=1))
    assert watch.factors["a/sms"] == 10
    assert watch.up["b/sms"] < watch.up["a/sms"] == watch.clock.now()


def test_a_provider_that_loses_most_of_many_messages_is_noticed(watch: Watch) -> None:
    """Thirty a second, of which 93 % arrived for two minutes, and then 30 %: what is usual is not unlearned so soon."""
    for _ in range(120):
        watch.second(Report("a/sms", 30, 0, 0, 28, 2, 0, NO_HIST), report("b/sms", ok=30, came=30))
    for _ in range(60):
        watch.second(Report("a/sms", 30, 0, 0, 9, 21, 0, NO_HIST), report("b/sms", ok=30, came=30))
    assert watch.reasons[0] == "a/sms 100 80 53 % of receipts come, where 88 % are usual"
    assert watch.factors["a/sms"] == 0


def test_what_chance_explains_is_no_complaint(watch: Watch) -> None:
    """Where six in ten arrive, two of eight are bad luck; of eighty, twenty are not."""
    for _ in range(120):
        watch.second(Report("a/sms", 5, 0, 0, 3, 2, 0, NO_HIST), report("b/sms", ok=5, came=5))
    watch.second(seconds=300)
    watch.second(Report("a/sms", 8, 0, 0, 2, 6, 0, NO_HIST), report("b/sms", ok=8, came=8))
    assert watch.factors["a/sms"] == 100
    watch.second(Report("a/sms", 72, 0, 0, 18, 54, 0, NO_HIST), report("b/sms", ok=72, came=72))
    assert watch.factors["a/sms"] == 80


def test_a_provider_whose_receipts_come_again_has_its_weight_back_in_two_minutes(post: Post) -> None:
    """One message a second, receipts within two seconds, missed after a minute, an outage of five: the messages of the
    outage whose receipts are missed later do not keep it down."""
    file = post.folder / "verify.toml"
    file.write_text(HALF)
    clock, pulse = post.bench.clock, HealthReporter(post.bench.store.health, config.load(file, None))
    ways, dice = [DeliveryPath("a", None, "sms"), DeliveryPath("b", None, "sms")], random.Random(36)
    told: defaultdict[int, list[Callable[[], None]]] = defaultdict(list)
    weights = []
    for second in range(600):
        way = pulse.take_probe(ways) or dice.choices(ways, [pulse.factor(way) for way in ways])[0]
        pulse.answered(way, 0.01)
        if way.provider == "a" and 120 <= second < 420:
            told[second + 60].append(partial(pulse.overdue, Overdue(way.name, clock.now(), entered=False)))
        else:
            told[second + 2].append(partial(pulse.came, Came(way.name, True, False, 0, False)))
        for act in told[second]:
            act()
        clock.advance(1)
        pulse.beat(clock.now())
        weights.append(pulse.factor(ways[0]))
    assert (weights[120], weights[300], weights[419]) == (100, 0, 0)
    assert 420 < weights.index(10, 420) < 430
    assert weights[540:] == [100] * 60


def test_what_no_route_names_any_more_is_forgotten_after_a_day(watch: Watch) -> None:
    """Until then it stands there as it was, should it be a dispatcher with an older file that still uses it."""
    day = 86_400
    watch.second(report("a/sms", ok=1), report("c/sms", ok=1))
    watch.groups = (("a/sms", "b/sms"),)
    for _ in range(24):
        watch.second(seconds=day / 24)
    assert set(watch.store.health.states()) == {"a/sms", "b/sms", "c/sms"}
    watch.second(seconds=0.001)
    assert set(watch.store.health.states()) == {"a/sms", "b/sms"}


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
        asked, began = len(a.asked), post.bench.clock.now()
        assert 3 <= asked < 100
        for n in range(150, 200):
            post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
            time.sleep(0.04)
        assert len(a.asked) - asked <= 2 + (post.bench.clock.now() - began) / 2000  # One every two seconds.
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
