"""One person behind an address does not speak for the others: what a stranger's wrong codes keep from a neighbour."""

from collections.abc import Iterator
from functools import partial
from itertools import count

import pytest

from tests.support.bench import Bench, a_start, make_bench, wrong
from tests.support.concurrency import at_once, outcome
from verify_service.errors import ChecksExhausted, RateLimited
from verify_service.model import Check, Verification
from verify_service.store import Store

IP = "203.0.113.9"


def phones() -> Iterator[str]:
    return (f"+1415555{line:04d}" for line in count(1000))


def begin(bench: Bench, to: str, ip: str | None = IP) -> Verification:
    return bench.service.start("default", a_start(to, ip=ip))


def mistype(bench: Bench, started: Verification, ip: str = IP) -> Check:
    return bench.service.check("default", started.id, wrong(bench.code(started.id)), ip=ip)


def spent(bench: Bench, numbers: Iterator[str], codes: int = 60) -> None:
    """What a stranger at the address can type wrongly in an hour is typed."""
    while codes:
        started = begin(bench, next(numbers))
        for _ in range(min(5, codes)):
            mistype(bench, started)
            codes -= 1


def test_wrong_codes_of_a_stranger_keep_no_neighbour_out(bench: Bench) -> None:
    """Twelve starts to his own numbers and sixty wrong codes: whoever shares the address still gets a code, and the
    right one is approved."""
    numbers = phones()
    before = begin(bench, next(numbers))
    spent(bench, numbers)
    assert bench.service.check("default", before.id, bench.code(before.id), ip=IP).approved
    after = begin(bench, next(numbers))
    assert bench.service.check("default", after.id, bench.code(after.id), ip=IP).approved


def test_a_spent_address_has_one_code_for_each_verification(bench: Bench) -> None:
    """The first wrong one is compared and counts for the verification; the second, right or not, has to wait."""
    numbers = phones()
    spent(bench, numbers)
    started = begin(bench, next(numbers))
    assert mistype(bench, started).checks_left == 4
    with pytest.raises(RateLimited) as refused:
        bench.service.check("default", started.id, bench.code(started.id), ip=IP)
    assert refused.value.members["limit"] == "ip-wrong-codes"
    assert bench.service.status("default", started.id).checks_left == 4
    assert bench.service.check("default", started.id, bench.code(started.id)).approved


def test_a_resend_brings_no_further_free_code(bench: Bench) -> None:
    """The same verification, sent again, has had its first code; so has one that is started anew with other terms."""
    numbers = phones()
    spent(bench, numbers)
    to = next(numbers)
    first = begin(bench, to)
    mistype(bench, first)
    bench.clock.advance(31)
    assert begin(bench, to).id == first.id
    anew = bench.service.start("default", a_start(to, ip=IP, binding={"amount": "5"}))
    assert anew.id != first.id
    with pytest.raises(RateLimited) as refused:
        bench.service.check("default", anew.id, bench.code(anew.id), {"amount": "5"}, ip=IP)
    assert refused.value.members["limit"] == "ip-wrong-codes"


def test_of_many_first_codes_at_once_one_is_compared(bench: Bench) -> None:
    """Two hundred guesses at one verification from an address that is spent: one is compared, and 199 are refused."""
    numbers = phones()
    spent(bench, numbers)
    started = begin(bench, next(numbers))
    found = at_once(*[outcome(partial(mistype, bench, started))] * 200)
    assert sum(isinstance(each, Check) for each in found) == 1
    assert sum(isinstance(each, RateLimited) for each in found) == 199
    assert bench.service.status("default", started.id).checks_left == 4


def test_a_number_that_is_spent_refuses_its_starts_and_first_codes(bench: Bench) -> None:
    """What is guessed at a number is a matter of the number: no address and no new verification brings more guesses."""
    to = next(phones())
    for purpose in ("a", "b"):
        started = bench.service.start("default", a_start(to, purpose, ip=IP))
        for _ in range(5):
            mistype(bench, started)
    with pytest.raises(ChecksExhausted):
        mistype(bench, started)
    with pytest.raises(RateLimited) as refused:
        bench.service.start("default", a_start(to, "c", ip="198.51.100.1"))
    assert refused.value.members["limit"] == "number-wrong-codes"


def test_a_wrong_code_counts_wherever_there_is_room(store: Store) -> None:
    """An address that is spent takes nothing from what its network or the number counts."""
    limits = (("ip", "ip", 2), ("network", "network", 4), ("number", "number", 3))
    bench = make_bench(
        store,
        "[code]\nguess_ceiling = 1.0\n"
        + "".join(
            f'[[limit]]\nname = "{name}"\nof = ["{of}"]\nallow = "{most}/hour"\ncounts = "wrong-codes"\n'
            for name, of, most in limits
        ),
    )
    numbers = phones()
    for _ in range(4):
        mistype(bench, begin(bench, next(numbers)))
    started = begin(bench, next(numbers))
    mistype(bench, started, "203.0.113.10")
    with pytest.raises(RateLimited) as refused:
        mistype(bench, started, "203.0.113.10")
    assert refused.value.members["limit"] == "network"
    for _ in range(2):
        mistype(bench, started, "192.0.2.1")
    with pytest.raises(RateLimited) as refused:
        mistype(bench, started, "198.51.100.1")
    assert refused.value.members["limit"] == "number"
