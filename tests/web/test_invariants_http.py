"""What must always hold, by HTTP on the live server: two worker processes, a dispatcher, and many clients at once."""

import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bench import wrong
from tests.support.concurrency import at_once
from tests.support.live import until
from verify_service.codes import api_key_digest
from verify_service.testing import VerifyClient, VerifyInbox, VerifyServer, start_server

# A race that shows once is a fault, so nothing here gets a second go.
pytestmark = pytest.mark.slow
TO = "+14155550123"
Answer = tuple[int, dict[str, str], Any]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VerifyServer, VerifyServer]]:
    """One service as two tenants see it."""
    folder = tmp_path_factory.mktemp("tenants")
    keys = {name: secrets.token_urlsafe(32) for name in ("a", "b")}
    lines = [
        f'[tenants.{name}]\napi_keys = [{{ digest = "{api_key_digest(key)}", scopes = ["verify", "read"] }}]'
        for name, key in keys.items()
    ]
    config = folder / "verify.toml"
    config.write_text("\n".join(['[providers.fake-a]\nkind = "fake"', *lines]))
    running = start_server(folder / "state", {"VERIFY_CONFIG": str(config)})
    try:
        url, pid = running.server.url, running.server.pid
        yield VerifyServer(url, keys["a"], folder, pid), VerifyServer(url, keys["b"], folder, pid)
    finally:
        running.stop()


def start(client: VerifyClient, **fields: Any) -> Answer:
    headers = {"Idempotency-Key": fields.pop("key")} if "key" in fields else {}
    return client.request("POST", "/start", {"to": TO, **fields}, headers)


def check(client: VerifyClient, verification: str, code: str) -> Answer:
    return client.request("POST", "/check", {"id": verification, "code": code})


def settled(client: VerifyClient, verifications: set[str]) -> None:
    """Waits until each has been sent as often as it was queued."""

    def is_settled(one: str) -> bool:
        events = Counter(line["event"] for line in client.status(one)["timeline"])
        return events["sent"] == events["queued"]

    until(lambda: all(map(is_settled, verifications)), "each to be sent")


def refusals(answers: list[Answer]) -> Counter[str]:
    """The limits that refused, by name. Each refusal is a 429 that says when a retry can pass, twice the same."""
    refused = [answer for answer in answers if answer[0] != 201]
    for status, headers, body in refused:
        assert status == 429
        assert body["retry_after"] >= 1
        assert headers["retry-after"] == str(body["retry_after"])
    return Counter(body["limit"] for _, _, body in refused)


def test_200_concurrent_right_checks_are_approved_once(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """One 200 approved; all others are 404, as for an id that never was."""
    started = verify_client.start(TO)
    code = verify_inbox.code(TO)
    answers = at_once(*[lambda: check(verify_client, started["id"], code)] * 200)
    assert Counter(answer[0] for answer in answers) == {200: 1, 404: 199}
    assert [answer[2]["approved"] for answer in answers if answer[0] == 200] == [True]


def test_of_200_concurrent_wrong_checks_five_are_compared(
    verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """Four pending, one exhausted, and 195 times 429 checks-exhausted."""
    started = verify_client.start(TO)
    code = wrong(verify_inbox.code(TO))
    answers = at_once(*[lambda: check(verify_client, started["id"], code)] * 200)
    said = Counter((answer[0], answer[2].get("status"), answer[2].get("type")) for answer in answers)
    assert said == {
        (200, "pending", None): 4,
        (200, "exhausted", None): 1,
        (429, 429, "/problems/checks-exhausted"): 195,
    }


def test_50_concurrent_starts_of_one_number_send_one_message(
    verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """One 201 and one message; every other answer says how long the cooldown lasts."""
    answers = at_once(*[lambda: start(verify_client)] * 50)
    assert refusals(answers) == {"cooldown": 49}
    settled(verify_client, {answer[2]["id"] for answer in answers if answer[0] == 201})
    assert len(verify_inbox.messages(TO)) == 1
    verify_client.forget(TO)


def test_50_concurrent_starts_of_50_purposes_send_as_many_messages_as_the_limit(
    verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """Where each start is a verification of its own the number's limit decides: five 201, five messages."""
    answers = at_once(*[lambda n=n: start(verify_client, purpose=f"purpose-{n}") for n in range(50)])
    assert refusals(answers) == {"number": 45}
    settled(verify_client, {answer[2]["id"] for answer in answers if answer[0] == 201})
    assert len({message["verification_id"] for message in verify_inbox.messages(TO)}) == 5
    assert len(verify_inbox.messages(TO)) == 5
    verify_client.forget(TO)


def test_a_right_code_beside_two_wrong_ones_is_approved_in_200_rounds(
    verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """No race between workers refuses a right code."""
    for _ in range(200):
        started = verify_client.start(TO)
        code = verify_inbox.code(TO)
        bad, good = (lambda sent=sent: check(verify_client, started["id"], sent) for sent in (wrong(code), code))  # noqa: B023
        status, _, body = at_once(bad, good, bad)[1]
        assert (status, body["status"]) == (200, "approved")
        verify_client.forget(TO)


def test_concurrent_starts_with_one_idempotency_key_send_one_message(
    verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """50 clients with one key get one answer, and the phone one message."""
    answers = at_once(*[lambda: start(verify_client, key="order-1")] * 50)
    assert {answer[0] for answer in answers} == {201}
    assert all(answer[2] == answers[0][2] for answer in answers)
    settled(verify_client, {answers[0][2]["id"]})
    assert len(verify_inbox.messages(TO)) == 1
    verify_client.forget(TO)


def test_another_tenants_verification_cannot_be_told_from_none(tenants: tuple[VerifyServer, VerifyServer]) -> None:
    """On every endpoint that takes an id, another tenant's is answered as one that never was, byte by byte; its number
    is not known either, its inbox is empty, and its idempotency keys are free."""
    owner, stranger = (VerifyClient(server) for server in tenants)
    started = owner.start(TO, idempotency_key="order-1")
    code = VerifyInbox(owner).code(TO)
    unknown = "ve_" + "0" * 32
    for method, path, body in (
        ("GET", "/verifications/{}", None),
        ("DELETE", "/verifications/{}", None),
        ("POST", "/check", {"id": "{}", "code": code}),
    ):
        asked = [
            stranger.request(method, path.format(one), body and {**body, "id": one}) for one in (started["id"], unknown)
        ]
        assert [(status, answer) for status, _, answer in asked] == [(404, asked[1][2])] * 2
        assert _constant(asked[0][1]) == _constant(asked[1][1])
    assert stranger.request("POST", "/check", {"to": TO, "code": code})[0] == 404
    assert VerifyInbox(stranger).messages(TO) == []
    assert stranger.request("GET", "/fake/inbox", headers={"accept": "application/json"})[2] == {"messages": []}
    mine = stranger.start(TO, idempotency_key="order-1")
    assert mine["id"] != started["id"]
    stranger.forget(TO)
    assert owner.check(id=started["id"], code=code)["approved"]
    owner.close()
    stranger.close()


def _constant(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name != "date"}
