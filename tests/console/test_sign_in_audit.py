"""Who signed in to the console, out of it, or was refused there, stands in the audit log, whatever the flood."""

from pathlib import Path

import pytest

from tests.support.console import KEYS, Desk
from tests.support.hosted import context_of
from verify_service.store import Store
from verify_service.store.failures import NOTED


@pytest.fixture
def desk(quiet: Store, tmp_path: Path) -> Desk:
    """On a store whose log is empty."""
    quiet.link.command(0, ["DEL", "vs:{0}:audit", "vs:{0}:audit:hours"])
    return Desk(quiet, tmp_path)


def log(desk: Desk) -> list[tuple[str, ...]]:
    """Who, from where, what, to what, how it ended and why."""
    found = (kept.entry for kept in context_of(desk.client).audit.all())
    return [(each.who, each.from_, each.act, each.target, each.outcome, each.why) for each in found if each]


def test_signing_in_and_out_is_written_down(desk: Desk) -> None:
    """Who, and from where; a wrong key without a word of it."""
    browser = desk.browser(None, "192.0.2.5")
    browser.send("/console/sign-in", key="vk_operator_guess")
    browser.sign_in("admin")
    browser.send("/console/sign-out")
    desk.browser("read", "192.0.2.6").send("/console/sign-out/everywhere")
    ada, rex = ("operator:Ada", "192.0.2.5"), ("operator:Rex", "192.0.2.6")
    assert log(desk) == [
        ("nobody", "192.0.2.5", "sign-in", "console", "refused", "This key is not an operator's."),
        (*ada, "sign-in", "console", "allowed", ""),
        (*ada, "sign-out", "console", "allowed", ""),
        (*rex, "sign-in", "console", "allowed", ""),
        (*rex, "sign-out", "everywhere", "allowed", ""),
    ]


def test_a_form_that_is_not_heard_is_written_down(desk: Desk) -> None:
    """Of another session, another origin, or whose operator may only look; a form of a stranger's, too."""
    other, browser = desk.browser("read"), desk.browser("admin")
    before = len(log(desk))
    assert browser.send("/console/sign-out", token=other.seen.token).status == 403
    browser.open("/console/you")
    assert browser.send("/console/sign-out", headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    other.open("/console/you")
    assert other.send("/console/lookup/x/unlock", reason="because").status == 403
    stranger = desk.browser(None)
    assert stranger.send("/console/sign-in", headers={"Origin": "https://evil.example"}, key=KEYS["read"]).status == 403
    here = "192.0.2.1"
    alien = "This form was sent by a page of another origin, so it was not heard."
    forged = "This form is not of your session. Open the page again, and send it from there."
    reader = "You may look, but this needs the scope `admin`; ask whoever keeps `verify.toml`."
    assert log(desk)[before:] == [
        ("operator:Ada", here, "call", "POST /console/sign-out", "refused", forged),
        ("operator:Ada", here, "call", "POST /console/sign-out", "refused", alien),
        ("operator:Rex", here, "call", "POST /console/lookup/<what>/unlock", "refused", reader),
        ("nobody", here, "sign-in", "console", "refused", alien),
    ]


def test_a_flood_of_wrong_keys_costs_the_store_little_and_floods_no_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From as many addresses as there are keys: ten a minute are written down, the next says how many were not."""
    monkeypatch.setattr("verify_service.store.failures._MINUTE_S", 3600.0)
    browser = desk.browser(None)
    browser.open("/console/sign-in")
    before = desk.store.link.round_trips
    for n in range(100):
        flood = desk.browser(None, f"2001:db8:{n:x}::1")
        assert flood.send("/console/sign-in", key=f"guess {n}").status == 401
    assert len(log(desk)) == NOTED
    assert desk.store.link.round_trips - before <= 3 * NOTED
    assert browser.sign_in("admin").open("/console/").status == 200
    monkeypatch.setattr("verify_service.store.failures._MINUTE_S", 0.0)
    browser.send("/console/sign-in", key="one more")
    assert log(desk)[-1][-1] == "This key is not an operator's. (90 before it were not written down)"
