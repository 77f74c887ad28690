"""Refusals cost the store little, however many there are: shared records, thinned-out events, a bound on each."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import pytest

from tests.support.bench import Bench, a_start, make_bench, wrong
from tests.support.cluster import TENANT, begin
from tests.support.concurrency import at_once, numbers, outcome
from tests.support.live import BASE
from verify_service.errors import Problem, RateLimited
from verify_service.policy.decisions import Decision
from verify_service.store import Store

pytestmark = pytest.mark.slow

FULL = BASE.replace("30/hour", "1/day")
IP = "203.0.113.9"
A_MINUTE = 200
"""How many records a minute may begin, by the number of events that a store keeps."""


def cost(store: Store, work: Callable[[], object]) -> tuple[int, int]:
    """Bytes of memory and of the append-only file that `work` leaves behind."""
    client: Any = store.link.client()

    def now() -> tuple[int, int]:
        return client.info("memory")["used_memory"], client.info("persistence")["aof_current_size"]

    before = now()
    work()
    after = now()
    return after[0] - before[0], after[1] - before[1]


def refused(bench: Bench, to: str, **fields: Any) -> str:
    """The decision of a start that is refused."""
    with pytest.raises(Problem) as problem:
        bench.service.start("default", a_start(to, **fields))
    return str(problem.value.members["decision"])


def told(bench: Bench, decision: str) -> Decision:
    return bench.explain.decision("default", decision)


def records(store: Store) -> int:
    client: Any = store.link.client()
    return sum(1 for _ in client.scan_iter("vs:{0}:decision:*", count=1000))


def test_repeats_of_one_cause_by_a_number_share_a_decision(bench: Bench) -> None:
    """For a minute; the decision shows the first, with how many there were and when the last was. Another cause,
    another number and the next minute have their own."""
    bench.clock.ms -= bench.clock.ms % 60_000
    one, other = islice(numbers(415), 2)
    for to in (one, other):
        bench.service.start("default", a_start(to))
    first = refused(bench, one)
    began = bench.clock.ms
    bench.clock.advance(2)
    assert [refused(bench, one) for _ in range(3)] == [first] * 3
    found = told(bench, first)
    assert (found.by, found.count, found.at, found.last_at) == ("cooldown", 4, began, began + 2000)
    assert refused(bench, other) != first
    for purpose in ("b", "c", "d", "e"):
        bench.service.start("default", a_start(one, purpose))
    by_limit = refused(bench, one, purpose="f")
    assert (told(bench, by_limit).by, told(bench, by_limit).count) == ("number", 1)
    bench.clock.advance(60)
    assert refused(bench, one, purpose="f") not in (first, by_limit)


def test_repeats_of_one_cause_by_an_address_share_a_decision(store: Store) -> None:
    """Whatever number each is for, where the address is what refuses; a country that is denied is told apart."""
    bench = make_bench(store, FULL + '\n[countries]\ndeny = ["GB", "FR"]')
    phones = numbers(416)
    bench.service.start("default", a_start(next(phones), ip=IP))
    shared = {refused(bench, next(phones), ip=IP) for _ in range(5)}
    assert len(shared) == 1
    assert told(bench, shared.pop()).count == 5
    british = {refused(bench, f"+4474001234{each:02d}", ip=IP) for each in range(5)}
    french = refused(bench, "+33612345678", ip=IP)
    assert len(british) == 1
    assert french not in british
    assert "FR" in told(bench, french).sentence


def test_refused_checks_share_a_decision(store: Store) -> None:
    """Two hundred at once: one record, which counts them all."""
    limit = '[[limit]]\nname = "n"\nof = ["number"]\nallow = "1/day"\ncounts = "wrong-codes"\n'
    bench = make_bench(store, f"[code]\nguess_ceiling = 1.0\n{limit}")
    started = bench.service.start("default", a_start(next(numbers(417))))
    check = partial(bench.service.check, "default", started.id, wrong(bench.code(started.id)))
    check()
    found = at_once(*[outcome(check)] * 200)
    assert {type(each) for each in found} == {RateLimited}
    (decision,) = {each.members["decision"] for each in found if isinstance(each, RateLimited)}
    assert told(bench, decision).count == 200


def test_a_minute_has_room_for_some_records_and_then_one_for_each_rule(alone: Store) -> None:
    """A thousand numbers that are refused in a minute: two hundred have their own decision, the others share one for
    their limit, and each is answered an id that can be looked up."""
    bench = make_bench(alone, BASE.replace("5/10 minutes; 10/day", "1/day"))
    bench.clock.ms -= bench.clock.ms % 60_000
    phones = list(islice(numbers(423), 1000))
    for to in phones:
        bench.service.start("default", a_start(to, "before"))
    decisions = Counter(refused(bench, to) for to in phones)
    assert records(alone) == len(decisions) == A_MINUTE + 1
    (shared, times), *rest = decisions.most_common()
    assert (times, {count for _, count in rest}) == (1000 - A_MINUTE, {1})
    assert (told(bench, shared).by, told(bench, shared).count) == ("number", 1000 - A_MINUTE)
    bench.clock.advance(60)
    assert told(bench, refused(bench, phones[-1])).count == 1


def test_events_of_repeats_are_thinned_out(alone: Store) -> None:
    """Eight in full, then the 16th, 32nd, …: what they say they stand for adds up to all that the last one saw."""
    bench = make_bench(alone)
    bench.clock.ms -= bench.clock.ms % 60_000
    to = next(numbers(425))
    bench.service.start("default", a_start(to))
    for _ in range(100):
        refused(bench, to)
    found = [event for event in alone.events.read(0) if event.get("refused") == "cooldown"]
    assert [event.get("repeats", 1) for event in found] == [1] * 8 + [8, 16, 32]


@pytest.mark.parametrize("distinct", [False, True], ids=["one number", "many numbers"])
def test_a_flood_of_refusals_costs_a_bounded_piece_of_the_store(alone: Store, distinct: bool) -> None:
    """A refused start more costs less than 100 bytes of memory and 300 of the append-only file."""
    bench = make_bench(alone, BASE.replace("5/10 minutes; 10/day", "1/day"))
    phones = list(islice(numbers(424), 1500 if distinct else 1))
    for to in phones:
        bench.service.start("default", a_start(to, "before"))
    refuse = [partial(refused, bench, to) for to in phones] * (2 if distinct else 3000)
    for each in refuse[:1500]:
        each()
    memory, file = cost(alone, lambda: [each() for each in refuse[1500:3000]])
    assert memory < 100 * 1500
    assert file < 300 * 1500


def test_on_a_cluster_refusals_by_another_partition_share_a_decision(spread: Store) -> None:
    """What the address's partition refuses is filed where each number lies: one record for each of these."""
    bench = make_bench(spread, FULL)
    phones = numbers(442)
    begin(bench, next(phones), ip=IP)
    to = next(phones)
    found = set()
    for _ in range(4):
        with pytest.raises(RateLimited) as problem:
            begin(bench, to, ip=IP)
        found.add(problem.value.members["decision"])
    (decision,) = found
    assert bench.explain.decision(TENANT, decision).count == 4
