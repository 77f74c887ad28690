"""Starts that were admitted and that what observes would have refused: each with a record, as far as there is room."""

import secrets
from itertools import islice
from typing import Any

import pytest

from tests.support.bench import Bench, a_start, make_bench
from tests.support.concurrency import numbers
from tests.support.live import patient
from verify_service.errors import NotFound
from verify_service.store import Store

POLICY = """
[code]
guess_ceiling = 1.0

[[limit]]
name = "ip"
of = ["ip"]
allow = "10/day"

[[limit]]
name = "watched"
of = ["ip"]
allow = "{watched}"
mode = "observe"
"""
IP = "203.0.113.9"


def a_bench(store: Store, policy: str) -> Bench:
    """At a time of its own: room for records goes by the minute."""
    bench = make_bench(store, policy)
    bench.clock.advance(60 * secrets.randbelow(10**7))
    return bench


def begun(bench: Bench, count: int) -> list[dict[str, Any]]:
    """The events of so many starts from one address."""
    mine = []
    for to in islice(numbers(646), count):
        bench.service.start("default", a_start(to, ip=IP))
        mine.append(bench.tagger.number(to))
    found = {event["number"]: event for event in bench.store.events.read(bench.clock.ms) if event.get("number") in mine}
    return [found[number] for number in mine]


def test_an_admitted_start_that_would_have_been_refused_has_a_decision(store: Store) -> None:
    """Its event names it; it shows each limit as it was before the start counted, for an hour, to its tenant."""
    bench = a_bench(store, POLICY.format(watched="2/hour"))
    events = begun(bench, 3)
    assert [("decision" in event, event.get("observed")) for event in events] == [
        (False, None),
        (False, None),
        (True, ["watched"]),
    ]
    explain = bench.explain
    found = explain.decision("default", events[2]["decision"])
    assert (found.decision, found.by, found.unjudged) == ("admit", None, ())
    assert (
        found.sentence == "Every limit and rule in force lets this start pass. 1 in observe mode would have refused it."
    )
    assert {each.name: (each.verdict, each.count) for each in found.judged if each.kind == "limit"} == {
        "ip": ("pass", 2),
        "watched": ("observe", 2),
    }
    with pytest.raises(NotFound):
        explain.decision("acme", events[2]["decision"])
    bench.clock.advance(3600)
    with pytest.raises(NotFound):
        explain.decision("default", events[2]["decision"])


def test_the_last_hit_of_an_enforced_limit_is_no_refusal_in_the_record(store: Store) -> None:
    """What is judged is the start, not what comes after it."""
    bench = a_bench(store, POLICY.format(watched="2/hour"))
    last = begun(bench, 10)[-1]
    found = bench.explain.decision("default", last["decision"])
    assert {each.verdict for each in found.judged if each.name == "ip"} == {"pass"}


def test_a_country_that_is_only_watched_has_one_too(store: Store) -> None:
    """Also where no limit would have refused."""
    bench = a_bench(store, POLICY.format(watched="9/hour") + '[countries]\nobserve = ["US"]\n')
    (event,) = begun(bench, 1)
    found = bench.explain.decision("default", event["decision"])
    assert {each.name: each.verdict for each in found.judged if each.verdict != "pass"} == {"countries": "observe"}


def test_an_attack_that_is_only_observed_does_not_fill_the_store(valkey: Any) -> None:
    """Some a minute are kept, in proportion to the events that are; the others are in the events alone."""
    store = Store(patient(valkey.url), keep_events=18_000)
    bench = a_bench(store, POLICY.format(watched="1/hour").replace("10/day", "100/day"))
    events = begun(bench, 12)
    assert ["decision" in event for event in events] == [False] + 3 * [True] + 8 * [False]
    assert all(event["observed"] == ["watched"] for event in events[1:])
    bench.clock.advance(60)
    bench.service.start("default", a_start(next(numbers(917)), ip=IP))
    key = f"vs:{{0}}:decisions:{bench.clock.ms // 60_000}"
    assert store.link.client().get(key) == b"1"
    assert 0 < store.link.client().pttl(key) <= 120_000
