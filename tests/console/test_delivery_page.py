"""The page Delivery: how providers and senders fare, why weights moved, and what tenants' endpoints did not take."""

import re
from pathlib import Path

import msgspec
import pytest

from tests.support.console import TOML, Desk
from verify_service.store import Store
from verify_service.store.health import Report
from verify_service.store.layouts import Item

EVIL = "<script>alert(1)</script>"
MORE = f"""{TOML}
[providers.fake-b]
kind = "fake"
[senders.short]
type = "short-code"
address = "43721"
per_second = 10
[[routes]]
via = [{{ provider = "fake-a", sender = "short" }}, {{ provider = "fake-b" }}]
[tenants.acme]
brand = "Acme"
webhook = {{ url = "https://acme.example/hook", secret = "env:HOOK_SECRET" }}
"""


@pytest.fixture
def desk(alone: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("HOOK_SECRET", "whsec_" + "A" * 32)
    return Desk(alone, tmp_path, toml=MORE)


def report(name: str, errors: int = 0, ok: int = 0) -> Report:
    return Report(name, errors + ok, errors, errors, 0, 0, 0, [0, 0, ok, 0, 0, 0, 0, 0, 0, 0, 0])


def test_a_quiet_service_says_what_would_stand_there(desk: Desk) -> None:
    """Each part in a sentence; who is not signed in sees none of it."""
    assert desk.browser(None).open("/console/delivery").path == "/console/sign-in?next=%2Fconsole%2Fdelivery"
    words = desk.browser("read").open("/console/delivery").words
    assert "The service is not ready: no dispatcher is alive: messages wait in the outbox." in words
    assert "0 messages are queued and not settled yet." in words
    assert "fake-a sms 100% of its weight fake-b sms 100% of its weight" in words
    assert "They have not moved lately" in words
    assert "short (short-code) 0 messages in 0 segments today; 10 a second at most; nobody in line" in words
    assert "acme 0 0 Nothing was given up." in words


def test_the_page_says_why_a_provider_lost_its_weight(desk: Desk) -> None:
    """Each change with its reason, the newest first; its answers; what of it the day has cost; live in the same
    words."""
    health, clock = desk.store.health, desk.clock
    costs = {"fake-a/short/sms:messages": 7, "fake-a/short/sms:segments": 9, "fake-a/short/sms:price": 70_000}
    for errors in (3, 0):
        clock.advance(1)
        reports = [report("fake-a/sms", errors), report("fake-b/sms", ok=9)]
        health.pulse(clock.now(), reports, [["fake-a/sms", "fake-b/sms"]], costs if errors else {})
    desk.store.senders.reserve("short", 10, 540, 60_000)
    browser = desk.browser("read")
    words = browser.open("/console/delivery").words
    why = "3 tries in a row failed or came too late"
    moved = f"fake-a/sms: 80% to 60%, {why} 2027-01-15 08:00:01 fake-a/sms: 100% to 80%, {why}"
    assert moved in words
    assert f"fake-a sms 60% of its weight: {why}" in words
    assert "fake-b sms 50 ms 50 ms 0.0%" in words
    assert "fake-a sms – – 100.0% – 7 0 0 $0.07" in words
    line = re.search(r"7 messages in 9 segments today; 10 a second at most; (\d+\.\d) s in line", words)
    assert line
    assert 5 < float(line[1]) <= 60
    assert 'class="bar full"' in browser.seen.text
    live = browser.open("/console/delivery", **{"X-Live": "1"})
    assert "<html" not in live.text
    assert moved in live.words
    assert "endpoints" not in live.words


def test_what_an_endpoint_did_not_take_is_shown_as_text(desk: Desk) -> None:
    """The newest twenty, with why; what the endpoint said is no part of the page. A tenant that there is none of has
    no letters."""
    for place in range(30):
        fields = {"id": f"ve_{place}", "event": "approved", "at": "1800000000000", "tenant": "acme"}
        item = Item("1-1", fields, 4, f"answered {EVIL}", "1800000000000").pack()
        desk.store.link.command(0, ["LPUSH", "vs:{0}:hooks:acme:dead", item])
    desk.store.link.command(0, ["LPUSH", "vs:{0}:shifts", msgspec.msgpack.encode([1, EVIL, 100, 80, EVIL])])
    browser = desk.browser("read")
    for path in ("/console/delivery", "/console/delivery?tenant=acme", "/console/delivery?tenant=%3Cscript%3E"):
        seen = browser.open(path)
        assert "acme 0 30" in seen.words
        assert seen.text.count("<script>alert") == 0
        assert seen.words.count(f"approved ve_29 5 answered {EVIL}") == 1
        assert "ve_10" in seen.text
        assert "ve_9<" not in seen.text
        assert "Trying them again needs the scope admin" in seen.words


def test_dead_letters_are_tried_again_for_a_reason(desk: Desk) -> None:
    """By who may, and for a tenant that has an endpoint."""
    item = Item(
        "1-1", {"id": "ve_1", "event": "approved", "at": "1800000000000"}, 4, "timed out", "1800000000000"
    ).pack()
    desk.store.link.command(0, ["LPUSH", "vs:{0}:hooks:acme:dead", item])
    reader = desk.browser("read")
    reader.open("/console/delivery")
    assert reader.send("/console/delivery/acme/replay", reason="it is up").status == 403
    browser = desk.browser()
    browser.open("/console/delivery")
    assert browser.send("/console/delivery/acme/replay", reason="").status == 400
    browser.open("/console/delivery")
    assert browser.send("/console/delivery/none/replay", reason="it is up").status == 404
    assert desk.store.webhooks.counts(["acme"]) == (0, 1)
    browser.open("/console/delivery")
    assert "1 event is tried again." in browser.send("/console/delivery/acme/replay", reason="it is up").words
    assert desk.store.webhooks.counts(["acme"]) == (1, 0)
