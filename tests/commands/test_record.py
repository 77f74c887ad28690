"""`verify-service record`: what happened, as a scenario without the people, which the fixture `verify_replay` plays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.commands import fails, run
from tests.support.live import until
from tests.support.recorded import write
from verify_service import recipient
from verify_service.backtest import record
from verify_service.backtest.scenario import scenario
from verify_service.errors import ConfigError
from verify_service.testing import VerifyClient, VerifyClock, VerifyInbox, VerifyProblem, VerifyServer
from verify_service.testing.replay import Replay

ID = "ve_" + "0" * 31
ANN, BOB = ({"number": tag * 20, "country": "US", "line_type": "fixed-line-or-mobile"} for tag in "ab")


def start(at: float, name: str, who: dict[str, str], **fields: Any) -> dict[str, Any]:
    """A start as an export has it."""
    facts = {"tenant": "default", "purpose": "login", "channel": "sms", "range": "+14155550", "revision": 1, **who}
    return {"at": at, "event": "start", "id": ID + name, **facts, **fields}


def then(at: float, event: str, name: str, **fields: str) -> dict[str, Any]:
    """What happened to a verification."""
    return {"at": at, "event": event, "id": ID + name, "tenant": "default", **fields}


def test_nobody_is_in_a_scenario(tmp_path: Path) -> None:
    """Each pseudonym has one stand-in: a number of the same range and kind, an address in a network as large, an id."""
    where = {"ip": "1" * 20, "network": "2" * 20}
    events = [
        start(1.0, "1", ANN, **where, device="d" * 20, keys={"account": "c" * 20}, user="e" * 20, price=0.01),
        start(2.0, "2", BOB, ip="3" * 20, network="2" * 20, refused="ip", decision="de_1", observed=["x"]),
        start(3.0, "3", ANN, ip="4" * 20, network="5" * 20, purpose="payment"),
        then(4.0, "approved", "1"),
        then(5.0, "wrong", "3"),
        {"at": 6.0, "event": "consent", "id": ANN["number"], "state": "out", "source": "sms", "tenant": "default"}
        | {"number": ANN["number"]},
    ]
    lines = scenario(events)
    same = {"tenant": "default", "channel": "sms"}
    assert lines == [
        {"at": 1.0, "event": "start", "id": "v1", "to": "+14155550100", "ip": "2001:db8:1:1::1", "purpose": "login"}
        | same
        | {"device": "d" * 20, "keys": {"account": "c" * 20}, "user": "e" * 20, "price": 0.01},
        {"at": 2.0, "event": "start", "id": "v2", "to": "+14155550101", "ip": "2001:db8:1:2::1", "purpose": "login"}
        | same
        | {"refused": "ip"},
        {"at": 3.0, "event": "start", "id": "v3", "to": "+14155550100", "ip": "2001:db8:2:1::1", "purpose": "payment"}
        | same,
        {"at": 4.0, "event": "approved", "id": "v1"},
        {"at": 5.0, "event": "wrong", "id": "v3"},
        {"at": 6.0, "event": "consent", "id": "+14155550100", "to": "+14155550100", "state": "out"},
    ]
    assert [line.event.to for line in record.read(write(tmp_path / "it.jsonl", lines)) if line.event.to] == [
        "+14155550100",
        "+14155550101",
        "+14155550100",
    ]


@pytest.mark.parametrize("to", ["+14155550123", "+447400123456", "+33612345678", "+5491123456789", "+992901230000"])
def test_a_stand_in_is_a_number_like_the_real_one(to: str) -> None:
    """It exists in the same plan as one of the same kind; of an email address the domain is the same."""
    number = recipient.parse(to, None)
    who = {"number": "a" * 20, "country": number.country, "line_type": number.line_type, "range": number.range}
    (line,) = scenario([start(1.0, "1", who)])
    found = recipient.parse(line["to"], None)
    assert (found.country, found.line_type, found.range) == (number.country, number.line_type, number.range)
    (line,) = scenario([start(1.0, "1", {"number": "a" * 20, "line_type": "email", "range": "@example.org"})])
    assert line["to"] == "person1@example.org"


MESSAGES = {
    "delivered": ([("sent", "a", ""), ("delivered", "a", "")], [{"do": "accept", "receipt": "delivered"}]),
    "no receipt": ([("sent", "a", "")], [{"do": "accept", "receipt": "none"}]),
    "lost": ([("sent", "a", ""), ("failed", "a", "30003")], [{"do": "accept", "receipt": "failed"}]),
    "refused": ([("failed", "a", "21211")], [{"do": "reject"}]),
    "no way": ([("failed", "", "no route carries sms to FR")], None),
    "failed over": (
        [("failed-over", "a", "HTTP 503"), ("sent", "b", ""), ("delivered", "b", "")],
        [{"do": "error"}, {"do": "accept", "receipt": "delivered"}],
    ),
    "no answer": (
        [("failed-over", "a", "no answer within 3 seconds"), ("sent", "b", "")],
        [{"do": "timeout"}, {"do": "accept", "receipt": "none"}],
    ),
    "receipt too late": (
        [("sent", "a", ""), ("failed-over", "a", "no receipt within 20 seconds"), ("sent", "b", "")],
        [{"do": "accept", "receipt": "none"}, {"do": "accept", "receipt": "none"}],
    ),
    "again by the same": (
        [("failed-over", "a", "HTTP 503"), ("failed-over", "a", "HTTP 503"), ("sent", "a", ""), ("delivered", "a", "")],
        [{"do": "error"}, {"do": "error"}, {"do": "accept", "receipt": "delivered"}],
    ),
}


@pytest.mark.parametrize(("told", "carried"), MESSAGES.values(), ids=MESSAGES)
def test_a_message_is_carried_as_it_was(told: list[tuple[str, str, str]], carried: list[dict[str, str]] | None) -> None:
    """Each try as the fake provider is told to do it; whose it was is the test's matter."""
    said = [
        then(2.0 + place, event, "1", reason=reason, **({"provider": provider} if provider else {}))
        for place, (event, provider, reason) in enumerate(told)
    ]
    (line,) = scenario([start(1.0, "1", ANN), *said])
    assert line.get("carried") == carried


def test_a_resend_has_its_own_message() -> None:
    """What came of the first message stays with the first start."""
    sent, lost = then(2.0, "sent", "1", provider="a"), then(4.0, "failed", "1", provider="b")
    lines = scenario([start(1.0, "1", ANN), sent, start(3.0, "1", ANN), lost])
    assert [line["carried"] for line in lines] == [[{"do": "accept", "receipt": "none"}], [{"do": "reject"}]]


def test_single_verifications_come_with_their_numbers_consent() -> None:
    """Of the others there is nothing."""
    events = [start(1.0, "1", ANN), start(2.0, "2", BOB), then(3.0, "approved", "2"), then(4.0, "approved", "1")]
    events += [{"at": 5.0, "event": "unlocked", "id": who["number"], "number": who["number"]} for who in (ANN, BOB)]
    found = [(line["event"], line["id"]) for line in scenario(events, [f"{ID}2"])]
    assert found == [("start", "v1"), ("approved", "v1"), ("unlocked", "+14155550100")]


def test_what_is_no_scenario_is_refused() -> None:
    """None, too many, or those of several tenants: each in a line that says what to do."""
    several = [start(1.0, "1", ANN), start(2.0, "2", BOB) | {"tenant": "acme"}]
    with pytest.raises(ConfigError, match="several tenants, acme, default; say which with --tenant"):
        scenario(several)
    assert [line["tenant"] for line in scenario(several, tenant="acme")] == ["acme"]
    with pytest.raises(ConfigError, match="no start of them is among the events"):
        scenario(several, [f"{ID}3"])
    with pytest.raises(ConfigError, match="more than 10000 events; record a shorter time"):
        scenario(start(1.0, "1", ANN) for _ in range(10_001))
    with pytest.raises(ConfigError, match=r"no other number of \+1415555012… is of the kind pager"):
        scenario([start(1.0, "1", ANN | {"line_type": "pager", "range": "+1415555012"})])


@pytest.mark.slow
def test_wrong_words_are_wrong_usage() -> None:
    """No id and no time, something that is no id, and no service."""
    for words, fault in (
        ((), "say which: ids"),
        (("ve_1",), "ve_1 is not the id"),
        (("--since", "1w"), "write a number"),
    ):
        done = run("record", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert fault in done.stderr
    assert fails("record", "--since", "1h").startswith("no store: set VERIFY_REDIS_URL")


@pytest.fixture
def incident(verify_client: VerifyClient, verify_inbox: VerifyInbox, verify_clock: VerifyClock) -> list[str]:
    """Something of everything on the session's server; the ids of it."""
    ann, bob = "+14155550171", "+14155550172"
    verify_inbox.behave({"to": bob, "do": "reject"})
    first = verify_client.start(ann, keys={"account": "a-17"}, ip="203.0.113.77")["id"]
    code = verify_inbox.code(ann)
    with pytest.raises(VerifyProblem, match="rate-limited"):
        verify_client.start(ann)
    verify_client.check(id=first, code=f"{(int(code) + 1) % 1_000_000:06d}")
    verify_clock.advance(45)
    assert verify_client.start(ann)["id"] == first
    verify_inbox.code(ann)
    assert verify_client.check(id=first, code=code)["approved"]
    second = verify_client.start(bob)["id"]
    until(lambda: verify_client.status(second)["timeline"][-1]["event"] == "failed")
    verify_client.cancel(second)
    verify_client.forget_all()
    verify_inbox.empty()
    return [first, second]


@pytest.mark.slow
def test_an_incident_is_recorded_and_played(
    incident: list[str], verify_server: VerifyServer, verify_replay: Callable[[Path], Replay], tmp_path: Path
) -> None:
    """By the command from a service that runs, and by the fixture on one: step by step as it went. A line that is not
    as it went is the difference, and a check whose start is refused cannot be played."""
    env = {"VERIFY_STATE_DIR": str(verify_server.state_dir), "VERIFY_CLOCK": "virtual"}
    done = run("record", *incident, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    for secret in (*incident, "+14155550171", "+14155550172", "203.0.113", "a-17"):
        assert secret not in done.stdout
    path = tmp_path / "incident.jsonl"
    path.write_text(done.stdout)
    replay = verify_replay(path)
    assert replay.differences == []
    assert [(step.event, step.id, step.played) for step in replay.steps] == [
        ("start", "v1", "admitted"),
        ("start", "v1", "cooldown"),
        ("wrong", "v1", "wrong"),
        ("start", "v1", "admitted"),
        ("approved", "v1", "approved"),
        ("start", "v2", "admitted"),
        ("canceled", "v2", "canceled"),
    ]
    lines = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert lines[5]["carried"] == [{"do": "reject"}]
    lines[3]["refused"] = "number"
    lines[5]["to"] = "+18005550199"  # Toll-free, which the shipped policy refuses.
    changed = verify_replay(write(path, lines))
    assert [(step.id, step.recorded, step.played) for step in changed.differences] == [
        ("v1", "number", "admitted"),
        ("v2", "admitted", "line-types"),
        ("v2", "canceled", "not played"),
    ]


@pytest.mark.slow
def test_what_cannot_be_played_is_said(verify_replay: Callable[[Path], Replay], tmp_path: Path) -> None:
    """With the line: an export's start, and what is no event."""
    path = tmp_path / "it.jsonl"
    known = {"at": 1.0, "event": "wrong", "id": "a"}
    for line, fault in (
        ({"at": 1.0, "event": "start", "id": "a"}, "line 2: a start without `to`; `verify-service record` writes"),
        ({"at": "x"}, "line 2: Expected `float`"),
    ):
        with pytest.raises(ValueError, match=fault):
            verify_replay(write(path, [known, line]))
