"""Second factors: each code is approved once, wrong ones are counted first, and a device's clock may be wrong."""

import secrets
from collections import Counter
from functools import partial

import pyotp
import pytest

from tests.support.authenticator import TENANT, App, enrolled, verify
from tests.support.bench import Bench, make_bench, wrong
from tests.support.concurrency import at_once, outcome
from verify_service import authenticators, codes
from verify_service.errors import InvalidRequest, NotFound, Problem, RateLimited, StoreUnavailable
from verify_service.factors import FactorCheck, NewFactor
from verify_service.model import Actor
from verify_service.packing import plain
from verify_service.policy.base import DAY_MS
from verify_service.store import Store
from verify_service.store.user_layouts import User


@pytest.fixture
def user() -> str:
    """A name that no other test has."""
    return f"user-{secrets.token_hex(8)}"


def told(results: list[FactorCheck | Problem]) -> Counter[str]:
    """How often each outcome came."""
    return Counter(each.slug if isinstance(each, Problem) else each.status for each in results)


def record_of(bench: Bench, user: str) -> User:
    tag = bench.tagger.user(TENANT, user)
    seen = bench.store.users.look(bench.clock.now(), tag, ())
    assert seen.record is not None
    return seen.record


def test_one_time_step_is_approved_once_whatever_comes_at_once(bench: Bench, user: str) -> None:
    """200 concurrent right codes of one step: one approval, and no wrong code is counted for the others."""
    app = enrolled(bench, user)
    check = outcome(partial(bench.factors.check, TENANT, user, app.at()))
    assert told(at_once(*[check] * 200)) == {"approved": 1, "used": 199}
    assert bench.factors.look(TENANT, user).checks_left == 10


def test_the_steps_around_are_approved_once_each(bench: Bench, user: str) -> None:
    """In whatever order the step before, the step itself and the one after come: each is approved once."""
    app = enrolled(bench, user)
    bench.clock.advance(90)
    assert [bench.factors.check(TENANT, user, app.at(steps)).status for steps in (-2, 2)] == ["wrong", "wrong"]
    for steps in (0, -1, 1):
        code = app.at(steps)
        assert [bench.factors.check(TENANT, user, code).status for _ in range(2)] == ["approved", "used"]


def test_a_clock_that_is_25_seconds_off_stays_right_for_a_month(bench: Bench, user: str) -> None:
    """Four logins a day at odd moments, by a device that is late and one that is early."""
    for off in (-25, 25):
        app = enrolled(bench, f"{user}{off}")
        app.off = off
        for _ in range(120):
            bench.clock.advance(6 * 3600 + 7)
            assert bench.factors.check(TENANT, f"{user}{off}", app.at()).approved


def test_drift_is_learnt_step_by_step_and_bounded(bench: Bench, user: str) -> None:
    """A clock that goes wrong by a step between logins is followed for two steps, as the policy has it; a clock that is
    right again is approved at once; three steps off are never approved without having been learnt."""
    app = enrolled(bench, user)
    status = []
    for off in (-30, -60, -90, -120, -150, 0):
        app.off = off
        bench.clock.advance(3600)
        status.append(bench.factors.check(TENANT, user, app.at()).status)
    assert status == ["approved", "approved", "approved", "wrong", "wrong", "approved"]
    app.off = -90
    bench.clock.advance(3600)
    assert bench.factors.check(TENANT, user, app.at()).status == "wrong"


@pytest.mark.parametrize(("algorithm", "digits", "period"), [("SHA1", 6, 30), ("SHA256", 7, 60), ("SHA512", 8, 15)])
def test_every_algorithm_and_length(
    bench: Bench, user: str, algorithm: authenticators.Algorithm, digits: int, period: int
) -> None:
    """What the URI says is what is checked: pyotp reads the URI alone. The secret is as long as the hash's output."""
    app = enrolled(bench, user, NewFactor(digits=digits, period=period, algorithm=algorithm, label="A", issuer="B C"))
    assert bench.factors.check(TENANT, user, app.at()).approved
    assert len(app.at()) == digits
    assert len(pyotp.parse_uri(app.enrolled.uri).byte_secret()) == authenticators.SECRET_BYTES[algorithm]
    assert app.enrolled.secret in app.enrolled.uri
    assert app.enrolled.qr.startswith("<svg ")
    assert "<script" not in app.enrolled.qr
    assert "style=" not in app.enrolled.qr


def test_totp_is_rfc_6238_and_hotp_is_rfc_4226() -> None:
    """The test vectors of both: RFC 6238, appendix B, and RFC 4226, appendix D."""
    ascii_secret = b"1234567890" * 7
    sizes: list[tuple[authenticators.Algorithm, str]] = [
        ("SHA1", "94287082"), ("SHA256", "46119246"), ("SHA512", "90693936")
    ]  # fmt: skip
    for algorithm, right in sizes:
        secret = ascii_secret[: authenticators.SECRET_BYTES[algorithm]]
        made = authenticators.Authenticator("totp", secret, 8, 30, algorithm)
        assert list(made.codes(made.step(59_000), made.step(59_000))) == [(1, right)]
    hotp = authenticators.Authenticator("hotp", ascii_secret[:20])
    assert [code for _, code in hotp.codes(0, 3)] == ["755224", "287082", "359152", "969429"]
    for counter in (1, 2**31, 2**40):
        assert list(hotp.codes(counter, counter)) == [(counter, pyotp.HOTP(hotp.base32).at(counter))]


def test_hotp_looks_ahead_and_resynchronises(bench: Bench, user: str) -> None:
    """Two presses that went nowhere are passed over. Further ahead one code is not believed, and the next in a row is:
    the counter is there then. What lies behind is gone."""
    app = enrolled(bench, user, NewFactor(kind="hotp"))
    passed = app.counter
    assert bench.factors.check(TENANT, user, app.pressed(2)).approved
    skipped = pyotp.HOTP(app.enrolled.secret).at(passed)
    assert bench.factors.check(TENANT, user, skipped).status == "wrong"
    far = [app.pressed(20), app.pressed(), app.pressed()]
    assert [bench.factors.check(TENANT, user, code).status for code in far] == ["wrong", "approved", "approved"]
    assert bench.factors.check(TENANT, user, app.pressed(60)).status == "wrong"


def test_one_counter_is_approved_once_whatever_comes_at_once(bench: Bench, user: str) -> None:
    """The same for HOTP: a code that is typed twice is no wrong code."""
    app = enrolled(bench, user, NewFactor(kind="hotp"))
    check = outcome(partial(bench.factors.check, TENANT, user, app.pressed()))
    assert told(at_once(*[check] * 50)) == {"approved": 1, "used": 49}
    assert bench.factors.look(TENANT, user).checks_left == 10


def test_no_more_wrong_codes_are_told_from_right_ones_than_the_limit_allows(bench: Bench, user: str) -> None:
    """Of 100 wrong codes at once, ten are answered `wrong`, the others refused with the exact wait; then the right code
    is refused too, and passes an hour later. The day's limit then holds at twenty."""
    app = enrolled(bench, user)
    check = outcome(partial(bench.factors.check, TENANT, user, wrong(app.at())))
    results = at_once(*[check] * 100)
    assert told(results) == {"wrong": 10, "rate-limited": 90}
    with pytest.raises(RateLimited) as refused:
        bench.factors.check(TENANT, user, app.at())
    assert refused.value.members["limit"] == "user-wrong-codes"
    assert refused.value.members["retry_after"] == 3601
    assert bench.factors.look(TENANT, user).retry_after == 3601
    record = bench.explain.decision(TENANT, refused.value.members["decision"])
    assert record is not None
    assert "user-wrong-codes" in str(record)
    bench.clock.advance(3601)
    assert bench.factors.check(TENANT, user, app.at()).approved
    bench.clock.advance(30)
    assert told(at_once(*[outcome(partial(bench.factors.check, TENANT, user, wrong(app.at())))] * 30))["wrong"] == 10
    with pytest.raises(RateLimited) as spent:
        bench.factors.check(TENANT, user, app.at())
    assert spent.value.members["retry_after"] > 80_000


def test_a_right_code_is_not_refused_beside_wrong_ones(bench: Bench, user: str) -> None:
    """Nine wrong codes and a right one at once, the limit being ten: the right one is approved, in 20 rounds."""
    app = enrolled(bench, user)
    for _ in range(20):
        works = [outcome(partial(bench.factors.check, TENANT, user, wrong(app.at())))] * 9
        results = at_once(outcome(partial(bench.factors.check, TENANT, user, app.at())), *works)
        assert isinstance(results[0], FactorCheck)
        assert results[0].approved
        bench.clock.advance(86_400 + 30)


def test_recovery_codes_are_used_up(bench: Bench, user: str) -> None:
    """Ten, of which each approves once, however it is typed and whatever comes at once; the answer says how many are
    left. New ones void the old."""
    app = enrolled(bench, user, codes=True)
    assert len(set(app.recovery_codes)) == 10
    first, second, third = app.recovery_codes[:3]
    spoken = f" {first.upper().replace('-', ' ').replace('0', 'O').replace('1', 'l')} "
    found = bench.factors.check(TENANT, user, spoken)
    assert (found.status, found.kind, found.factor, found.recovery_codes_left) == ("approved", "recovery-code", None, 9)
    assert bench.factors.check(TENANT, user, first).status == "wrong"
    assert told(at_once(*[outcome(partial(bench.factors.check, TENANT, user, second))] * 8))["approved"] == 1
    fresh = bench.factors.renew_recovery_codes(TENANT, user)
    bench.clock.advance(3601)
    assert bench.factors.check(TENANT, user, third).status == "wrong"
    assert bench.factors.check(TENANT, user, fresh[9]).recovery_codes_left == 9


def test_a_factor_must_show_a_code_before_it_counts(bench: Bench, user: str) -> None:
    """Until then it approves nobody; its first code brings recovery codes, once a user, and it alone verifies it. A day
    later an enrolment is forgotten."""
    app = App(bench, bench.factors.enrol(TENANT, user, NewFactor()))
    with pytest.raises(NotFound):
        bench.factors.check(TENANT, user, app.at())
    with pytest.raises(NotFound):
        bench.factors.renew_recovery_codes(TENANT, user)
    assert verify(bench, user, app).recovery_codes is not None
    second = App(bench, bench.factors.enrol(TENANT, user, NewFactor()))
    assert bench.factors.verify(TENANT, user, second.id, app.at(1)).status == "wrong"
    assert verify(bench, user, second).recovery_codes is None
    third = App(bench, bench.factors.enrol(TENANT, user, NewFactor()))
    assert [each.status for each in bench.factors.look(TENANT, user).factors] == ["verified", "verified", "unverified"]
    bench.clock.advance(DAY_MS / 1000)
    assert len(bench.factors.look(TENANT, user).factors) == 2
    with pytest.raises(NotFound):
        verify(bench, user, third)


def test_a_user_has_as_many_factors_as_the_policy_allows(bench: Bench, user: str) -> None:
    """Of concurrent enrolments the newest five stay: what nobody verified gives way. Verified ones do not."""
    apps = at_once(*[lambda: App(bench, bench.factors.enrol(TENANT, user, NewFactor()))] * 12)
    assert len(bench.factors.look(TENANT, user).factors) == 5
    known = {each.id for each in bench.factors.look(TENANT, user).factors}
    for app in apps:
        if app.id in known:
            assert verify(bench, user, app, codes=False).approved
    with pytest.raises(InvalidRequest):
        bench.factors.enrol(TENANT, user, NewFactor())


def test_removing_the_last_factor_leaves_nothing(bench: Bench, user: str) -> None:
    """No recovery code outlives it, and nothing is sealed any more; of two, the other stays."""
    base = _sealed(bench)
    first, second = enrolled(bench, user, codes=True), enrolled(bench, user)
    assert _sealed(bench) - base == 3  # Two secrets and a name.
    bench.factors.remove(TENANT, user, first.id, Actor("ops"))
    with pytest.raises(NotFound):
        bench.factors.remove(TENANT, user, first.id, Actor("ops"))
    assert bench.factors.check(TENANT, user, second.at()).approved
    bench.factors.remove(TENANT, user, second.id, Actor("ops"))
    assert _sealed(bench) == base
    assert bench.store.users.look(bench.clock.now(), bench.tagger.user(TENANT, user), ()).record is None
    with pytest.raises(NotFound):
        bench.factors.check(TENANT, user, first.recovery_codes[0])
    enrolled(bench, user)
    assert bench.factors.erase(TENANT, user, Actor("ops"))
    assert not bench.factors.erase(TENANT, user, Actor("ops"))
    assert _sealed(bench) == base


def _sealed(bench: Bench) -> int:
    """How many pieces the bench's key seals, by the store's own count."""
    found = bench.store.link.command(0, ["HGET", "vs:{0}:sealed", bench.keys.newest])
    return int(found or 0)


def test_a_secret_is_sealed_anew_when_it_is_used(store: Store, user: str) -> None:
    """After a rotation the first check seals the secret with the new key, and the count by kid follows. A process that
    has no key for a secret answers 503 and counts nothing."""
    old, new = (f"k{secrets.token_hex(4)}:{codes.new_key()}" for _ in range(2))
    bench = make_bench(store, keys=old)
    app = enrolled(bench, user)
    rotated = bench.factors_of(bench.service, codes.KeyRing(f"{new},{old}"))
    assert rotated.check(TENANT, user, app.at()).approved
    sealed = {kid: bench.store.link.command(0, ["HGET", "vs:{0}:sealed", kid[:9]]) for kid in (old, new)}
    assert sealed == {old: b"0", new: b"2"}
    bench.clock.advance(30)
    with pytest.raises(StoreUnavailable):
        bench.factors.check(TENANT, user, app.at())
    alone = bench.factors_of(bench.service, codes.KeyRing(new))
    assert alone.check(TENANT, user, app.at()).approved
    assert alone.look(TENANT, user).checks_left == 10


def test_users_of_two_tenants_are_two_people(bench: Bench, user: str) -> None:
    """One name, two tenants: what one has the other has not."""
    app = enrolled(bench, user)
    with pytest.raises(NotFound):
        bench.factors.check("other", user, app.at())
    assert bench.factors.look("other", user).factors == ()


def test_nothing_readable_is_at_rest(bench: Bench, user: str) -> None:
    """Neither the name, the secret, the label, a code nor a recovery code stands in any key or value."""
    app = enrolled(bench, user, NewFactor(label="Ada's phone", issuer="Blue Bicycles"), codes=True)
    record = record_of(bench, user)
    assert not isinstance(record.factors, dict)
    kept = record.pack() + plain(record.name) + plain(record.codes)
    secret = pyotp.HOTP(app.enrolled.secret).byte_secret()
    for spoken in (
        user.encode(),
        secret,
        app.enrolled.secret.encode(),
        b"Ada",
        b"Blue",
        app.recovery_codes[0].encode(),
    ):
        assert spoken not in kept
    assert bench.store.link.command(0, ["PTTL", f"vs:{{0}}:user:{bench.tagger.user(TENANT, user)}"]) == -1


def test_a_record_that_cannot_be_read_approves_nobody(bench: Bench, user: str) -> None:
    """503 on every path, and it is never written over."""
    app = enrolled(bench, user)
    key = f"vs:{{0}}:user:{bench.tagger.user(TENANT, user)}"
    for damaged in (b"\x00", b"\x93\xa1a", b"\xc1" * 200):
        bench.store.link.command(0, ["SET", key, damaged])
        for call in (
            partial(bench.factors.look, TENANT, user),
            partial(bench.factors.check, TENANT, user, app.at()),
            partial(bench.factors.enrol, TENANT, user, NewFactor()),
            partial(bench.factors.remove, TENANT, user, app.id, Actor("ops")),
        ):
            with pytest.raises(StoreUnavailable):
                call()
        assert bench.store.link.command(0, ["GET", key]) == damaged
