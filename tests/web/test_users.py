"""Second factors over HTTP: enrol, verify, check, step up, look, remove; each answer held against `openapi.yaml`."""

import secrets
from typing import Any

import pyotp
import pytest

from tests.support.approvals import ISSUER, opened
from tests.support.bench import ManualClock, wrong
from tests.support.contract import LocalClient
from tests.support.live import everything
from verify_service.codes import new_key
from verify_service.store import Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def client(store: Store, clock: ManualClock) -> LocalClient:
    return LocalClient(store, clock, public_url=ISSUER, signing_keys=f"s1:{new_key()}")


@pytest.fixture
def user() -> str:
    """The path of a user that no other test has."""
    return f"/users/auth0%7C{secrets.token_hex(8)}"


class Phone:
    """What the user scanned."""

    def __init__(self, client: LocalClient, clock: ManualClock, user: str, **body: Any) -> None:
        status, _, self.answer = client.request("POST", f"{user}/factors", {"kind": "totp", **body})
        assert status == 201
        self.path = f"{user}/factors/{self.answer['id']}"
        self._read = pyotp.parse_uri(self.answer["uri"])
        self._clock = clock

    def code(self) -> str:
        assert isinstance(self._read, pyotp.TOTP)
        return self._read.at(self._clock.now() // 1000)


def post(client: LocalClient, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    """The answer to a call that succeeds."""
    status, _, answer = client.request("POST", path, body, {name.replace("_", "-"): it for name, it in headers.items()})
    assert status in (200, 201), answer
    found: dict[str, Any] = answer
    return found


def test_a_user_enrols_signs_in_and_is_forgotten(client: LocalClient, clock: ManualClock, user: str) -> None:
    """The whole way, with what each answer says; the secret is told once."""
    phone = Phone(client, clock, user, label="Ada", issuer="Blue Bicycles")
    assert phone.answer["status"] == "unverified"
    assert "Blue%20Bicycles:Ada" in phone.answer["uri"]
    missed = post(client, f"{phone.path}/verify", {"code": wrong(phone.code())})
    assert missed == {"id": phone.answer["id"], "status": "unverified", "approved": False, "checks_left": 9}
    first = post(client, f"{phone.path}/verify", {"code": f" {phone.code()[:3]} {phone.code()[3:]}"})
    assert (first["status"], first["approved"], len(first["recovery_codes"])) == ("verified", True, 10)
    clock.advance(30)
    checked = post(client, f"{user}/check", {"code": phone.code()})
    assert (checked["approved"], checked["factor"], checked["kind"]) == (True, phone.answer["id"], "totp")
    assert post(client, f"{user}/check", {"code": phone.code()})["status"] == "used"
    recovered = post(client, f"{user}/check", {"code": first["recovery_codes"][0]})
    assert (recovered["kind"], recovered["factor"], recovered["recovery_codes_left"]) == ("recovery-code", None, 9)
    renewed = post(client, f"{user}/recovery-codes")["recovery_codes"]
    assert not set(renewed) & set(first["recovery_codes"])
    _, _, seen = client.request("GET", user)
    assert (len(seen["factors"]), seen["recovery_codes_left"], seen["checks_left"]) == (1, 10, 9)
    assert phone.answer["secret"] not in str(seen)
    assert client.request("DELETE", user)[0] == 204
    assert client.request("GET", user)[2]["factors"] == []
    assert client.refused("POST", f"{user}/check", {"code": "123456"})["type"] == "/problems/not-found"


def test_a_receipt_says_what_was_shown_and_for_what(client: LocalClient, clock: ManualClock, user: str) -> None:
    """`amr` is `otp` of an app, `recovery-code` of a recovery code; the binding and the moment are in it. A repeated
    request gets the same receipt."""
    phone = Phone(client, clock, user)
    codes = post(client, f"{phone.path}/verify", {"code": phone.code()})["recovery_codes"]
    clock.advance(30)
    body = {"code": phone.code(), "receipt": True, "binding": {"amount": "12.00"}}
    checked = post(client, f"{user}/check", body, Idempotency_Key="k")
    assert client.service.approvals.keys is not None
    jwks = client.request("GET", "/.well-known/jwks.json")[2]
    said = opened(checked["receipt"], jwks)[1]
    assert said["jti"] == checked["id"]
    assert (said["amr"], said["purpose"], said["binding"]) == (["otp"], "second-factor", {"amount": "12.00"})
    assert said["auth_time"] == said["iat"] == clock.now() // 1000
    assert post(client, f"{user}/check", body, Idempotency_Key="k") == checked
    assert client.refused("POST", f"{user}/check", body | {"receipt": False}, Idempotency_Key="k")["status"] == 422
    recovered = post(client, f"{user}/check", {"code": codes[3], "receipt": True})
    assert opened(recovered["receipt"], jwks)[1]["amr"] == ["recovery-code"]


def test_a_recent_approval_can_be_asked_for(client: LocalClient, clock: ManualClock, user: str) -> None:
    """Of the same binding alone, for as long as the caller says; the receipt says when it was. Removing the factor
    forgets it."""
    phone = Phone(client, clock, user)
    post(client, f"{phone.path}/verify", {"code": phone.code()})
    clock.advance(30)
    mine, other = {"session": "s-1"}, {"session": "s-2"}
    approved = post(client, f"{user}/check", {"code": phone.code(), "binding": mine})
    clock.advance(299)
    recent = post(client, f"{user}/check", {"max_age": 300, "binding": mine, "receipt": True})
    assert (recent["id"], recent["approved"], recent["approved_at"]) == (approved["id"], True, approved["approved_at"])
    said = opened(recent["receipt"], client.request("GET", "/.well-known/jwks.json")[2])[1]
    assert said["iat"] - said["auth_time"] == 299
    none = {"status": "none", "approved": False, "factor": None, "kind": None}
    assert post(client, f"{user}/check", {"max_age": 300, "binding": other}) == none
    clock.advance(1)
    assert post(client, f"{user}/check", {"max_age": 300, "binding": mine}) == none
    assert post(client, f"{user}/check", {"max_age": 301, "binding": mine})["approved"]
    assert client.request("DELETE", phone.path)[0] == 204
    assert post(client, f"{user}/check", {"max_age": 301, "binding": mine}) == none


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/factors", {"kind": "sms"}, "kind"),
        ("/factors", {"kind": "totp", "digits": 5}, "digits"),
        ("/factors", {"kind": "totp", "algorithm": "MD5"}, "algorithm"),
        ("/factors", {"kind": "totp", "label": "a:b"}, "label"),
        ("/factors", {"kind": "hotp", "period": 30}, "period"),
        ("/factors", {"kind": "totp", "secret": "GEZDGNBV"}, "secret"),
        ("/check", {}, "code"),
        ("/check", {"code": "12345"}, "code"),
        ("/check", {"code": "123456789"}, "code"),
        ("/check", {"code": "abcde-fghijk"}, "code"),
        ("/check", {"code": 123456}, "code"),
        ("/check", {"max_age": 300}, "binding"),
        ("/check", {"max_age": 300, "code": "123456", "binding": {"session": "s"}}, "max_age"),
        ("/check", {"max_age": 0, "binding": {"session": "s"}}, "max_age"),
    ],
)
def test_bad_input_is_named_and_spends_nothing(
    client: LocalClient, user: str, path: str, body: dict[str, Any], field: str
) -> None:
    """A 400 that names the field."""
    problem = client.refused("POST", f"{user}{path}", body)
    assert (problem["status"], problem["errors"][0]["field"]) == (400, field)
    assert client.request("GET", user)[2]["checks_left"] == 10


@pytest.mark.parametrize("name", ["%00", "a%0Ab", "%C2%85", "%FF", "x" * 257])
def test_a_name_that_cannot_be_told_from_another_is_refused(client: LocalClient, name: str) -> None:
    """Control characters, bytes that are no UTF-8, and what is too long."""
    assert client.refused("GET", f"/users/{name}")["errors"][0]["field"] == "user"


def test_nothing_secret_is_anywhere(client: LocalClient, clock: ManualClock, user: str, alone: Store) -> None:
    """In no key and no value of a store: not the secret in any form, no code, no recovery code, no name or label."""
    here = LocalClient(alone, clock)
    phone = Phone(here, clock, user, label="Ada's phone")
    first = post(here, f"{phone.path}/verify", {"code": phone.code()})
    clock.advance(30)
    post(here, f"{user}/check", {"code": phone.code(), "binding": {"session": "s-secret"}}, Idempotency_Key="key-1")
    for path in (f"{user}/recovery-codes", f"{user}/factors"):
        post(here, path, {"kind": "totp"} if path.endswith("factors") else None)
    held = everything(alone)
    secret = phone.answer["secret"]
    spoken = [secret, secret.lower(), pyotp.HOTP(secret).byte_secret().hex(), phone.code(), "Ada", "auth0", "s-secret"]
    for said in [*spoken, *first["recovery_codes"], first["recovery_codes"][0].replace("-", ""), "key-1"]:
        assert said.encode() not in held
    assert pyotp.HOTP(secret).byte_secret() not in held
