"""The fake provider, on the live server: its scripted behaviour, its clock, and texts from phones."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.live import until
from verify_service import config
from verify_service.errors import ConfigError
from verify_service.testing import VerifyClient, VerifyClock, VerifyInbox, VerifyProblem

pytestmark = pytest.mark.slow

TO = "+14155550123"
OTHER = "+14155550124"


def timeline(client: VerifyClient, started: dict[str, Any], last: str) -> list[tuple[str, str | None]]:
    """(event, reason) of each line after `queued`, once `last` is there."""
    until(lambda: client.status(started["id"])["timeline"][-1]["event"] == last, f"the event {last}")
    return [(line["event"], line.get("reason")) for line in client.status(started["id"])["timeline"][2:]]


@pytest.mark.parametrize(
    ("rule", "events", "messages"),
    [
        ({"do": "accept"}, [("sent", None), ("delivered", None)], 1),
        ({"do": "accept", "receipt": "none"}, [("sent", None)], 1),
        ({"do": "accept", "receipt": "failed"}, [("sent", None), ("failed", "told to fail")], 1),
        ({"do": "accept", "receipt": "late", "delay_ms": 300}, [("sent", None), ("delivered", None)], 1),
        ({"do": "slow", "delay_ms": 300}, [("sent", None), ("delivered", None)], 1),
        ({"do": "reject"}, [("failed", "told to reject")], 0),
        ({"do": "lose"}, [("sent", None)], 0),
        ({"do": "lose", "receipt": "delivered"}, [("sent", None), ("delivered", None)], 0),
        ({"do": "duplicate"}, [("sent", None), ("delivered", None)], 2),
        (
            {"do": "error", "times": 1},
            [("failed-over", "told to fail"), ("sent", None), ("delivered", None)],
            1,
        ),
        (
            {"do": "timeout", "times": 2},
            [("failed-over", "told to time out")] * 2 + [("sent", None), ("delivered", None)],
            1,
        ),
    ],
    ids=lambda value: "-".join(str(part) for part in value.values()) if isinstance(value, dict) else "",
)
def test_it_does_as_it_is_told(
    verify_client: VerifyClient,
    verify_inbox: VerifyInbox,
    rule: dict[str, Any],
    events: list[tuple[str, str | None]],
    messages: int,
) -> None:
    """Each deed, with its receipt, in the timeline and in the inbox; copies carry the same code."""
    verify_inbox.behave({"to": TO, **rule})
    started = verify_client.start(TO)
    assert timeline(verify_client, started, events[-1][0]) == events
    found = verify_inbox.messages(TO)
    assert len(found) == messages == len({message["id"] for message in found})
    assert len({message["code"] for message in found}) == min(messages, 1)


def seconds(later: str, earlier: str) -> float:
    """From one time of an answer to another."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


@pytest.mark.parametrize("rule", [{"do": "slow", "delay_ms": 4000}, {"do": "accept", "delay_ms": 4000}])
def test_a_delay_holds_the_message_back(
    verify_client: VerifyClient, verify_inbox: VerifyInbox, rule: dict[str, Any]
) -> None:
    """`delay_ms` is how long the provider takes; the start itself is answered before."""
    verify_inbox.behave({"to": "*", **rule})
    started = verify_client.start(TO)
    assert verify_inbox.messages(TO) == []
    [message] = verify_inbox.messages(TO, wait=30)
    assert seconds(message["sent_at"], started["created_at"]) > 3.9


def test_a_late_receipt_comes_later(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """`delay_ms` after the message, and until then the timeline ends with `sent`."""
    verify_inbox.behave({"to": "*", "do": "accept", "receipt": "late", "delay_ms": 1000})
    started = verify_client.start(TO)
    [message] = verify_inbox.messages(TO, wait=30)
    assert timeline(verify_client, started, "delivered") == [("sent", None), ("delivered", None)]
    sent, delivered = verify_client.status(started["id"])["timeline"][2:]
    assert message["sent_at"] <= sent["at"] < delivered["at"]
    assert seconds(delivered["at"], message["sent_at"]) > 0.9


def test_the_first_rule_that_fits_acts(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """Rules are tried in order, by number and by provider; one whose `times` are used up fits no more."""
    verify_inbox.behave(
        {"to": "+1415*", "provider": "fake-z", "do": "reject"},
        {"to": "+44*", "do": "reject"},
        {"to": "+1415555*", "do": "lose", "times": 1},
        {"to": "*", "do": "duplicate"},
    )
    lost = verify_client.start(TO)
    assert timeline(verify_client, lost, "sent") == [("sent", None)]
    doubled = verify_client.start(OTHER)
    timeline(verify_client, doubled, "delivered")
    assert (len(verify_inbox.messages(TO)), len(verify_inbox.messages(OTHER))) == (0, 2)


def test_rules_are_replaced(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """PUT replaces all rules, GET shows them, none means that all is well."""
    rules = [{"to": "*", "do": "reject"}]
    verify_inbox.behave(*rules)
    assert verify_client.request("GET", "/fake/behaviour")[2] == {"rules": rules}
    verify_inbox.behave()
    assert verify_client.request("GET", "/fake/behaviour")[2] == {"rules": []}
    started = verify_client.start(TO)
    assert timeline(verify_client, started, "delivered") == [("sent", None), ("delivered", None)]


def test_stop_opts_out_and_start_opts_in(
    verify_client: VerifyClient, verify_inbox: VerifyInbox, verify_clock: VerifyClock
) -> None:
    """After STOP a start is refused before anything is counted, however often; after START it goes through."""
    verify_inbox.text(TO, "43721", " stop ")
    for _ in range(12):
        with pytest.raises(VerifyProblem) as refused:
            verify_client.start(TO)
        assert (refused.value.status, refused.value.body["type"]) == (403, "/problems/opted-out")
    assert verify_inbox.messages(TO) == []
    verify_inbox.text(TO, "43721", "START")
    assert verify_client.start(TO)["sends_left"] == 4
    verify_inbox.code(TO)


@pytest.mark.parametrize("words", ["HELP", "stop it please", "123456"])
def test_other_texts_change_nothing(verify_client: VerifyClient, verify_inbox: VerifyInbox, words: str) -> None:
    """Only a text that is one of the known words opts out."""
    verify_inbox.text(TO, "43721", words)
    assert verify_client.start(TO)["status"] == "pending"


def test_a_number_is_forgotten(verify_client: VerifyClient, verify_inbox: VerifyInbox) -> None:
    """DELETE of a number's state ends its verification, its cooldown, its limits and its consent; no other's."""
    kept = verify_client.start(OTHER)
    ids = set()
    for _ in range(7):  # more than the five starts in ten minutes that the default policy allows
        started = verify_client.start(TO)
        ids.add(started["id"])
        verify_client.forget(TO)
        with pytest.raises(VerifyProblem) as gone:
            verify_client.status(started["id"])
        assert gone.value.status == 404
    assert len(ids) == 7
    verify_inbox.text(TO, "43721", "STOP")
    verify_client.forget(TO)
    assert verify_client.start(TO)["status"] == "pending"
    assert verify_client.status(kept["id"])["status"] == "pending"


def test_the_clock_moves_for_every_process(verify_client: VerifyClient, verify_clock: VerifyClock) -> None:
    """Both web workers see the moved clock at once: a cooldown that is over is over in each."""
    verify_client.start(TO)
    with pytest.raises(VerifyProblem) as early:
        verify_client.start(TO)
    assert early.value.body["limit"] == "cooldown"
    before = verify_client.request("GET", "/fake/clock")[2]["now"]
    assert verify_clock.advance(31) > before
    assert verify_client.start(TO)["sends_left"] == 3
    for _ in range(10):
        assert verify_client.request("GET", "/fake/clock", headers={"connection": "close"})[2]["now"] > before


def test_a_fake_beside_a_real_provider_wants_a_word(tmp_path: Path) -> None:
    """Codes of real people in a readable inbox are an accident, unless the file says `allow_fake = true`."""
    both = (
        '[providers.fake-a]\nkind = "fake"\n[providers.hook]\nkind = "webhook"\nurl = "https://x/"\nsecret = "env:S"\n'
    )
    file = tmp_path / "verify.toml"
    file.write_text(both)
    with pytest.raises(ConfigError, match=r"fake-a is fake and hook is real.*allow_fake = true"):
        config.load(file, None)
    file.write_text("allow_fake = true\n" + both)
    assert config.load(file, None).fake
