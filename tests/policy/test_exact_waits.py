"""`retry_after` is exact: a second before it a retry is refused, and at it a retry passes."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.support.bench import Bench, make_bench, wrong
from tests.support.concurrency import numbers
from verify_service import phone
from verify_service.errors import Problem, VerificationNotFound
from verify_service.model import Start
from verify_service.policy.file import default_text
from verify_service.store import Store

TO = "+14155550123"
IP = "192.0.2.7"
TENANT = "default"
FREE = '[code]\nlife = "1 day"\nsends = 20\nguess_ceiling = 1.0\n'


class Refusal(NamedTuple):
    """How to be refused, by which limit or problem, for how long, and what is tried again."""

    policy: str
    prepare: Callable[[Bench], object]
    by: str
    wait: int
    attempt: Callable[[Bench], object]


def start(bench: Bench, to: str = TO, purpose: str = "login", ip: str | None = None) -> str:
    number = phone.parse(to, None)
    return bench.service.start(TENANT, Start(number=number, channel="sms", purpose=purpose, ip=ip)).id


def starts(count: int, apart: float, purpose: str | None = None) -> Callable[[Bench], object]:
    """That many starts of one number, `apart` seconds from each other; without a purpose each has its own."""

    def prepare(bench: Bench) -> None:
        for n in range(count):
            if n:
                bench.clock.advance(apart)
            start(bench, purpose=purpose or f"purpose-{n}")

    return prepare


def of_one_address(count: int, apart: float) -> Callable[[Bench], object]:
    def prepare(bench: Bench) -> None:
        for to, _ in zip(numbers(415), range(count), strict=False):
            start(bench, to, ip=IP)
            bench.clock.advance(apart)

    return prepare


def wrong_codes(count: int, apart: float) -> Callable[[Bench], object]:
    """That many wrong codes, five to a verification."""

    def prepare(bench: Bench) -> None:
        for n in range(count):
            if n % 5 == 0:
                found = start(bench, purpose=f"purpose-{n}")
            bench.service.check(TENANT, found, wrong(bench.code(found)))
            bench.clock.advance(apart)

    return prepare


def limit(name: str, of: str, allow: str, counts: str = "starts") -> str:
    return f'{FREE}[[limit]]\nname = "{name}"\nof = ["{of}"]\nallow = "{allow}"\ncounts = "{counts}"\n'


def again(bench: Bench) -> object:
    return start(bench)


def another_number(bench: Bench) -> object:
    return start(bench, "+12125550123", ip=IP)


DEFAULT = default_text()
REFUSALS = {
    "first cooldown": Refusal(DEFAULT, starts(1, 0, "login"), "cooldown", 30, again),
    "second cooldown": Refusal(DEFAULT, starts(2, 30, "login"), "cooldown", 60, again),
    "third cooldown": Refusal(DEFAULT, starts(3, 60, "login"), "cooldown", 120, again),
    "a cooldown that outlasts the code": Refusal(
        '[code]\nlife = "1 minute"\ncooldown = ["5 minutes"]\nguess_ceiling = 1.0',
        starts(1, 0, "login"),
        "cooldown",
        60,
        again,
    ),
    "a cooldown before a longer limit": Refusal(
        DEFAULT, lambda bench: (starts(4, 0.137)(bench), start(bench)), "cooldown", 600, again
    ),
    "all messages sent": Refusal(DEFAULT, starts(5, 120, "login"), "sends-exhausted", 121, again),
    "a limit of 5 in 10 minutes": Refusal(DEFAULT, starts(5, 0.137), "number", 600, again),
    "a limit of 10 a day": Refusal(DEFAULT, starts(10, 700.5), "number", 80_096, again),
    "a limit of 30 an hour by address": Refusal(
        limit("ip", "ip", "30/hour"), of_one_address(30, 1.001), "ip", 3_570, another_number
    ),
    "a limit of 150 a day by address, counted": Refusal(
        limit("ip", "ip", "150/day"), of_one_address(150, 125), "ip", 0, another_number
    ),
    "a counter in the middle of its window": Refusal(
        limit("many", "ip", "40/minute"), of_one_address(40, 1.4), "many", 0, another_number
    ),
    "a number's wrong codes": Refusal(DEFAULT, wrong_codes(10, 61), "number-wrong-codes", 2_991, again),
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=list(REFUSALS))
def test_a_retry_passes_at_retry_after_and_not_before(store: Store, case: Refusal) -> None:
    """Whatever refuses a start says to the second when a retry passes; `wait` 0 leaves the figure to the script."""
    bench = make_bench(store, case.policy)
    case.prepare(bench)
    refused = _refused(bench, case)
    assert refused.members.get("limit", refused.slug) == case.by
    wait = refused.members["retry_after"]
    assert wait == case.wait or (case.wait == 0 and wait > 1)
    bench.clock.advance(wait - 1)
    assert _refused(bench, case).members["retry_after"] == 1
    bench.clock.advance(1)
    case.attempt(bench)


def test_a_check_passes_at_retry_after_and_not_before(store: Store) -> None:
    """A limit on wrong codes says to the second when a code is compared again."""
    bench = make_bench(store, limit("guesses", "number", "2/hour", "wrong-codes"))
    found = start(bench)
    code = bench.code(found)
    for _ in range(2):
        bench.service.check(TENANT, found, wrong(code))
        bench.clock.advance(0.5)
    for wait in (3_600, 1):
        with pytest.raises(Problem) as refused:
            bench.service.check(TENANT, found, code)
        assert (refused.value.members["limit"], refused.value.members["retry_after"]) == ("guesses", wait)
        bench.clock.advance(3_599 if wait > 1 else 1)
    assert bench.service.check(TENANT, found, code).approved


def exhausted(bench: Bench, found: str) -> int:
    """What a check of a verification without tries says in `retry_after`."""
    with pytest.raises(Problem) as refused:
        bench.service.check(TENANT, found, "123456")
    assert refused.value.slug == "checks-exhausted"
    return int(refused.value.members["retry_after"])


def test_an_exhausted_verification_does_not_hold_up_a_new_start(bench: Bench) -> None:
    """It says 0, and a start passes at once; then what it says is the cooldown of the one that is pending. After its
    life there is none to check."""
    found = start(bench)
    wrong_code = wrong(bench.code(found))
    for _ in range(5):
        bench.service.check(TENANT, found, wrong_code)
    assert exhausted(bench, found) == 0
    assert start(bench) != found
    assert exhausted(bench, found) == 30
    bench.clock.advance(600)
    with pytest.raises(VerificationNotFound):
        bench.service.check(TENANT, found, "123456")


@pytest.mark.parametrize(
    ("policy", "before"),
    [
        pytest.param(limit("few", "number", "2/5 minutes"), starts(1, 0, "payment"), id="starts"),
        pytest.param(limit("guesses", "number", "5/5 minutes", "wrong-codes"), starts(0, 0), id="wrong codes"),
        pytest.param(
            limit("both", "number", "2/5 minutes").replace('["number"]', '["number", "tenant"]'),
            starts(1, 0, "payment"),
            id="starts for a tenant",
        ),
    ],
)
def test_an_exhausted_verification_says_when_a_new_start_can_pass(
    store: Store, policy: str, before: Callable[[Bench], object]
) -> None:
    """Where a limit of the number stands in the way, a start a second before `retry_after` is refused, and at it
    passes."""
    bench = make_bench(store, policy)
    before(bench)
    found = start(bench)
    wrong_code = wrong(bench.code(found))
    for _ in range(5):
        bench.clock.advance(1)
        bench.service.check(TENANT, found, wrong_code)
    wait = exhausted(bench, found)
    assert 290 <= wait <= 300
    bench.clock.advance(wait - 1)
    assert exhausted(bench, found) == 1
    with pytest.raises(Problem):
        start(bench)
    bench.clock.advance(1)
    assert start(bench) != found


def _refused(bench: Bench, case: Refusal) -> Problem:
    with pytest.raises(Problem) as refused:
        case.attempt(bench)
    return refused.value
