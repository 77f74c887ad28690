"""Start, check, look and cancel over HTTP, word by word; every answer is also held against `openapi.yaml`."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.support.bench import ManualClock, wrong
from tests.support.contract import Contract, LocalClient, a_number, contract
from tests.support.live import until
from verify_service.store import Store
from verify_service.testing import VerifyClock

HOUR = 3600


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with contract(tmp_path_factory.mktemp("contract")) as found:
        yield found


def seconds(later: str, earlier: str) -> float:
    """From one time of an answer to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def advance(live: Contract, by: float) -> None:
    VerifyClock(live.default).advance(by)


def begin(live: Contract, to: str, **fields: Any) -> tuple[dict[str, Any], str]:
    """A start, and the code that its own message brought; its delivery is in the timeline."""
    before = live.inbox.messages(to)
    started = live.default.start(to, **fields)
    code = live.inbox.code(to, after=before[0]["id"] if before else None)
    until(lambda: live.default.status(started["id"])["timeline"][-1]["event"] == "delivered")
    return started, code


def test_a_start_answers_what_the_caller_needs(live: Contract) -> None:
    """201 with the id, the times of the default policy and what is left; nothing in it may be cached."""
    to = a_number()
    status, headers, body = live.default.request("POST", "/start", {"to": to})
    assert status == 201
    assert headers["cache-control"] == "no-store"
    assert body == {
        "id": body["id"],
        "status": "pending",
        "to": to,
        "channel": "sms",
        "purpose": "login",
        "created_at": body["created_at"],
        "expires_at": body["expires_at"],
        "resend_at": body["resend_at"],
        "checks_left": 5,
        "sends_left": 4,
    }
    assert seconds(body["expires_at"], body["created_at"]) == 600
    assert seconds(body["resend_at"], body["created_at"]) == 30


def test_a_national_number_is_answered_in_e164(live: Contract) -> None:
    """What a person typed, with its region, is the same number as its E.164 form."""
    to = a_number()
    started = live.default.start(f"({to[2:5]}) {to[5:8]}-{to[8:]}", region="US")
    assert started["to"] == to
    assert live.default.refused("POST", "/start", {"to": to})["id"] == started["id"]


def test_all_fields_of_a_start_are_taken(live: Contract) -> None:
    """Every field that the document names is accepted together with the others."""
    started = live.default.start(
        a_number(),
        channel="sms",
        purpose="payment",
        locale="pt-BR",
        ip="2001:db8::1",
        device="browser ü",
        user="ann ü",
        binding={"amount": "12.00 EUR"},
        app_hash="FA+9qCX9VSu",
        origin="login.example.com",
    )
    assert (started["purpose"], started["channel"]) == ("payment", "sms")


def test_a_resend_before_its_time_is_told_when(live: Contract) -> None:
    """429 `cooldown` with the pending verification's id and times, and the seconds in body and header alike."""
    to, began = a_number(), time.monotonic()
    started = live.default.start(to)
    status, headers, body = live.default.request("POST", "/start", {"to": to})
    assert (status, body["type"], body["limit"]) == (429, "/problems/rate-limited", "cooldown")
    assert (body["id"], body["resend_at"], body["expires_at"]) == tuple(
        started[name] for name in ("id", "resend_at", "expires_at")
    )
    assert 30 - (time.monotonic() - began) <= body["retry_after"] <= 30
    assert headers["retry-after"] == str(body["retry_after"])
    assert body["decision"].startswith("de_")


def test_a_resend_has_the_same_id_and_code_until_the_sends_are_used_up(live: Contract) -> None:
    """Five messages with one code, each later than the one before by the policy's cooldown; then `sends-exhausted`."""
    to, began = a_number(), time.monotonic()
    first = live.default.start(to)
    code = live.inbox.code(to)
    for left, pause in ((3, 30), (2, 60), (1, 120), (0, 120)):
        newest = live.inbox.messages(to)[0]["id"]
        advance(live, pause)
        again = live.default.start(to)
        assert (again["id"], again["sends_left"], again["checks_left"]) == (first["id"], left, 5)
        assert again["expires_at"] == first["expires_at"]
        assert live.inbox.code(to, after=newest) == code
    advance(live, 120)
    problem = live.default.refused("POST", "/start", {"to": to})
    assert problem["type"] == "/problems/sends-exhausted"
    assert 150 - (time.monotonic() - began) <= problem["retry_after"] <= 150
    assert live.default.check(id=first["id"], code=code)["approved"]


def test_a_limit_of_the_policy_is_named_with_the_seconds_to_wait(live: Contract) -> None:
    """The sixth start of a number in ten minutes is refused by `number`, until the first is ten minutes old."""
    to, began = a_number(), time.monotonic()
    for count in range(5):
        live.default.start(to, purpose=f"purpose-{count}")
    problem = live.default.refused("POST", "/start", {"to": to, "purpose": "sixth"})
    assert (problem["type"], problem["limit"]) == ("/problems/rate-limited", "number")
    assert 600 - (time.monotonic() - began) <= problem["retry_after"] <= 601
    advance(live, problem["retry_after"])
    live.default.start(to, purpose="sixth")


def test_wrong_codes_of_a_number_add_up_over_verifications(live: Contract) -> None:
    """After ten wrong codes in an hour neither a check nor a start passes: `number-wrong-codes`."""
    to, began = a_number(), time.monotonic()
    for purpose in ("one", "two"):
        started, code = begin(live, to, purpose=purpose)
        for _ in range(5):
            live.default.check(id=started["id"], code=wrong(code))
    problem = live.default.refused("POST", "/start", {"to": to, "purpose": "three"})
    assert problem["limit"] == "number-wrong-codes"
    assert 3600 - (time.monotonic() - began) <= problem["retry_after"] <= 3601


def test_a_check_by_id_approves_once(live: Contract) -> None:
    """200 approved; afterwards 404 like anything unknown."""
    to = a_number()
    started, code = begin(live, to)
    body = live.default.check(id=started["id"], code=code)
    assert body == {"id": started["id"], "status": "approved", "approved": True, "checks_left": 5}
    again = live.default.refused("POST", "/check", {"id": started["id"], "code": code})
    assert again["type"] == "/problems/verification-not-found"
    unknown = live.default.refused("POST", "/check", {"id": "ve_" + "0" * 32, "code": code})
    assert again == unknown


def test_a_check_by_number_approves(live: Contract) -> None:
    """`to` and `purpose` name the pending verification as well as its id does; `purpose` is `login` if left out."""
    to = a_number()
    started = live.default.start(to, purpose="payment")
    code = live.inbox.code(to)
    absent = live.default.refused("POST", "/check", {"to": to, "code": code})
    assert absent["type"] == "/problems/verification-not-found"
    assert live.default.check(to=to, purpose="payment", code=code)["id"] == started["id"]
    login, code = begin(live, to)
    assert live.default.check(to=to[2:], region="US", code=code)["id"] == login["id"]


def test_a_check_by_number_can_be_turned_off(store: Store) -> None:
    """With `check_by_number = false` a check by `to` is refused naming the field, and one by id passes."""
    client = LocalClient(store, ManualClock(), "[code]\ncheck_by_number = false\nguess_ceiling = 1")
    to = a_number()
    started = client.start(to)
    problem = client.refused("POST", "/check", {"to": to, "code": "000000"})
    assert (problem["status"], problem["errors"][0]["field"]) == (400, "to")
    assert client.check(id=started["id"], code="000000")["status"] in {"pending", "approved"}


def test_wrong_codes_use_up_the_tries(live: Contract) -> None:
    """Four times `pending` with one try less each, then `exhausted`, then 429 even for the right code."""
    to = a_number()
    started, code = begin(live, to)
    answers = [live.default.check(id=started["id"], code=wrong(code)) for _ in range(5)]
    assert [(body["status"], body["approved"], body["checks_left"]) for body in answers] == [
        ("pending", False, 4),
        ("pending", False, 3),
        ("pending", False, 2),
        ("pending", False, 1),
        ("exhausted", False, 0),
    ]
    for where in ({"id": started["id"]}, {"to": to}):
        problem = live.default.refused("POST", "/check", {**where, "code": code})
        assert problem["type"] == "/problems/checks-exhausted"
        assert problem["retry_after"] == 0
    looked = live.default.status(started["id"])
    assert (looked["status"], looked["to"], looked["timeline"][-1]["event"]) == ("exhausted", None, "exhausted")


def test_a_purpose_and_a_binding_are_part_of_the_code(live: Contract) -> None:
    """A code is wrong for another purpose, and without exactly the binding of its start; the binding has no order."""
    to = a_number()
    binding = {"amount": "12.00 EUR", "payee": "Blue Bicycle Shop"}
    payment = live.default.start(to, purpose="payment", binding=binding)
    code = live.inbox.code(to)
    login = live.default.start(to)
    assert not live.default.check(id=login["id"], code=code)["approved"]
    for other in ({}, {"amount": "12.00 EUR"}, {**binding, "amount": "99.00 EUR"}):
        assert not live.default.check(id=payment["id"], code=code, binding=other)["approved"]
    assert live.default.check(id=payment["id"], code=code, binding=dict(reversed(binding.items())))["approved"]


def test_another_binding_begins_anew_but_counts_on(live: Contract) -> None:
    """A start with another binding cancels the pending one: a new id and code, what was sent and tried counts on."""
    to = a_number()
    first, code = begin(live, to, binding={"amount": "1"})
    live.default.check(id=first["id"], code=wrong(code), binding={"amount": "1"})
    second, new_code = begin(live, to, binding={"amount": "2"})
    assert second["id"] != first["id"]
    assert (second["sends_left"], second["checks_left"]) == (3, 4)
    assert live.default.status(first["id"])["status"] == "canceled"
    assert live.default.refused("POST", "/check", {"id": first["id"], "code": code})["status"] == 404
    assert live.default.check(id=second["id"], code=new_code, binding={"amount": "2"})["approved"]


def test_a_look_shows_the_history_and_never_the_code(live: Contract) -> None:
    """The timeline grows in order; `to` is there while pending and null after the end; the code is not in it."""
    to = a_number()
    started, code = begin(live, to)
    live.default.check(id=started["id"], code=wrong(code))
    pending = live.default.status(started["id"])
    assert {name: pending[name] for name in started} == {**started, "checks_left": 4}
    assert [(line["event"], line.get("provider")) for line in pending["timeline"]] == [
        ("started", None),
        ("queued", None),
        ("sent", "fake-a"),
        ("delivered", "fake-a"),
        ("wrong", None),
    ]
    live.default.check(id=started["id"], code=code)
    ended = live.default.status(started["id"])
    assert (ended["status"], ended["to"], ended["timeline"][-1]["event"]) == ("approved", None, "approved")
    times = [line["at"] for line in ended["timeline"]]
    assert times == sorted(times)
    assert code not in str(pending) + str(ended)


def test_a_cancel_ends_a_pending_verification(live: Contract) -> None:
    """204, and from then on its code is as good as none; what has ended cannot be canceled."""
    to = a_number()
    started, code = begin(live, to)
    status, _, body = live.default.request("DELETE", f"/verifications/{started['id']}")
    assert (status, body) == (204, "")
    assert live.default.refused("POST", "/check", {"id": started["id"], "code": code})["status"] == 404
    assert live.default.refused("DELETE", f"/verifications/{started['id']}")["status"] == 404
    looked = live.default.status(started["id"])
    assert (looked["status"], looked["to"], looked["timeline"][-1]["event"]) == ("canceled", None, "canceled")


def test_a_verification_is_forgotten_an_hour_after_its_life(live: Contract) -> None:
    """Expired, it can be looked at for an hour more; then it is 404 like anything unknown."""
    started = live.default.start(a_number())
    until(lambda: live.default.status(started["id"])["timeline"][-1]["event"] == "delivered")
    advance(live, 600)
    looked = live.default.status(started["id"])
    assert (looked["status"], looked["to"], looked["timeline"][-1]) == (
        "expired",
        None,
        {"at": started["expires_at"], "event": "expired"},
    )
    assert live.default.refused("DELETE", f"/verifications/{started['id']}")["status"] == 404
    advance(live, HOUR - 60)
    assert live.default.status(started["id"])["status"] == "expired"
    advance(live, 60)
    gone = live.default.refused("GET", f"/verifications/{started['id']}")
    assert gone["type"] == "/problems/verification-not-found"
