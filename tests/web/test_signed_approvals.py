"""The receipt of an approval: what it says, who gets one, that it stays the same, and that nothing secret is in it."""

import base64
import json
from typing import Any

import msgspec
import pytest
from joserfc.errors import BadSignatureError, InvalidKeyIdError

from tests.support.approvals import ISSUER, jwks, opened, signing
from tests.support.bench import Bench, ManualClock, a_start, code_of, make_bench, wrong
from tests.support.concurrency import numbers
from tests.support.contract import LocalClient, a_number
from tests.support.live import everything
from verify_service import recipient
from verify_service.approvals import SigningKeys
from verify_service.codes import new_key
from verify_service.duration import Duration
from verify_service.errors import ConfigError, IdempotencyMismatch, InvalidRequest, VerificationNotFound
from verify_service.model import Check, Start
from verify_service.service import Service
from verify_service.store import Store
from verify_service.tenants import ReceiptTerms

K1, K2 = f"k1:{new_key()}", f"k2:{new_key()}"
SOME = base64.b64encode(bytes(range(32))).decode()
BINDING = {"payee": "Acme", "amount": "12.00"}
ALWAYS = {"default": ReceiptTerms(receipts="always")}
NAMED = {"default": ReceiptTerms(receipt_subject="to")}
_to = numbers(415)


@pytest.fixture
def to() -> str:
    return next(_to)


def approved(bench: Bench, service: Service, start: Start, tenant: str = "default", **fields: Any) -> Check:
    """What the right code of a new verification is answered."""
    started = service.start(tenant, start)
    return service.check(tenant, started.id, bench.code(started.id), start.binding, **fields)


def claims(bench: Bench, service: Service, start: Start, tenant: str = "default") -> dict[str, Any]:
    """Of the receipt of a new approval."""
    found = approved(bench, service, start, tenant, receipt=True)
    assert found.receipt
    return opened(found.receipt, jwks(service))[1]


def test_a_receipt_says_who_was_approved_for_what_by_which_means_and_when(bench: Bench, to: str) -> None:
    """Header and claims, word for word; the newest key has signed."""
    service = signing(bench, f"{K2},{K1}")
    found = approved(bench, service, a_start(to, "payment", binding=BINDING), receipt=True)
    assert found.receipt
    header, said = opened(found.receipt, jwks(service))
    assert header == {"alg": "EdDSA", "kid": "k2", "typ": "verification+jwt"}
    assert said == {
        "iss": ISSUER,
        "aud": "default",
        "sub": said["sub"],
        "jti": found.id,
        "iat": bench.clock.ms // 1000,
        "exp": bench.clock.ms // 1000 + 300,
        "purpose": "payment",
        "binding": BINDING,
        "amr": ["otp", "sms"],
    }
    assert len(said["sub"]) == 20


def test_only_an_approval_that_somebody_wants_signed_has_a_receipt(bench: Bench, to: str) -> None:
    """No wrong code has one, not the last, not a code that comes too late; no approval that nobody asked it of."""
    service = signing(bench, K1, ALWAYS)
    started = service.start("default", a_start(to))
    bad = wrong(bench.code(started.id))
    answers = [service.check("default", started.id, bad, receipt=True) for _ in range(5)]
    assert [(answer.status, answer.receipt) for answer in answers] == [("pending", None)] * 4 + [("exhausted", None)]
    unasked = approved(bench, signing(bench, K1), a_start(to, "unasked"))
    assert (unasked.approved, unasked.receipt) == (True, None)
    late = service.start("default", a_start(to, "late"))
    code = bench.code(late.id)
    bench.clock.advance(600)
    with pytest.raises(VerificationNotFound):
        service.check("default", late.id, code, receipt=True)


def test_a_tenant_can_always_have_a_receipt_and_say_how_long_it_lives(bench: Bench, to: str) -> None:
    """Without being asked for each time, and of another tenant nothing is said."""
    terms = {"default": ReceiptTerms(receipts="always", receipt_life=Duration("30 seconds"))}
    service = signing(bench, K1, terms)
    found = approved(bench, service, a_start(to))
    assert found.receipt
    said = opened(found.receipt, jwks(service))[1]
    assert said["exp"] - said["iat"] == 30
    assert approved(bench, service, a_start(to), "acme").receipt is None


def test_a_repeated_check_answers_the_same_receipt_in_another_worker_and_after_a_rotation(
    bench: Bench, to: str
) -> None:
    """Byte for byte, half a minute later and with the binding in another order; the key that has signed it still does,
    though a newer one signs what is new."""
    before, after = signing(bench, K1), signing(bench, f"{K2},{K1}")
    started = before.start("default", a_start(to, binding=BINDING))
    code = bench.code(started.id)
    turned = dict(reversed(BINDING.items()))
    first = before.check("default", started.id, code, BINDING, idempotency_key="once", receipt=True)
    bench.clock.advance(31)
    again = after.check("default", started.id, code, turned, idempotency_key="once", receipt=True)
    assert first.receipt
    assert again == first
    for asked in ((turned | {"amount": "1.00"}, True), (turned, False)):
        with pytest.raises(IdempotencyMismatch):
            after.check("default", started.id, code, asked[0], idempotency_key="once", receipt=asked[1])
    assert opened(first.receipt, jwks(after))[0]["kid"] == "k1"
    assert claims(bench, after, a_start(to, "other"))["iat"] == bench.clock.ms // 1000


def test_a_key_that_was_taken_out_signs_nothing_any_more(bench: Bench, to: str) -> None:
    """A repetition is signed by the newest key, with the same claims; by the new public keys the old receipt fails."""
    before, after = signing(bench, K1), signing(bench, K2)
    started = before.start("default", a_start(to))
    body = ("default", started.id, bench.code(started.id))
    first = before.check(*body, idempotency_key="leaked", receipt=True)
    again = after.check(*body, idempotency_key="leaked", receipt=True)
    assert first.receipt
    assert again.receipt
    header, said = opened(again.receipt, jwks(after))
    assert (header["kid"], said) == ("k2", opened(first.receipt, jwks(before))[1])
    with pytest.raises(InvalidKeyIdError):
        opened(first.receipt, jwks(after))
    ours, theirs = (json.loads(SigningKeys(f"k1:{key}").jwks) for key in (K1.partition(":")[2], new_key()))
    assert opened(first.receipt, ours)
    with pytest.raises(BadSignatureError):
        opened(first.receipt, theirs)


def test_a_number_is_another_pseudonym_for_each_tenant_and_one_however_it_is_written(bench: Bench) -> None:
    """So two tenants cannot compare whom they know; the store's own tag of the number is none of them."""
    service = signing(bench, K1)
    written = ("+5491123456789", "+541123456789")
    of_default = {claims(bench, service, a_start(to, f"p{n}"))["sub"] for n, to in enumerate(written)}
    of_acme = {claims(bench, service, a_start(to, f"p{n}"), "acme")["sub"] for n, to in enumerate(written)}
    assert (len(of_default), len(of_acme), len(of_default | of_acme)) == (1, 1, 2)
    assert bench.tagger.number(written[0]) not in of_default | of_acme


def test_a_receipt_names_the_number_where_the_tenant_wants_it_so(alone: Store, to: str) -> None:
    """The one that was started, also when the check is repeated; at rest it stays sealed, and is text that any version
    can read."""
    bench = make_bench(alone)
    service = signing(bench, K1, NAMED)
    started = service.start("default", a_start(to))
    body = ("default", started.id, bench.code(started.id))
    first, again = (service.check(*body, idempotency_key="named", receipt=True) for _ in range(2))
    assert first.receipt
    assert opened(first.receipt, jwks(service))[1]["sub"] == to
    assert again == first
    assert to.encode()[1:] not in everything(alone)
    [key] = alone.link.command(0, ["KEYS", "vs:{0}:idempotency:*"])
    assert msgspec.msgpack.decode(alone.link.command(0, ["GET", key]))[2][:3] == ["approved", started.id, 5]


@pytest.mark.parametrize(
    ("to", "channel", "means"),
    [
        (None, "sms", ["otp", "sms"]),
        (None, "voice", ["otp", "tel"]),
        (None, "whatsapp", ["otp"]),
        ("ann@example.org", "email", ["otp"]),
    ],
)
def test_the_methods_are_those_that_rfc_8176_has_a_word_for(
    bench: Bench, to: str | None, channel: str, means: list[str]
) -> None:
    """`otp` always; beside it what the message came by."""
    start = Start(number=recipient.parse(to or next(_to), None), channel=channel, purpose="login")
    assert claims(bench, signing(bench, K1), start)["amr"] == means


def test_where_nothing_can_be_signed_a_receipt_is_refused_before_a_try_is_spent(bench: Bench, to: str) -> None:
    """Without keys, and without a public URL; an approval without one goes on as ever."""
    started = bench.service.start("default", a_start(to))
    code = bench.code(started.id)
    for service, why in (
        (signing(bench, None), "VERIFY_SIGNING_KEYS is not set; `verify-service keys new` prints one"),
        (signing(bench, K1, issuer=None), "verify.toml has no public_url, the name that receipts are issued under"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            service.check("default", started.id, code, receipt=True)
        assert refused.value.members["errors"] == [{"field": "receipt", "message": f"cannot be had here: {why}"}]
        with pytest.raises(ConfigError, match=r"^tenants\.default\.receipts is always: "):
            signing(bench, None, ALWAYS).approvals.judge()
    assert bench.service.check("default", started.id, code).checks_left == 5


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "VERIFY_SIGNING_KEYS is empty; "),
        ("k1", "VERIFY_SIGNING_KEYS: a key is 32 bytes in base64; "),
        ("k1:c2hvcnQ=", "VERIFY_SIGNING_KEYS: a key is 32 bytes in base64; "),
        (f":{SOME}", "VERIFY_SIGNING_KEYS: each key is written kid:base64"),
        (f"k 1:{SOME}", "VERIFY_SIGNING_KEYS: each key is written kid:base64"),
        (f"k1:{SOME},k1:{SOME}", "VERIFY_SIGNING_KEYS: the kid 'k1' stands twice"),
    ],
)
def test_a_ring_that_cannot_be_used_is_one_line_that_shows_no_key(text: str, line: str) -> None:
    """As of VERIFY_KEYS."""
    with pytest.raises(ConfigError) as refused:
        SigningKeys(text)
    assert str(refused.value).startswith(line)
    assert all(part.partition(":")[2][:8] not in str(refused.value) for part in text.split(",") if len(part) > 20)


class Http:
    """The app in this process, with a ring of two."""

    def __init__(self, store: Store, keys: str | None) -> None:
        self.store = store
        self.client = LocalClient(store, ManualClock(), public_url=ISSUER, signing_keys=keys)


@pytest.fixture
def http(store: Store) -> Http:
    return Http(store, f"{K2},{K1}")


def test_the_answer_of_a_check_has_the_receipt(http: Http) -> None:
    """Beside what it always has, and the document says so; where it is not asked for, the member is not there."""
    for asked, has in ((True, True), (False, False), (None, False)):
        started = http.client.start(a_number())
        code = code_of(http.store, http.client.keys, started["id"])
        answer = http.client.check(id=started["id"], code=code, receipt=asked)
        assert ("receipt" in answer) == has
        assert answer["approved"]
    problem = http.client.refused("POST", "/check", {"id": started["id"], "code": "000000", "receipt": "yes"})
    assert [error["field"] for error in problem["errors"]] == ["receipt"]


def test_the_public_keys_are_for_anybody_and_can_be_cached(http: Http) -> None:
    """The newest first and the older behind it, nothing private; five minutes, and 304 for whoever has them."""
    status, headers, found = http.client.request("GET", "/.well-known/jwks.json", headers={"Authorization": ""})
    assert (status, headers["content-type"]) == (200, "application/jwk-set+json")
    assert headers["cache-control"] == "public, max-age=300"
    assert [(key["kid"], sorted(key)) for key in found["keys"]] == [
        (kid, ["alg", "crv", "kid", "kty", "use", "x"]) for kid in ("k2", "k1")
    ]
    again, _, body = http.client.request("GET", "/.well-known/jwks.json", headers={"If-None-Match": headers["etag"]})
    assert (again, body) == (304, "")
    other = Http(http.store, K1).client.request("GET", "/.well-known/jwks.json")[1]
    assert other["etag"] != headers["etag"]
    for text in (K1, K2):
        seed = base64.b64decode(text.partition(":")[2])
        assert base64.urlsafe_b64encode(seed).decode().rstrip("=") not in json.dumps(found)


def test_without_signing_keys_there_are_no_public_ones(store: Store) -> None:
    """404 with a word on why; the caller that asks for a receipt is told so, too."""
    client = Http(store, None).client
    problem = client.refused("GET", "/.well-known/jwks.json")
    assert problem["detail"] == "This service signs no receipts: VERIFY_SIGNING_KEYS is not set."
    body = {"id": f"ve_{'0' * 32}", "code": "000000", "receipt": True}
    assert [error["field"] for error in client.refused("POST", "/check", body)["errors"]] == ["receipt"]
