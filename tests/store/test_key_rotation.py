"""Keys: codes are derived and bound to all that they are for, and live verifications survive a rotation."""

import base64
import hashlib
import hmac
import secrets
from typing import Any, cast

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from tests.support.bench import Bench, ManualClock, a_start, make_bench, wrong
from tests.support.concurrency import numbers
from tests.support.live import PATIENCE_S, dispatching, until
from verify_service.asking import Target
from verify_service.codes import KeyRing, Tagger, hotp, new_key
from verify_service.errors import ConfigError, VerificationNotFound
from verify_service.model import Verification
from verify_service.policy import file as policy_file
from verify_service.policy.rulebook import fixed
from verify_service.service import Service
from verify_service.store import Store, partitions
from verify_service.store.layouts import Record

pytestmark = pytest.mark.slow

TENANT = "default"
K1, K2 = f"k1:{new_key()}", f"k2:{new_key()}"
FIXED = base64.b64encode(bytes(range(32))).decode()
RENEW = 'guess_ceiling = 1.0\nresend = "new"\ncooldown = ["30 seconds"]\n'


def with_keys(bench: Bench, keys: str, policy: str | None = None, tag_key: str | None = None) -> Bench:
    """The same service after a restart with other keys: same store, same clock."""
    ring = KeyRing(keys)
    tagger = Tagger(tag_key) if tag_key else bench.tagger
    rules = policy_file.parse(policy or policy_file.default_text(), "test policy")
    service = Service(bench.service.config, fixed(rules, tagger), ring, tagger, bench.store.verifications, bench.clock)
    return Bench(bench.store, ring, tagger, bench.clock, service)


def begin(bench: Bench, to: str, **fields: Any) -> Verification:
    return bench.service.start(TENANT, a_start(to, **fields))


def record_of(bench: Bench, verification_id: str) -> Record:
    return Record.open(bench.store.link.command(0, ["GET", f"vs:{{0}}:verification:{verification_id}"]))


def kid_of(bench: Bench, verification_id: str) -> str:
    """The key that the verification was made with."""
    return record_of(bench, verification_id).kid


@pytest.fixture
def to() -> str:
    return next(numbers(206))


@pytest.fixture
def store(alone: Store) -> Store:
    """One of the test's own: its dispatchers read the whole outbox."""
    return alone


@pytest.fixture
def old(store: Store) -> Bench:
    """The service before the rotation, with one key."""
    return make_bench(store, keys=K1)


def test_a_verification_of_before_a_rotation_is_approved_after_it(old: Bench, to: str) -> None:
    """With the new key in front and the old one behind it, codes that are on their way stay right; wrong ones count."""
    started = begin(old, to)
    code = old.code(started.id)
    new = with_keys(old, f"{K2},{K1}")
    assert new.service.status(TENANT, started.id).to == to
    assert new.service.check(TENANT, started.id, wrong(code)).checks_left == 4
    assert new.service.check(TENANT, started.id, code).approved


def test_new_verifications_are_made_with_the_first_key(old: Bench, to: str) -> None:
    """After a rotation the newest key makes, so that the old one can leave once what it made has expired."""
    new = with_keys(old, f"{K2},{K1}")
    started = begin(new, to)
    assert kid_of(new, started.id) == "k2"
    assert with_keys(old, K2).service.check(TENANT, started.id, new.code(started.id)).approved


def test_a_resend_after_a_rotation_shows_the_same_code(old: Bench, to: str) -> None:
    """The code of a pending verification hangs on its own key and nonce, whichever key is the newest by now."""
    started = begin(old, to)
    code = old.code(started.id)
    new = with_keys(old, f"{K2},{K1}")
    old.clock.advance(31)
    with dispatching(new) as inbox:
        assert begin(new, to).id == started.id
        [first, *_] = inbox.messages(TENANT, to, None, PATIENCE_S)
        assert first.code == code
    assert new.service.check(TENANT, started.id, code).approved


def test_with_new_codes_a_resend_after_a_rotation_is_made_with_the_new_key(store: Store, to: str) -> None:
    """Where a resend brings a new code, it is the newest key's, and the one before is worthless."""
    policy = f"[code]\n{RENEW}"
    old = make_bench(store, policy, keys=K1)
    started = begin(old, to)
    superseded = old.code(started.id)
    new = with_keys(old, f"{K2},{K1}", policy)
    old.clock.advance(31)
    assert begin(new, to).id == started.id
    assert kid_of(new, started.id) == "k2"
    assert not new.service.check(TENANT, started.id, superseded).approved
    assert new.service.check(TENANT, started.id, new.code(started.id)).approved


def test_a_verification_of_a_retired_key_is_not_found_and_no_try_is_spent(old: Bench, to: str) -> None:
    """Nothing can be compared without the key: neither a right nor a wrong code counts, and its state can still be
    read, without the number; with the key back in the ring, the code is right."""
    started = begin(old, to)
    code = old.code(started.id)
    retired = with_keys(old, K2)
    for tried in (code, wrong(code)):
        with pytest.raises(VerificationNotFound):
            retired.service.check(TENANT, started.id, tried)
        with pytest.raises(VerificationNotFound):
            retired.service.check(TENANT, Target(to, None, "login"), tried)
    state = retired.service.status(TENANT, started.id)
    assert (state.status, state.checks_left, state.to) == ("pending", 5, None)
    back = with_keys(old, f"{K2},{K1}")
    assert back.service.check(TENANT, started.id, code).approved


def test_a_resend_of_a_verification_of_a_retired_key_brings_a_new_code(old: Bench, to: str) -> None:
    """A key that had to leave at once does not lock its numbers out: the resend's code is made with the newest key."""
    started = begin(old, to)
    retired = with_keys(old, K2)
    old.clock.advance(31)
    with dispatching(retired) as inbox:
        assert begin(retired, to).id == started.id
        code = inbox.messages(TENANT, to, None, PATIENCE_S)[0].code
    assert code == retired.code(started.id)
    assert retired.service.check(TENANT, started.id, code).approved


def last_event(bench: Bench, verification_id: str) -> tuple[str, str | None]:
    timeline = bench.service.status(TENANT, verification_id).timeline
    last = [line for line in timeline if line.event != "expired"][-1]
    return last.event, last.reason


def test_a_message_is_left_to_a_dispatcher_that_has_its_key(old: Bench, to: str) -> None:
    """While a rotation is rolled out, a dispatcher without the key of an entry sends what it can and leaves that entry
    to another, which takes it over within five seconds."""
    started = begin(old, to)
    retired = with_keys(old, K2)
    sent = begin(retired, to, purpose="payment")
    with dispatching(retired) as inbox:
        [message] = inbox.messages(TENANT, to, None, PATIENCE_S)
        assert message.verification_id == sent.id
        assert last_event(retired, started.id) == ("queued", None)
    with dispatching(with_keys(old, f"{K2},{K1}")):
        until(lambda: last_event(old, started.id) == ("delivered", None))


def test_the_dispatcher_buries_what_a_retired_key_has_queued(old: Bench, to: str) -> None:
    """A message whose code nobody can derive any more ends as failed at the end of its code's life, with the reason in
    the timeline, and nothing of it stays in the outbox."""
    started = begin(old, to)
    old.clock.advance(601)
    with dispatching(with_keys(old, K2)) as inbox:
        until(lambda: len(old.service.status(TENANT, started.id).timeline) == 4)
        assert inbox.messages(TENANT, to, None, 0) == []
    [_, _, expired, last] = old.service.status(TENANT, started.id).timeline
    assert (last.event, last.reason) == ("failed", "expired before it was sent")
    assert expired.event == "expired"
    queued = cast(Any, old.store.link.client()).xrange("vs:{0}:outbox")
    assert started.id.encode() not in [fields[b"id"] for _, fields in queued]


def test_another_tag_key_starts_from_zero_but_ids_stay_good(old: Bench, to: str) -> None:
    """With another VERIFY_TAG_KEY a number is a stranger: its limits and its pointer are not found. A verification is
    still checked by its id."""
    started = begin(old, to)
    other = with_keys(old, K1, tag_key=new_key())
    with pytest.raises(VerificationNotFound):
        other.service.check(TENANT, Target(to, None, "login"), old.code(started.id))
    again = begin(other, to)
    assert again.id != started.id
    assert other.service.status(TENANT, started.id).to == to
    assert other.service.check(TENANT, started.id, old.code(started.id)).approved


def _framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@pytest.mark.parametrize("digits", [6, 7, 8])
def test_a_code_is_rfc_4226_over_a_secret_of_key_nonce_tenant_and_purpose(digits: int) -> None:
    """HOTP at counter 0, as pyotp has it and as the RFC's section 5.3 spells it out, with a secret of the 160
    bits that section 4 recommends."""
    nonce = secrets.token_hex(16)
    key = hmac.digest(bytes(range(32)), _framed(b"verify_service code"), "sha256")
    secret = hmac.digest(key, _framed(nonce.encode(), b"acme", b"login"), "sha256")[:20]
    mac = hmac.digest(secret, bytes(8), "sha1")
    offset = mac[-1] & 0xF
    number = (int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF) % 10**digits
    code = KeyRing(f"k1:{FIXED}").code("k1", nonce, "acme", "login", digits)
    assert code == f"{number:0{digits}d}"
    assert pyotp.HOTP(base64.b32encode(secret).decode(), digits=digits).verify(code, 0)


@given(st.binary(min_size=20, max_size=20), st.integers(6, 8))
def test_a_value_made_the_short_way_is_pyotps(secret: bytes, digits: int) -> None:
    """Whatever the secret, leading zeros and all."""
    assert hotp(secret, digits) == pyotp.HOTP(base64.b32encode(secret).decode(), digits=digits).at(0)


def test_a_ring_whose_codes_are_not_pyotps_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process compares one value before it sends any."""
    monkeypatch.setattr(pyotp.HOTP, "at", lambda _self, _count: "00000000")
    with pytest.raises(ConfigError, match="RFC 4226"):
        KeyRing(f"k1:{FIXED}")


def test_the_derivation_of_codes_digests_and_tags_stays_as_it_is() -> None:
    """A release that derives otherwise would refuse every code that is on its way while it is rolled out."""
    ring = KeyRing(f"k1:{FIXED}")
    nonce = "00" * 16
    assert ring.code("k1", nonce, "acme", "login", 6) == "496444"
    assert ring.digest("123456", nonce, "acme", "login", {"amount": "5"}) == "6a62a6438b9a3391c559e061373cc4c0bcb88021"
    assert Tagger(FIXED).tag("number", "+14155550123") == "a42f310dd1436afa3ad3"


words = st.text(st.characters(codec="utf-8"), max_size=12)
bindings = st.none() | st.dictionaries(words, words, min_size=1, max_size=3)
bound = st.tuples(st.from_regex(r"[0-9]{6}", fullmatch=True), words, words, words, bindings)


@given(one=bound, other=bound, change=st.integers(0, 4))
def test_a_digest_is_of_one_code_nonce_tenant_purpose_and_binding(
    one: tuple[str, str, str, str, dict[str, str] | None],
    other: tuple[str, str, str, str, dict[str, str] | None],
    change: int,
) -> None:
    """Whichever of the five differs, the digest differs; and it is what the check script computes from a proof."""
    ring = KeyRing(f"k1:{FIXED}")
    code, nonce, tenant, purpose, binding = one
    mixed: list[Any] = list(one)
    mixed[change] = other[change]
    digest = ring.digest(code, nonce, tenant, purpose, binding)
    assert (ring.digest(*mixed) == digest) == (tuple(mixed) == one)
    proof = ring.proofs(code, binding)["k1"]
    script = hashlib.sha1(f"{proof}{nonce}{tenant}|{purpose}".encode(), usedforsecurity=False).hexdigest()
    assert digest == script


def test_a_digest_says_nothing_without_the_key(store: Store, to: str) -> None:
    """All million codes can be tried against the store's record with another key, and none fits."""
    bench = make_bench(store, keys=K1)
    started = begin(bench, to)
    code = bench.code(started.id)
    record = record_of(bench, started.id)
    nonce, digest = record.nonce, record.digest
    assert bench.keys.digest(code, nonce, TENANT, "login", None) == digest
    assert KeyRing(f"k1:{new_key()}").digest(code, nonce, TENANT, "login", None) != digest
    assert code not in "|".join(map(str, astuple(record)))


@pytest.mark.parametrize("count", [1, 32])
def test_an_id_carries_its_partition_and_nothing_of_the_number(count: int) -> None:
    """Whoever holds an id knows which of the partitions it is in; its first 16 bits are drawn anew for every id."""
    tag = Tagger(new_key()).tag("number", "+14155550123")
    part = partitions.of_tag(tag, count)
    ids = [partitions.new_id("ve", part, count) for _ in range(4000)]
    assert {partitions.of_id(each, count) for each in ids} == {part}
    assert len({each[3:7] for each in ids}) > 1000
    assert all(len(each) == 35 and tag not in each for each in ids)
    assert len({each[7:] for each in ids}) == 4000


def test_ids_of_one_number_differ_and_lead_to_its_partition(bench: Bench, to: str) -> None:
    """The service's own ids, as given to callers."""
    assert isinstance(bench.clock, ManualClock)
    first, second = begin(bench, to), begin(bench, to, purpose="payment")
    assert first.id != second.id
    home = bench.store.verifications.partition(bench.tagger.number(to))
    assert {partitions.of_id(each.id, 1) for each in (first, second)} == {home}


@pytest.mark.parametrize(
    "text",
    [
        "",
        " , ",
        "k1",
        f"k1:{FIXED[:-4]}",
        f"k1:{FIXED},k1:{FIXED}",
        f"k 1:{FIXED}",
        f":{FIXED}",
        "k1:not base64 at all",
    ],
)
def test_a_key_ring_that_cannot_be_used_is_refused_in_one_line_without_the_key(text: str) -> None:
    """The message says how it is written, and shows none of it."""
    with pytest.raises(ConfigError) as refused:
        KeyRing(text)
    assert "VERIFY_KEYS" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert FIXED[:-4] not in str(refused.value)
