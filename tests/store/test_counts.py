"""Counts over time: each event once, in the minute of its own time, and bounded whatever is sent."""

import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from tests.support.bench import Bench, a_start, make_bench, wrong
from verify_service.errors import InvalidRequest, RateLimited
from verify_service.insight.counts import BY, COUNTERS, Stats, stats
from verify_service.model import TimelineEvent
from verify_service.store import Store
from verify_service.store.counts import PAGE, Counts, Folded
from verify_service.store.entries import Settlement
from verify_service.store.layouts import Facts
from verify_service.telemetry import UNREADABLE

pytestmark = pytest.mark.slow

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
BASE = "vs:{0}:"
FREE = """
[code]
guess_ceiling = 1.0
[[limit]]
name = "watched"
mode = "observe"
of = ["country"]
allow = "1/hour"
[prices]
default = 0.05
"""


@pytest.fixture
def counted(alone: Store) -> Bench:
    """A service on a store of its own, at the beginning of an hour."""
    bench = make_bench(alone, FREE)
    bench.clock.ms = bench.clock.ms // DAY * DAY
    return bench


def told(bench: Bench, *events: Sequence[Any]) -> None:
    """Writes events as they stand in the stream."""
    pipe: Any = bench.store.link.client().pipeline(transaction=False)
    for fields in events:
        pipe.execute_command("XADD", f"{BASE}events", "*", *fields)
    pipe.execute()


def a_told_start(at: int, country: str = "US", place: str = "+1415555", **more: Any) -> list[Any]:
    facts = Facts(tenant="default", channel="sms", country=country, range=f"{place}0", price="50000")
    observed = more.pop("observed", "")
    flat = ["at", at, "event", "start", "id", "ve_1", "facts", facts.pack(), "observed", observed]
    return [*flat, *(part for pair in more.items() for part in pair)]


def fold(bench: Bench) -> Folded:
    """All that waits."""
    read = lost = 0
    while True:
        folded = bench.store.counts.fold(bench.clock.now())
        read, lost = read + folded.counted, lost + folded.lost
        if not folded.more:
            return Folded(read, lost, False)


def hour_of(bench: Bench, by: str = "total") -> Stats:
    """The hour that is, by the minute."""
    begin = bench.clock.ms // HOUR * HOUR
    return stats(bench.store, begin, begin + HOUR, "minute", by)


def sums(found: Stats) -> dict[str, dict[str, int]]:
    return {name: {counter: sum(series) for counter, series in group.items()} for name, group in found.groups.items()}


def settle(bench: Bench) -> None:
    """The dispatcher's part for all that is queued."""
    sent = TimelineEvent(at=bench.clock.now(), event="sent", provider="fake-a")
    while taken := bench.store.outbox.take(0, "tests", 100, 0):
        bench.store.outbox.settle([Settlement(entry, [sent]) for entry in taken])


def test_a_life_counts_once_in_each_of_its_groups(counted: Bench) -> None:
    """Starts, what refused and observed them, sends, codes and money: by total, country, channel, provider, tenant,
    rule and place; in the minute in which each happened; and a second look counts nothing again."""
    bench, service = counted, counted.service
    first = service.start("default", a_start("+14155550181")).id
    service.check("default", first, wrong(bench.code(first)))
    service.start("other", a_start("+14155550182"))
    service.start("default", a_start("+4915112345678"))
    with pytest.raises(RateLimited):
        service.start("default", a_start("+14155550181"))
    settle(bench)
    bench.clock.advance(90)
    assert service.check("default", first, bench.code(first)).approved
    assert fold(bench).lost == 0
    assert fold(bench) == Folded(0, 0, False)
    found = hour_of(bench)
    assert found.buckets == tuple(range(found.begin, found.end, MINUTE))
    assert {counter: series[:3] for counter, series in found.groups["total"].items()} == {
        "starts": (4, 0, 0),
        "refused": (1, 0, 0),
        "observed": (1, 0, 0),
        "sent": (3, 0, 0),
        "approved": (0, 1, 0),
        "wrong": (1, 0, 0),
        "spend": (150_000, 0, 0),
        "saved": (50_000, 0, 0),
    }
    us = {"starts": 3, "refused": 1, "observed": 1, "spend": 100_000, "saved": 50_000, "sent": 2}
    us |= {"approved": 1, "wrong": 1}
    germany = {"starts": 1, "spend": 50_000, "sent": 1}
    assert sums(hour_of(bench, "country")) == {"US": us, "DE": germany}
    assert sums(hour_of(bench, "tenant"))["other"] == {"starts": 1, "observed": 1, "spend": 50_000, "sent": 1}
    assert sums(hour_of(bench, "provider")) == {"fake-a": {"sent": 3}}
    assert sums(hour_of(bench, "channel")) == {"sms": sums(found)["total"]}
    assert sums(hour_of(bench, "rule")) == {
        "cooldown": {"refused": 1, "saved": 50_000},
        "watched": {"observed": 1, "spend": 50_000},
    }
    assert sums(hour_of(bench, "place")) == {
        "+1415555": {name: n for name, n in us.items() if name != "sent"},
        "+491511234": {name: n for name, n in germany.items() if name != "sent"},
    }
    hours = stats(bench.store, found.begin, found.begin + 1, "hour")
    days = stats(bench.store, found.begin, found.begin + 1, "day")
    assert sums(hours) == sums(days) == sums(found)
    assert (hours.buckets, days.buckets) == ((found.begin,), (found.begin // DAY * DAY,))


def test_the_newest_starts_are_listed_by_what_is_looked_for(counted: Bench) -> None:
    """Positions in the stream, the newest first: of refused and observed ones, by rule, country and tenant; a thousand
    at the most."""
    bench = counted
    at = bench.clock.ms
    told(bench, *(a_told_start(at, "DE") for _ in range(1_200)), a_told_start(at, refused="ip", observed="a,b"))
    fold(bench)
    client: Any = bench.store.link.client()
    positions = [position for position, _ in client.xrevrange(f"{BASE}events")]
    for name in ("refused", "observed", "rule:ip", "rule:a", "rule:b", "country:US"):
        assert client.lrange(f"{BASE}newest:{name}", 0, -1) == positions[:1]
    assert client.lrange(f"{BASE}newest:tenant:default", 0, -1) == positions[:1_000]
    assert client.lrange(f"{BASE}newest:country:DE", 0, -1) == positions[1:1_001]
    assert all(client.pttl(key) > 0 for pattern in ("newest", "counts") for key in client.keys(f"{BASE}{pattern}*"))


def test_many_dispatchers_count_an_event_once(counted: Bench) -> None:
    """Eight look at the same time while events are written, each over a connection of its own."""
    bench = counted
    read: list[int] = []
    done = threading.Event()

    def look() -> None:
        counts, last = Counts(Store(bench.store.link.url).link), False
        while not last:
            last = done.is_set()
            while (folded := counts.fold(bench.clock.now())).more:
                read.append(folded.counted)
            read.append(folded.counted)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        told(bench, *(a_told_start(bench.clock.ms) for _ in range(300)))
    done.set()
    for thread in threads:
        thread.join()
    assert sum(read) == 3_000
    assert sums(hour_of(bench)) == {"total": {"starts": 3_000, "spend": 150_000_000}}


def test_an_attackers_places_and_countries_take_bounded_memory_and_hide_nobody(counted: Bench) -> None:
    """5,000 starts from as many places and 400 countries within a minute: a bucket has its room and no more, the sums
    are exact, and the place with a tenth of all is there, by whichever order they come."""
    bench, at = counted, counted.clock.ms
    attack = [a_told_start(at, f"{n % 400:03}", f"+{10**7 + n}") for n in range(5_000)]
    for n in range(0, 5_000, 10):
        attack[n] = a_told_start(at, "US", "+1415555")
    told(bench, *attack)
    fold(bench)
    client: Any = bench.store.link.client()
    rooms = {b"minute": (24, 60), b"hour": (60, 120)}
    for key in client.keys(f"{BASE}counts:*:*"):
        _, _, step, by, _ = key.split(b":")[1:]
        room = rooms[step][by != b"place"]
        assert client.hlen(key) <= room
        assert client.object("encoding", key) == b"listpack"
        assert client.memory_usage(key, samples=0) < 64 * room + 256
    for by in ("place", "country"):
        for step in ("minute", "hour"):
            found = sums(stats(bench.store, at, at + 1, step, by))  # type: ignore[arg-type]
            assert sum(group["starts"] for group in found.values()) == 5_000
            assert sum(group["spend"] for group in found.values()) == 250_000_000
    assert 500 - 5_000 // 24 <= sums(hour_of(bench, "place"))["+1415555"]["starts"] <= 500
    assert len(hour_of(bench, "place").groups) == 24


def test_what_comes_late_counts_in_its_own_time_and_what_is_too_old_nowhere(counted: Bench) -> None:
    """An hour and a minute late; a day late, by the hour alone; ninety-one days late; and what stands for many."""
    bench, now = counted, counted.clock.ms
    late = (now - HOUR - MINUTE, now - DAY - HOUR, now - 91 * DAY)
    told(bench, *(a_told_start(at, refused="ip", repeats=8) for at in late))
    assert fold(bench) == Folded(3, 0, False)
    minutes = stats(bench.store, now - DAY + MINUTE, now, "minute").groups["total"]["refused"]
    assert [(n, sum_) for n, sum_ in enumerate(minutes) if sum_] == [(22 * 60 + 58, 8)]
    hours = stats(bench.store, now - 90 * DAY, now, "hour").groups["total"]["starts"]
    assert [(n, sum_) for n, sum_ in enumerate(hours) if sum_] == [(89 * 24 - 1, 8), (90 * 24 - 2, 8)]
    client: Any = bench.store.link.client()
    assert not client.keys(f"{BASE}counts:*:{(now - 91 * DAY) // HOUR}")


def test_what_cannot_be_read_is_passed_over_and_what_was_trimmed_is_told(counted: Bench) -> None:
    """Damaged events, damaged tallies and keys of another type stop nothing; of what was trimmed unread it is known how
    many they were, once."""
    bench, at, client = counted, counted.clock.ms, counted.store.link.client()
    unread = UNREADABLE.labels("event")._value.get()
    strange = msgspec.msgpack.encode(["default", "login", "sms", "x", [1], "mobile", "+1", "1", "nan"])
    told(
        bench,
        a_told_start(at),
        ("at", at, "event", "start", "id", "ve_1", "facts", b"\xff"),
        ("at", at, "event", "start", "id", "ve_1", "facts", strange),
        ("at", "soon", "event", "wrong", "id", "ve_1", "tenant", "default"),
        ("at", at, "event", "wrong"),
        ("tenant", "default"),
        (b"\xff", b"\xff\xfe"),
        ("at", at, "event", "of a later version", "id", "ve_1"),
        a_told_start(at, "x" * 65),
    )
    assert fold(bench) == Folded(9, 0, False)
    assert UNREADABLE.labels("event")._value.get() == unread + 6
    assert sums(hour_of(bench)) == {"total": {"starts": 2, "spend": 100_000}}
    assert list(hour_of(bench, "country").groups) == ["US"]
    client.set(f"{BASE}counts:minute:country:{at // MINUTE}", "nobody's")
    client.set(f"{BASE}newest:country:US", "nobody's")
    client.hset(f"{BASE}counts:minute:total:{at // MINUTE}", "total", b"\xff")
    assert list(hour_of(bench, "country").groups) == []
    told(bench, *(a_told_start(at) for _ in range(5)))
    client.xtrim(f"{BASE}events", maxlen=2, approximate=False)
    assert [fold(bench), fold(bench)] == [Folded(2, 3, False), Folded(0, 0, False)]
    assert sums(hour_of(bench)) == {"total": {"starts": 2, "spend": 100_000}}
    assert sums(hour_of(bench, "country"))["US"]["starts"] == 2


def test_a_later_versions_counters_are_kept(counted: Bench) -> None:
    """What stands behind those that are known stays where more is counted; one that an earlier version wrote has none
    of what came since."""
    bench, at = counted, counted.clock.ms
    client: Any = bench.store.link.client()
    key = f"{BASE}counts:minute:total:{at // MINUTE}"
    client.hset(key, "total", msgspec.msgpack.encode([0] * (1 + len(COUNTERS)) + [7]))
    client.hset(key.replace("total", "country"), "US", msgspec.msgpack.encode([5, 5]))
    told(bench, a_told_start(at))
    fold(bench)
    assert msgspec.msgpack.decode(client.hget(key, "total"))[len(COUNTERS) + 1 :] == [7]
    assert sums(hour_of(bench)) == {"total": {"starts": 1, "spend": 50_000}}
    assert sums(hour_of(bench, "country"))["US"] == {"starts": 6, "spend": 50_000}


@pytest.mark.parametrize(
    ("begin", "end", "step", "by", "field"),
    [
        (0, 0, "minute", "total", "to"),
        (0, DAY + 2 * MINUTE, "minute", "total", "from"),
        (0, 91 * DAY + HOUR, "hour", "total", "from"),
        (0, 92 * DAY, "day", "total", "from"),
        (0, DAY, "week", "total", "step"),
        (0, DAY, "hour", "number", "by"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(
    counted: Bench, begin: int, end: int, step: Any, by: str, field: str
) -> None:
    """And says which part of it."""
    with pytest.raises(InvalidRequest) as error:
        stats(counted.store, begin, end, step, by)
    assert error.value.members["errors"][0]["field"] == field


def test_a_look_takes_a_bounded_part_of_what_waits(counted: Bench) -> None:
    """Two hundred events at the most; of an attack's, each of a place and a country of its own, so few that what a look
    reads and writes stays the same."""
    bench, at = counted, counted.clock.ms
    told(bench, *(a_told_start(at) for _ in range(2 * PAGE)))
    assert bench.store.counts.fold(at) == Folded(PAGE, 0, True)
    assert fold(bench) == Folded(PAGE, 0, False)
    told(bench, *(a_told_start(at, f"{n:03}", f"+{10**7 + n}", observed="a,b,c") for n in range(100)))
    assert bench.store.counts.fold(at) == Folded(75, 0, True)
    assert fold(bench) == Folded(25, 0, False)
    client: Any = bench.store.link.client()
    assert set(BY) - {"provider"} == {key.split(b":")[4].decode() for key in client.keys(f"{BASE}counts:*:*")}
