"""Budgets, decisions and explain across the partitions of a cluster of three primaries."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

from tests.support.authenticator import enrolled
from tests.support.bench import Bench, make_bench, wrong
from tests.support.cluster import (
    POLICY,
    TENANT,
    begin,
    country_partition,
    counts,
    home_of,
    ip_outside,
    ip_partition,
    numbers_where,
)
from tests.support.concurrency import at_once, numbers, outcome
from verify_service import phone
from verify_service.errors import Blocked, Problem, RateLimited
from verify_service.model import Actor, Verification
from verify_service.store import Store
from verify_service.store.search import Wanted

pytestmark = pytest.mark.slow

PRICES = "[prices]\nUS = 0.25\n"
BUDGET = '[[rule]]\nname = "spend"\nkind = "budget"\nof = ["country"]\nallow = "$1/hour"\nmode = "enforce"\n'
NUMBER = '[[limit]]\nname = "number"\nof = ["number"]\nallow = "1/hour"\n'
BY_USER = '[[limit]]\nname = "user"\nof = ["user"]\nallow = "9/hour"\n'
IP = '[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "2/hour"\n'


def away(bench: Bench) -> Iterator[str]:
    """Numbers whose partition is not their country's."""
    return numbers_where(bench, lambda part: part != country_partition(bench))


def test_a_countrys_budget_is_one_whatever_the_numbers_partition(spread: Store) -> None:
    """Thirty at once over all partitions spend a dollar at a quarter each: four at most, and the sum is exact."""
    bench = make_bench(spread, POLICY + PRICES + BUDGET)
    starts = [lambda to=to: begin(bench, to) for to in islice(numbers(312), 30)]
    outcomes = at_once(*map(outcome, starts))
    admitted = sum(isinstance(each, Verification) for each in outcomes)
    assert 1 <= admitted <= 4
    assert {each.members["rule"] for each in outcomes if isinstance(each, Problem)} == {"spend"}
    found = bench.explain.explain(TENANT, phone.parse("+13122019999", None))
    assert [each.count for each in found.judged if each.name == "spend"] == [admitted / 4]


def test_money_held_for_a_start_that_the_number_refuses_is_given_back(spread: Store) -> None:
    """To the micro-dollar, as if the start had never come."""
    bench = make_bench(spread, POLICY + PRICES + NUMBER + BUDGET)
    to = next(away(bench))
    begin(bench, to)
    bench.clock.advance(2)
    before = counts(spread)
    for _ in range(5):
        bench.clock.advance(2)
        with pytest.raises(RateLimited):
            begin(bench, to)
    assert counts(spread) == before


def judged_by(bench: Bench, problem: Problem) -> dict[str, Any]:
    """The limits and rules of the problem's decision, with verdict and count."""
    found = bench.explain.decision(TENANT, problem.members["decision"])
    assert found.by == problem.members.get("limit", problem.members.get("rule"))
    return {each.name: (each.verdict, each.count) for each in found.judged if each.kind in ("limit", "budget")}


def test_a_decision_shows_what_every_partition_said(spread: Store) -> None:
    """Whether the number's partition refuses or another: one record with all of them, and one event."""
    bench = make_bench(spread, POLICY + PRICES + NUMBER + IP + BUDGET)
    first, second, third = islice(away(bench), 3)
    ip = ip_outside(bench, *(home_of(bench, to) for to in (first, second, third)), country_partition(bench))
    begin(bench, first, ip=ip)
    bench.clock.advance(2)
    with pytest.raises(RateLimited) as by_number:
        begin(bench, first, ip=ip)
    assert judged_by(bench, by_number.value) == {
        "number": ("refuse", 1),
        "ip": ("pass", 1),
        "spend": ("pass", 0.25),
    }
    begin(bench, second, ip=ip)
    with pytest.raises(RateLimited) as by_ip:
        begin(bench, third, ip=ip)
    assert judged_by(bench, by_ip.value) == {"number": ("pass", 0), "ip": ("refuse", 2), "spend": ("pass", 0.5)}
    mine = {problem.value.members["decision"] for problem in (by_number, by_ip)}
    told = [event["refused"] for event in spread.events.read(0) if event.get("decision") in mine]
    assert sorted(told) == ["ip", "number"]


def test_a_budget_elsewhere_refuses_as_a_rule(spread: Store) -> None:
    """403 with the rule and a decision that can be read, though the number's script never ran."""
    bench = make_bench(spread, POLICY + PRICES + BUDGET)
    for to in islice(away(bench), 4):
        begin(bench, to)
    with pytest.raises(Blocked) as refused:
        begin(bench, next(islice(away(bench), 4, None)))
    assert judged_by(bench, refused.value) == {"spend": ("refuse", 1.0)}


def test_explain_takes_two_trips_and_sees_every_partition(spread: Store) -> None:
    """One for the counts of all partitions, one for the number; nothing is written on any node."""
    bench = make_bench(spread, POLICY + PRICES + NUMBER + IP + BUDGET)
    to = next(away(bench))
    ip = ip_outside(bench, home_of(bench, to), country_partition(bench))
    assert ip_partition(bench, ip) != home_of(bench, to)
    begin(bench, to, ip=ip)
    before, trips = counts(spread), spread.link.round_trips
    found = bench.explain.explain(TENANT, phone.parse(to, None), ip=ip)
    assert spread.link.round_trips == trips + 2
    assert {each.name: each.count for each in found.judged if each.count} == {"number": 1, "ip": 1, "spend": 0.25}
    assert counts(spread) == before


def test_a_number_is_unlocked_in_its_partition(spread: Store) -> None:
    """Its counts are gone, its address's are not."""
    bench = make_bench(spread, POLICY + NUMBER + IP)
    to = next(away(bench))
    begin(bench, to, ip="203.0.113.77")
    assert bench.relief.unlock(to, Actor("ann"), "why") == 1
    found = bench.explain.explain(TENANT, phone.parse(to, None), ip="203.0.113.77")
    assert {each.name: each.count for each in found.judged if each.kind == "limit"} == {"number": 0, "ip": 1}


def test_a_users_factor_is_seen_from_every_partition(spread: Store) -> None:
    """A start for a number elsewhere is refused by the user's record, says so in its decision, and counted nothing. The
    user's counts are forgotten where they lie."""
    bench = make_bench(spread, POLICY + NUMBER + BY_USER + '[factors]\ntexts = "deny"\n')
    home = spread.verifications.partition(bench.tagger.user(TENANT, "ann"))
    to = next(numbers_where(bench, lambda part: part != home))
    begin(bench, to, user="ann")
    app = enrolled(bench, "ann")
    bench.factors.check(TENANT, "ann", wrong(app.at()))
    bench.clock.advance(2)
    before = counts(spread)
    with pytest.raises(Blocked) as refused:
        begin(bench, next(numbers_where(bench, lambda part: part not in (home, home_of(bench, to)))), user="ann")
    assert judged_by(bench, refused.value)["user"] == ("pass", 1)
    assert counts(spread) == before
    assert bench.relief.unlock_user(TENANT, "ann", Actor("ann"), "why") == 2
    assert bench.factors.look(TENANT, "ann").checks_left == 10


def test_the_latest_decisions_of_all_partitions_are_one_list(spread: Store) -> None:
    """Page by page, each once, the last that a store took first; those of a number from its partition alone."""
    bench = make_bench(spread, POLICY)
    made = {begin(bench, to).id for to in islice(numbers(317), 40)}
    wanted, found, before = Wanted(range="+1317"), [], None
    while True:
        page = spread.search.starts(wanted, 7, before)
        found += page.found
        before = page.before
        if before is None:
            break
    taken = [
        (*map(int, position.split(b"-")), part, flat[5].decode())
        for part in range(spread.link.partitions)
        for position, flat in spread.link.command(part, ["XRANGE", f"vs:{{{part}}}:events", "-", "+"])
    ]
    assert [each["id"] for each in found] == [each[3] for each in sorted(taken, reverse=True) if each[3] in made]
    assert len(found) == 40
    assert spread.search.starts(Wanted(number=found[5]["number"]), 7).found == [found[5]]
