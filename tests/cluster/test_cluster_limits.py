"""Limits, Idempotency-Keys and refunds across the partitions of a cluster of three primaries."""

import itertools
import threading
from datetime import date
from functools import partial
from typing import Any

import msgspec
import pytest

from tests.support.bench import make_bench, wrong
from tests.support.cluster import (
    POLICY,
    TENANT,
    begin,
    counts,
    home_of,
    ip_outside,
    ip_partition,
    numbers_where,
)
from tests.support.concurrency import at_once, numbers, outcome
from tests.support.live import dispatching, until
from verify_service.config_file import NumberOfTests
from verify_service.dispatch import dispatcher
from verify_service.errors import IdempotencyMismatch, RateLimited
from verify_service.model import Lane, Verification
from verify_service.store import Store
from verify_service.store.connection import prefix
from verify_service.store.outbox import Outbox

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("allow", ["20/hour", "40/hour", "20/hour; 40/day"])
def test_what_another_partition_held_is_given_back_when_the_number_refuses(spread: Store, allow: str) -> None:
    """Starts that the number's script refuses leave every count as it was, whether it is a log or a counter."""
    bench = make_bench(
        spread,
        POLICY
        + f"""
        [[limit]]
        name = "ip"
        of = ["ip"]
        allow = "{allow}"
        [[limit]]
        name = "number"
        of = ["number"]
        allow = "2/10 minutes"
        """,
    )
    to = next(numbers(415))
    ip = ip_outside(bench, home_of(bench, to))
    begin(bench, to, ip=ip)
    before = counts(spread)
    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            begin(bench, to, ip=ip)
        assert refused.value.members["limit"] == "cooldown"
    assert counts(spread) == before
    bench.clock.advance(2)
    begin(bench, to, ip=ip)
    bench.clock.advance(2)
    before = counts(spread)
    for _ in range(3):
        with pytest.raises(RateLimited) as refused:
            begin(bench, to, ip=ip)
        assert refused.value.members["limit"] == "number"
    assert counts(spread) == before


@pytest.mark.parametrize("amount", [5, 33])
def test_a_limit_of_another_partition_that_refuses_keeps_its_count(spread: Store, amount: int) -> None:
    """Refused starts take nothing from the count that refused them: the limit stays as full as it was."""
    bench = make_bench(spread, POLICY + f'[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "{amount}/hour"\n')
    ip = "203.0.113.9"
    phones = numbers_where(bench, lambda part: part != ip_partition(bench, ip))
    for _ in range(amount):
        begin(bench, next(phones), ip=ip)
    before = counts(spread)
    for _ in range(4):
        with pytest.raises(RateLimited) as refused:
            begin(bench, next(phones), ip=ip)
        assert refused.value.members["limit"] == "ip"
    assert counts(spread) == before


@pytest.mark.parametrize("allow", ["3/hour", "33/hour"])
def test_wrong_codes_by_address_count_across_partitions(spread: Store, allow: str) -> None:
    """Wrong codes for numbers of any partition count for the address; a right one does not, nor does a start. At
    the limit even a right code is refused, but for the first of a verification, and a start passes."""
    bench = make_bench(
        spread,
        POLICY
        + f"""
        [[limit]]
        name = "ip-wrong"
        of = ["ip"]
        allow = "{allow}"
        counts = "wrong-codes"
        """,
    )
    ip = "203.0.113.9"
    phones = numbers_where(bench, lambda part: part != ip_partition(bench, ip))
    started = [begin(bench, next(phones), ip=ip) for _ in range(12)]
    for number in range(2):
        bench.service.check(TENANT, started[number].id, wrong(bench.code(started[number].id)), ip=ip)
    before = counts(spread)
    assert bench.service.check(TENANT, started[2].id, bench.code(started[2].id), ip=ip).approved
    to = next(phones)
    begin(bench, to, ip=ip)
    with pytest.raises(RateLimited):
        begin(bench, to, ip=ip)
    assert counts(spread) == before
    spendable = int(allow.partition("/")[0]) - 2
    for place in range(spendable):
        victim = started[3 + place // 4].id
        bench.service.check(TENANT, victim, wrong(bench.code(victim)), ip=ip)
    last = started[11].id
    full = counts(spread)
    assert bench.service.check(TENANT, last, wrong(bench.code(last)), ip=ip).checks_left == 4
    for _ in range(2):
        with pytest.raises(RateLimited) as refused:
            bench.service.check(TENANT, last, bench.code(last), ip=ip)
        assert refused.value.members["limit"] == "ip-wrong"
        told = bench.explain.decision(TENANT, refused.value.members["decision"])
        assert "`ip-wrong` refuses" in told.sentence
    assert counts(spread) == full
    fresh = begin(bench, next(phones), ip=ip)
    assert bench.service.check(TENANT, fresh.id, bench.code(fresh.id), ip=ip).approved
    assert bench.service.check(TENANT, last, bench.code(last)).approved


def test_concurrent_starts_of_many_numbers_admit_as_many_as_the_address_may(spread: Store) -> None:
    """Where nothing else refuses, exactly the limit's amount passes, although each number lies elsewhere."""
    bench = make_bench(spread, POLICY + '[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "5/hour"\n')
    phones = list(itertools.islice(numbers(415), 24))
    outcomes = at_once(*[outcome(partial(begin, bench, to, ip="203.0.113.9")) for to in phones])
    assert sum(isinstance(found, Verification) for found in outcomes) == 5
    assert sum(isinstance(found, RateLimited) for found in outcomes) == 19


def test_concurrent_starts_of_one_number_admit_at_most_its_limit_and_hold_nothing_more(spread: Store) -> None:
    """At most k pass where a hold elsewhere is visible for a round trip, and afterwards every count is what passed."""
    bench = make_bench(
        spread,
        POLICY
        + """
        [[limit]]
        name = "number"
        of = ["number"]
        allow = "3/10 minutes"
        [[limit]]
        name = "ip"
        of = ["ip"]
        allow = "8/hour; 40/day"
        """,
    )
    to = next(numbers(415))
    ip = ip_outside(bench, home_of(bench, to))
    before = counts(spread)
    outcomes = at_once(*[outcome(partial(begin, bench, to, ip=ip, purpose=f"p{place}")) for place in range(24)])
    admitted = sum(isinstance(found, Verification) for found in outcomes)
    assert 1 <= admitted <= 3
    assert admitted + sum(isinstance(found, RateLimited) for found in outcomes) == 24
    after = {key: count for key, count in counts(spread).items() if key not in before}
    assert sorted(count.hits for count in after.values()) == [[admitted], [admitted] * 2]


def test_one_idempotency_key_belongs_to_one_body_across_partitions(spread: Store) -> None:
    """Of two starts for numbers of different partitions under one key, together or one after the other, one is
    admitted and the other told mismatch; the admitted one is answered again as it was."""
    bench = make_bench(spread, POLICY)
    phones = numbers(415)
    for key in ("first", "second", "third"):
        place = spread.verifications.partition(bench.tagger.tag("idempotency", TENANT, "start", key))
        one = next(to for to in phones if home_of(bench, to) != place)
        other = next(to for to in phones if home_of(bench, to) not in (place, home_of(bench, one)))
        outcomes = at_once(*[outcome(partial(begin, bench, to, key)) for to in (one, other)])
        [admitted] = [found for found in outcomes if isinstance(found, Verification)]
        [refused] = [found for found in outcomes if not isinstance(found, Verification)]
        assert isinstance(refused, IdempotencyMismatch)
        assert admitted.to is not None
        assert begin(bench, admitted.to, key) == admitted
        with pytest.raises(IdempotencyMismatch):
            begin(bench, one if admitted.to == other else other, key)


def test_an_approval_gives_its_start_back_to_another_partition(spread: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatcher carries the refund to the address's partition with its next look, four a second; what is not
    approved stays counted."""
    bench = make_bench(
        spread,
        POLICY
        + """
        [[limit]]
        name = "ip"
        of = ["ip"]
        allow = "5/hour; 40/day"
        net_of_approved = true
        """,
    )
    to, other = itertools.islice(numbers(415), 2)
    ip = ip_outside(bench, home_of(bench, to))
    before = counts(spread)
    given, carry, looks = threading.Event(), Outbox.carry, list[bool]()

    def counted() -> list[list[float]]:
        return [count.hits for key, count in counts(spread).items() if key not in before]

    def looking(outbox: Outbox, part: int, *args: Any) -> bool:
        begun = given.is_set()
        more = carry(outbox, part, *args)
        if begun and part == home_of(bench, to):
            looks.append(counted() == [[1, 1]])
        return more

    monkeypatch.setattr(Outbox, "carry", looking)
    assert dispatcher.CARRY_S == 0.25
    with dispatching(bench):
        approved, left = begin(bench, to, ip=ip), begin(bench, other, ip=ip)
        assert bench.service.check(TENANT, approved.id, bench.code(approved.id)).approved
        given.set()
        until(lambda: True in looks, "the refund")
        assert looks.index(True) <= 1
        # And every partition learns how far the dispatcher has come, by the clock of the starts.
        bench.clock.advance(60)
        marks = [(part, f"{prefix(part)}credited") for part in range(spread.link.partitions)]
        now = {str(bench.clock.ms).encode()}
        until(lambda: {spread.link.command(part, ["GET", key]) for part, key in marks} == now)
    assert all(0 < spread.link.client(part).pttl(key) <= 3_600_000 for part, key in marks)
    assert bench.service.status(TENANT, left.id).status == "pending"


@pytest.mark.parametrize("lane", ["none", "own"])
def test_a_wrong_code_of_a_test_number_counts_in_no_other_partition(spread: Store, lane: Lane) -> None:
    """What an address's partition held before the number's knew whose code it was is given back."""
    bench = make_bench(
        spread, POLICY + '[[limit]]\nname = "ip-wrong"\nof = ["ip"]\nallow = "5/hour"\ncounts = "wrong-codes"\n'
    )
    to = next(numbers(415))
    tested = NumberOfTests(match=to, code="246810", until=date(2099, 12, 31), limits=lane)
    bench.service.config = msgspec.structs.replace(bench.service.config, test_numbers=(tested,))
    started = begin(bench, to)
    before = counts(spread)
    ip = ip_outside(bench, home_of(bench, to))
    assert bench.service.check(TENANT, started.id, "135790", ip=ip).status == "pending"
    assert counts(spread) == before
