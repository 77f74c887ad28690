"""The way of one code, end to end, on the live server."""

from pathlib import Path

import pytest

from tests.support.approvals import opened
from tests.support.live import until
from tests.support.roles import children
from verify_service.testing import VerifyClient, VerifyClock, VerifyInbox, VerifyProblem, VerifyServer

TO = "+14155550123"


def test_a_code_that_arrives_is_approved_once(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """A login flow starts, the person reads the code, the check approves it; a second check finds nothing."""
    started = verify_client.start(TO)
    code = verify_inbox.code(TO)
    assert verify_client.check(id=started["id"], code=code) == {
        "id": started["id"],
        "status": "approved",
        "approved": True,
        "checks_left": 5,
    }
    with pytest.raises(VerifyProblem) as refused:
        verify_client.check(id=started["id"], code=code)
    assert (refused.value.status, refused.value.body["type"]) == (404, "/problems/verification-not-found")


def test_an_approval_can_be_proved_to_others(
    verify_server: VerifyServer, verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """The receipt is good by the public keys, names the address as its issuer, and is the same for who asks again."""
    started = verify_client.start(TO, binding={"order": "7"})
    body = {"id": started["id"], "code": verify_inbox.code(TO), "binding": {"order": "7"}, "receipt": True}
    answers = [verify_client.check(**body, idempotency_key="proved") for _ in range(4)]
    assert answers == [answers[0]] * 4
    _, _, keys = verify_client.request("GET", "/.well-known/jwks.json")
    _, said = opened(answers[0]["receipt"], keys)
    assert (said["iss"], said["aud"], said["jti"]) == (verify_server.url, "default", started["id"])
    assert (said["purpose"], said["binding"], said["exp"] - said["iat"]) == ("login", {"order": "7"}, 300)


def test_the_signing_keys_are_the_web_roles_alone(verify_server: VerifyServer) -> None:
    """`run` makes them, for its owner's eyes; the dispatcher and the store have nothing that leads to them."""
    assert (verify_server.state_dir / "signing-keys").stat().st_mode & 0o777 == 0o600
    has = {}
    for pid, line in children(verify_server.pid).items():
        role = next(iter({"dispatch", "web"} & set(line.split())), "valkey")
        has[role] = b"VERIFY_SIGNING_KEYS" in Path(f"/proc/{pid}/environ").read_bytes()
    assert has == {"dispatch": False, "web": True, "valkey": False}


def test_a_code_expires(verify_client: VerifyClient, verify_inbox: VerifyInbox, verify_clock: VerifyClock) -> None:
    """After its life a right code is as good as none, and the timeline says expired."""
    started = verify_client.start(TO)
    code = verify_inbox.code(TO)
    until(lambda: verify_client.status(started["id"])["timeline"][-1]["event"] == "delivered")
    verify_clock.advance(601)
    with pytest.raises(VerifyProblem) as refused:
        verify_client.check(id=started["id"], code=code)
    assert refused.value.status == 404
    assert verify_client.status(started["id"])["timeline"][-1]["event"] == "expired"


def test_a_second_login_in_a_test_gets_its_own_code(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """`code` never tells of the message that it has told of before while a newer one is on its way."""
    for _ in range(10):
        verify_client.forget(TO)
        started = verify_client.start(TO)
        assert verify_client.check(id=started["id"], code=verify_inbox.code(TO))["approved"]


def test_a_failed_try_is_in_the_timeline_while_the_message_is_on_its_way(
    verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """An operator sees what fails and why before the message has ended."""
    verify_inbox.behave({"to": "*", "do": "error"})
    started = verify_client.start(TO)
    until(lambda: len(verify_client.status(started["id"])["timeline"]) > 2, "the first try")
    timeline = verify_client.status(started["id"])["timeline"]
    assert {name: timeline[2].get(name) for name in ("event", "provider", "reason")} == {
        "event": "failed-over",
        "provider": "fake-a",
        "reason": "told to fail",
    }


def test_every_field_at_fault_is_named_at_once(verify_client: VerifyClient) -> None:
    """A caller mends a request in one go; what is null counts as left out."""
    body = {"region": "us", "phone": "x", "binding": {"a": 1}, "purpose": None}
    status, _, problem = verify_client.request("POST", "/start", body)
    assert status == 400
    assert problem["errors"] == [
        {"field": "phone", "message": "is not a field of this call"},
        {"field": "to", "message": "is required"},
        {"field": "region", "message": "is two capital letters, such as US"},
        {"field": "binding", "message": "should be `str`, not `int`"},
    ]


def test_a_forgotten_number_is_new_to_an_idempotency_key(verify_client: VerifyClient) -> None:
    """After `forget` the same request with the same key is a start of its own."""
    first = verify_client.start(TO, idempotency_key="one")
    assert verify_client.start(TO, idempotency_key="one") == first
    verify_client.forget(TO)
    assert verify_client.start(TO, idempotency_key="one")["id"] != first["id"]
