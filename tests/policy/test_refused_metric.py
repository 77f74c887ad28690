"""`verify_refused_total`: what a dashboard shows of which limit or rule refuses."""

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from tests.support.authenticator import App
from tests.support.bench import Bench, a_start, make_bench, wrong
from tests.support.contract import a_number
from verify_service.errors import (
    Blocked,
    ChecksExhausted,
    IdempotencyMismatch,
    InvalidNumber,
    Problem,
    RateLimited,
    VerificationNotFound,
)
from verify_service.factors import NewFactor
from verify_service.store import Store

POLICY = """
[code]
guess_ceiling = 1.0
checks = 1
[countries]
deny = ["GB"]
[line_types]
deny = ["toll-free"]
[[limit]]
name = "per-ip"
of = ["ip"]
allow = "1/hour"
[[limit]]
name = "guesses"
of = ["number"]
allow = "1/hour"
counts = "wrong-codes"
[[limit]]
name = "user-guesses"
of = ["user"]
allow = "1/hour"
counts = "wrong-codes"
"""


def refused(act: Callable[[], object], problem: type[Problem]) -> dict[str, float]:
    """What the metric counts while this is refused."""

    def now() -> dict[str, float]:
        found = [sample for each in REGISTRY.collect() if each.name == "verify_refused" for sample in each.samples]
        return {sample.labels["by"]: sample.value for sample in found if sample.name == "verify_refused_total"}

    before = now()
    with pytest.raises(problem):
        act()
    return {by: value - before.get(by, 0) for by, value in now().items() if value != before.get(by, 0)}


@pytest.fixture
def few(store: Store) -> Bench:
    return make_bench(store, POLICY)


def test_a_refused_start_counts_under_what_decided(few: Bench) -> None:
    """Once, under the name that the decision and the answer carry: a limit, a list, a line type, a circumstance."""
    start, to = few.service.start, a_number()
    start("default", a_start(to, ip="203.0.113.7"))
    again = a_start(a_number(), ip="203.0.113.7")
    assert refused(lambda: start("default", again), RateLimited) == {"per-ip": 1}
    assert refused(lambda: start("default", a_start(to)), RateLimited) == {"cooldown": 1}
    assert refused(lambda: start("default", a_start("+447400123456")), Blocked) == {"countries": 1}
    assert refused(lambda: start("default", a_start("+18005550100")), InvalidNumber) == {"line-types": 1}


def test_a_refused_check_counts_as_well(few: Bench) -> None:
    """Under the limit on wrong codes, or as an exhausted budget of its own."""
    started = few.service.start("default", a_start(a_number())).id
    false = wrong(few.code(started))
    few.service.check("default", started, false)
    assert refused(lambda: few.service.check("default", started, false), ChecksExhausted) == {"checks-exhausted": 1}
    app = App(few, few.factors.enrol("default", "ann", NewFactor()))
    few.factors.verify("default", "ann", app.id, wrong(app.at()))
    again = refused(lambda: few.factors.verify("default", "ann", app.id, app.at()), RateLimited)
    assert again == {"user-guesses": 1}


def test_what_the_policy_did_not_decide_is_not_counted(few: Bench) -> None:
    """An Idempotency-Key with another body is the caller's own fault."""
    few.service.start("default", a_start(a_number()), "one-key")
    other = a_start(a_number())
    assert refused(lambda: few.service.start("default", other, "one-key"), IdempotencyMismatch) == {}
    unknown = "ve_" + "0" * 32
    assert refused(lambda: few.service.check("default", unknown, "123456"), VerificationNotFound) == {}
