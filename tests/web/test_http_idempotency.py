"""`Idempotency-Key`: a client that lost an answer asks again and is told the same, and nothing happens twice."""

import secrets
from collections.abc import Iterator

import pytest

from tests.support.bench import wrong
from tests.support.contract import Contract, a_number, contract
from verify_service.testing import VerifyClock


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with contract(tmp_path_factory.mktemp("idempotency")) as found:
        yield found


@pytest.fixture
def key() -> str:
    return secrets.token_hex(8)


def test_a_repeated_start_gives_the_same_answer_and_one_message(live: Contract, key: str) -> None:
    """The same key and body: word for word the first answer, whatever happened since; no second message, no 429."""
    to = a_number()
    first = live.default.start(to, binding={"b": "1", "a": "2"}, idempotency_key=key)
    code = live.inbox.code(to)
    assert live.default.start(to, binding={"a": "2", "b": "1"}, idempotency_key=key) == first
    assert live.default.check(id=first["id"], code=code, binding={"a": "2", "b": "1"})["approved"]
    assert live.default.start(to, binding={"a": "2", "b": "1"}, idempotency_key=key) == first
    last = live.default.start(to, purpose="last")
    live.inbox.code(to, after=live.inbox.messages(to)[-1]["id"])
    assert [message["verification_id"] for message in live.inbox.messages(to)] == [last["id"], first["id"]]


def test_a_key_lasts_24_hours_on_a_start(live: Contract, key: str) -> None:
    """Before 24 hours have gone the first answer is given again; afterwards the key is new."""
    to = a_number()
    first = live.default.start(to, idempotency_key=key)
    clock = VerifyClock(live.default)
    clock.advance(86_370)
    assert live.default.start(to, idempotency_key=key) == first
    clock.advance(30)
    assert live.default.start(to, idempotency_key=key)["id"] != first["id"]


def test_a_key_belongs_to_one_body(live: Contract, key: str) -> None:
    """The same key with another body is 422 on a start and on a check, and has no effect."""
    to, other = a_number(), a_number()
    started = live.default.start(to, idempotency_key=key)
    for body in ({"to": other}, {"to": to, "purpose": "payment"}, {"to": to, "ip": "192.0.2.7"}):
        problem = live.default.refused("POST", "/start", body, Idempotency_Key=key)
        assert (problem["status"], problem["type"]) == (422, "/problems/idempotency-mismatch")
    code = live.inbox.code(to)
    live.default.check(id=started["id"], code=wrong(code), idempotency_key=key)
    problem = live.default.refused("POST", "/check", {"id": started["id"], "code": code}, Idempotency_Key=key)
    assert problem["type"] == "/problems/idempotency-mismatch"
    assert live.default.status(started["id"])["checks_left"] == 4
    assert live.inbox.messages(other) == []


def test_a_key_belongs_to_one_tenant(live: Contract, key: str) -> None:
    """Two tenants that happen to choose one key do not meet."""
    to = a_number()
    ours = live.default.start(to, idempotency_key=key)
    theirs = live.acme.start(to, idempotency_key=key)
    assert ours["id"] != theirs["id"]
    assert live.acme.start(a_number(), idempotency_key=key + "x")["status"] == "pending"


def test_a_refused_start_does_not_use_up_its_key(live: Contract, key: str) -> None:
    """The caller that comes again when it was told to, under the same key, is admitted."""
    to = a_number()
    live.default.start(to)
    problem = live.default.refused("POST", "/start", {"to": to}, Idempotency_Key=key)
    assert problem["limit"] == "cooldown"
    VerifyClock(live.default).advance(problem["retry_after"])
    assert live.default.start(to, idempotency_key=key)["sends_left"] == 3


def test_an_approval_can_be_asked_for_again(live: Contract, key: str) -> None:
    """Who lost the answer to a right code is told `approved` again for 60 seconds, and then 404 like all others."""
    to = a_number()
    started = live.default.start(to)
    body = {"id": started["id"], "code": live.inbox.code(to)}
    first = live.default.check(**body, idempotency_key=key)
    assert first["approved"]
    clock = VerifyClock(live.default)
    clock.advance(40)
    assert live.default.check(**body, idempotency_key=key) == first
    assert live.default.refused("POST", "/check", body)["status"] == 404
    clock.advance(20)
    assert live.default.refused("POST", "/check", body, Idempotency_Key=key)["status"] == 404


def test_a_wrong_code_is_counted_once_a_key(live: Contract, key: str) -> None:
    """A repeated wrong code costs one try, also where it was the last one and by number; another key costs another."""
    to = a_number()
    started = live.default.start(to)
    bad = wrong(live.inbox.code(to))
    for repeated in range(3):
        answer = live.default.check(to=to, code=bad, idempotency_key=key)
        assert (answer["status"], answer["checks_left"]) == ("pending", 4), repeated
    for left in (3, 2, 1):
        assert live.default.check(id=started["id"], code=bad)["checks_left"] == left
    for _ in range(2):
        last = live.default.check(id=started["id"], code=bad, idempotency_key=key + "last")
        assert (last["status"], last["checks_left"]) == ("exhausted", 0)
