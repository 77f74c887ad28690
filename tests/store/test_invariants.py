"""What must always hold, by the service and its scripts on a real store, with many threads at once."""

import itertools
from collections import Counter
from typing import Any

import pytest

from tests.support.bench import Bench, make_bench, wrong
from tests.support.concurrency import at_once, numbers, outcome
from verify_service import phone
from verify_service.errors import (
    ChecksExhausted,
    IdempotencyMismatch,
    OptedOut,
    Problem,
    RateLimited,
    SendsExhausted,
    VerificationNotFound,
)
from verify_service.model import Check, Start, Verification
from verify_service.store import Store

# A race that shows once is a fault, so nothing here gets a second go.
TO = "+14155550123"
TENANT = "default"
NO_LIMITS = """
[code]
checks = 5
sends = 20
cooldown = ["1 second"]
guess_ceiling = 1.0
"""
NEW_CODES = NO_LIMITS + 'resend = "new"\n'


def begin(bench: Bench, to: str = TO, tenant: str = TENANT, key: str | None = None, **fields: Any) -> Verification:
    """An admitted start."""
    fields = {"purpose": "login", **fields}
    return bench.service.start(tenant, Start(number=phone.parse(to, None), channel="sms", **fields), key)


def problem(bench: Bench, to: str = TO, tenant: str = TENANT, key: str | None = None, **fields: Any) -> Problem:
    """What refuses a start."""
    with pytest.raises(Problem) as refused:
        begin(bench, to, tenant, key, **fields)
    return refused.value


def check(bench: Bench, where: str, code: str, **fields: Any) -> Check:
    return bench.service.check(fields.pop("tenant", TENANT), where, code, **fields)


def limit_counts(store: Store) -> dict[bytes, object]:
    """Every count of every limit in the store."""
    client = store.link.client()
    return {key: client.get(key) for key in client.scan_iter(match="vs:*}:limit:*", count=1000)}


def test_of_200_concurrent_right_checks_exactly_one_is_approved(bench: Bench) -> None:
    """A code is approved at most once: the other 199 find no live verification."""
    started = begin(bench)
    code = bench.code(started.id)
    outcomes = at_once(*[outcome(lambda: check(bench, started.id, code))] * 200)
    assert Counter(getattr(found, "status", None) for found in outcomes) == {"approved": 1, 404: 199}


def test_of_200_concurrent_wrong_checks_exactly_five_are_compared(bench: Bench) -> None:
    """Five wrong codes are compared, each with its own number of tries left; every further one is told exhausted."""
    started = begin(bench)
    code = wrong(bench.code(started.id))
    outcomes = at_once(*[outcome(lambda: check(bench, started.id, code))] * 200)
    compared = [found for found in outcomes if isinstance(found, Check)]
    assert sorted(found.checks_left for found in compared) == [0, 1, 2, 3, 4]
    assert sorted(found.status for found in compared) == ["exhausted", *["pending"] * 4]
    assert sum(isinstance(found, ChecksExhausted) for found in outcomes) == 195
    assert bench.service.status(TENANT, started.id).status == "exhausted"


def test_of_50_concurrent_starts_of_one_purpose_exactly_one_is_admitted(bench: Bench) -> None:
    """The cooldown has no race: 49 are told to wait its 30 seconds, and are given the id that is pending."""
    outcomes = at_once(*[outcome(lambda: begin(bench))] * 50)
    admitted = [found for found in outcomes if isinstance(found, Verification)]
    refused = [found.members for found in outcomes if isinstance(found, RateLimited)]
    assert (len(admitted), len(refused)) == (1, 49)
    assert {(one["limit"], one["retry_after"], one["id"]) for one in refused} == {("cooldown", 30, admitted[0].id)}


def test_of_50_concurrent_starts_of_50_purposes_exactly_the_limit_is_admitted(bench: Bench) -> None:
    """The number's limit of 5 in 10 minutes has no race where no cooldown stands before it."""
    outcomes = at_once(*[outcome(lambda n=n: begin(bench, purpose=f"purpose-{n}")) for n in range(50)])  # type: ignore[misc]
    refused = [found.members for found in outcomes if isinstance(found, RateLimited)]
    assert sum(isinstance(found, Verification) for found in outcomes) == 5
    assert [(one["limit"], one["retry_after"]) for one in refused] == [("number", 601)] * 45


def test_a_right_code_beside_two_wrong_ones_is_always_approved(store: Store) -> None:
    """200 rounds of two wrong checks and one right one at once: the right one wins in each."""
    bench = make_bench(store, NO_LIMITS)
    for to in itertools.islice(numbers(415), 200):
        started = begin(bench, to)
        code = bench.code(started.id)
        bad = outcome(lambda: check(bench, started.id, wrong(code)))  # noqa: B023 - called in this round
        good = outcome(lambda: check(bench, started.id, code))  # noqa: B023
        right = at_once(bad, good, bad)[1]
        assert isinstance(right, Check), right
        assert right.approved


def test_a_right_code_beside_a_resend_and_a_wrong_one_is_always_approved(store: Store) -> None:
    """100 rounds: with the same code on resend, a resend that comes between cannot make a right code wrong."""
    bench = make_bench(store, NO_LIMITS)
    for to in itertools.islice(numbers(415), 100):
        started = begin(bench, to)
        code = bench.code(started.id)
        bench.clock.advance(2)
        resend = outcome(lambda: begin(bench, to).id)  # noqa: B023 - called in this round
        bad = outcome(lambda: check(bench, started.id, wrong(code)).status)  # noqa: B023
        good = outcome(lambda: check(bench, started.id, code).status)  # noqa: B023
        assert at_once(resend, bad, good)[2] == "approved"


def test_resends_do_not_refill_the_wrong_codes(store: Store) -> None:
    """With a resend let through every other moment, 200 concurrent wrong checks are still compared five times."""
    bench = make_bench(store, NO_LIMITS)
    started = begin(bench)
    code = wrong(bench.code(started.id))

    def resend() -> None:
        for _ in range(10):
            bench.clock.advance(2)
            assert begin(bench).checks_left >= 0

    tries = [outcome(lambda: check(bench, started.id, code))] * 200
    outcomes = at_once(outcome(resend), *tries)
    assert sum(isinstance(found, Check) for found in outcomes) == 5
    assert sum(isinstance(found, ChecksExhausted) for found in outcomes) == 195


def test_a_resend_shows_the_same_code(bench: Bench) -> None:
    """Text messages overtake each other: under the default policy any of them carries the right code."""
    started = begin(bench)
    code = bench.code(started.id)
    bench.clock.advance(30)
    again = begin(bench)
    assert (again.id, again.sends_left, bench.code(again.id)) == (started.id, 3, code)
    assert check(bench, started.id, code).approved


def test_with_new_codes_only_the_newest_is_right(store: Store) -> None:
    """With `resend = "new"` the code before is wrong, and counted, as soon as the caller has the newer answer."""
    bench = make_bench(store, NEW_CODES)
    started = begin(bench)
    old = bench.code(started.id)
    bench.clock.advance(1)
    assert begin(bench).id == started.id
    new = bench.code(started.id)
    assert new != old
    assert check(bench, started.id, old).status == "pending"
    assert check(bench, started.id, new).approved


def test_with_new_codes_a_superseded_code_is_never_approved(store: Store) -> None:
    """100 races of a resend and the code before it: either the code was first and a new verification began, or the
    verification goes on and the code is wrong. Never both."""
    bench = make_bench(store, NEW_CODES)
    for to in itertools.islice(numbers(415), 100):
        started = begin(bench, to)
        code = bench.code(started.id)
        bench.clock.advance(1)
        resent, checked = at_once(
            lambda: begin(bench, to).id,  # noqa: B023 - called in this round
            lambda: check(bench, started.id, code).status,  # noqa: B023
        )
        superseded = resent == started.id and bench.code(resent) != code
        assert superseded is (checked == "pending")


def test_wrong_codes_of_a_number_are_counted_across_its_verifications(bench: Bench) -> None:
    """Four verifications of one number, 200 wrong checks at once: ten are compared, not twenty; then no start either,
    until the hour is over; and twenty in a day whatever the hours."""
    ids = [begin(bench, purpose=f"purpose-{n}").id for n in range(4)]
    bad = [wrong(bench.code(one)) for one in ids]
    outcomes = at_once(*[outcome(lambda n=n: check(bench, ids[n % 4], bad[n % 4])) for n in range(200)])  # type: ignore[misc]
    assert sum(isinstance(found, Check) for found in outcomes) == 10
    assert {type(found) for found in outcomes} <= {Check, RateLimited, ChecksExhausted}
    assert problem(bench, purpose="another").members["limit"] == "number-wrong-codes"
    bench.clock.advance(3601)
    for _ in range(2):
        started = begin(bench)
        for _ in range(5):
            check(bench, started.id, wrong(bench.code(started.id)))
    bench.clock.advance(3601)
    refused = problem(bench)
    assert (refused.members["limit"], refused.members["retry_after"]) == ("number-wrong-codes", 86_401 - 2 * 3601)


def test_another_binding_ends_the_pending_one_and_carries_its_counts(bench: Bench) -> None:
    """A start with another binding is a new verification with a new code; sends and wrong codes count on."""
    first = begin(bench, binding={"amount": "10"})
    code = bench.code(first.id)
    for _ in range(2):
        check(bench, first.id, wrong(code), binding={"amount": "10"})
    bench.clock.advance(30)
    second = begin(bench, binding={"amount": "99"})
    assert second.id != first.id
    assert (second.checks_left, second.sends_left) == (3, 3)
    assert bench.service.status(TENANT, first.id).status == "canceled"
    with pytest.raises(VerificationNotFound):
        check(bench, first.id, code, binding={"amount": "10"})
    newer = bench.code(second.id)
    assert check(bench, second.id, newer, binding={"amount": "10"}).status == "pending"
    assert check(bench, second.id, newer).status == "pending"
    assert check(bench, second.id, newer, binding={"amount": "99"}).approved


def test_a_code_is_worthless_for_another_purpose_or_tenant(store: Store) -> None:
    """The code of one purpose or tenant is a wrong code for every other, and one tenant's id is unknown to the next."""
    bench = make_bench(store, NO_LIMITS)
    login, pay, other = begin(bench), begin(bench, purpose="payment"), begin(bench, tenant="other")
    assert len({login.id, pay.id, other.id}) == 3
    code = bench.code(login.id)
    assert check(bench, pay.id, code).status == "pending"
    assert check(bench, other.id, code, tenant="other").status == "pending"
    for stranger in (
        lambda: check(bench, login.id, code, tenant="other"),
        lambda: bench.service.status("other", login.id),
    ):
        with pytest.raises(VerificationNotFound):
            stranger()
    with pytest.raises(VerificationNotFound):
        bench.service.cancel("other", login.id)
    assert check(bench, login.id, code).approved


def test_concurrent_starts_with_one_idempotency_key_are_one_start(bench: Bench) -> None:
    """50 at once: one message in the outbox, and the same answer for all; another body under the key is refused."""
    before = bench.store.outbox.depth()
    answers = at_once(*[lambda: begin(bench, key="order-1")] * 50)
    assert all(answer == answers[0] for answer in answers)
    assert bench.store.outbox.depth() == before + 1
    assert isinstance(problem(bench, purpose="payment", key="order-1"), IdempotencyMismatch)


def test_concurrent_checks_with_one_idempotency_key_are_one_check(bench: Bench) -> None:
    """A wrong code under one key is counted once however often it is repeated, and a right one stays approved."""
    started = begin(bench)
    code = bench.code(started.id)
    bad = at_once(*[lambda: check(bench, started.id, wrong(code), idempotency_key="try-1")] * 50)
    good = at_once(*[lambda: check(bench, started.id, code, idempotency_key="try-2")] * 50)
    assert {(one.status, one.checks_left) for one in bad} == {("pending", 4)}
    assert {(one.status, one.checks_left) for one in good} == {("approved", 4)}


def test_refused_starts_spend_nothing(alone: Store) -> None:
    """No refusal, whatever its reason, moves any count of any limit."""
    bench = make_bench(alone)
    begin(bench, ip="192.0.2.7", key="once")
    spent = limit_counts(bench.store)
    assert isinstance(problem(bench, ip="192.0.2.7"), RateLimited)
    assert isinstance(problem(bench, ip="192.0.2.8", key="once"), IdempotencyMismatch)
    begin(bench, ip="192.0.2.7", key="once")
    bench.store.consents.write(bench.clock.now(), bench.tagger.number("+14155550150"), TENANT, "out", "api", b"sealed")
    assert isinstance(problem(bench, "+14155550150", ip="192.0.2.7"), OptedOut)
    assert limit_counts(bench.store) == spent
    for _ in range(4):
        bench.clock.advance(120)
        begin(bench, ip="192.0.2.7")
    spent = limit_counts(bench.store)
    assert isinstance(problem(bench, ip="192.0.2.7"), SendsExhausted)
    assert problem(bench, ip="192.0.2.9", purpose="another").members["limit"] == "number"
    assert limit_counts(bench.store) == spent


def test_no_end_of_a_verification_leaves_its_number_behind(bench: Bench) -> None:
    """The number's ciphertext goes when the verification ends: approved, exhausted or canceled."""
    all_to = list(itertools.islice(numbers(212), 3))
    approved, exhausted, canceled = (begin(bench, to) for to in all_to)
    assert check(bench, approved.id, bench.code(approved.id)).approved
    for _ in range(5):
        check(bench, exhausted.id, wrong(bench.code(exhausted.id)))
    bench.service.cancel(TENANT, canceled.id)
    pointers = [
        bench.store.link.command(0, ["GET", f"vs:{{0}}:live:{bench.tagger.number(to)}:{TENANT}:login"]) for to in all_to
    ]
    # Who spent all checks is still told so by number.
    assert pointers == [None, exhausted.id.encode(), None]
    assert {bench.service.status(TENANT, one.id).to for one in (approved, exhausted, canceled)} == {None}
