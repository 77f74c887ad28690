"""Every form of every page of the console: whose it must be to be heard."""

import re
from pathlib import Path

import pytest

from tests.support.console import Desk
from verify_service import gateway
from verify_service.store import Store
from verify_service.web.console import forms as forms_of_pages

FOREIGN = (
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://other.localhost"},
    {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "", "Origin": "null"},
)


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(store, tmp_path)


def forms(desk: Desk) -> list[str]:
    """A path of each form that only those who are signed in can send."""
    rules = desk.client.app.url_map.iter_rules()
    paths = [re.sub(r"<[^>]*>", "x", rule.rule) for rule in rules if "POST" in (rule.methods or ())]
    return [path for path in paths if path.startswith("/console/") and path != "/console/sign-in"]


def test_every_form_is_its_own_sessions(desk: Desk) -> None:
    """Without its token, with that of another session, or from a page of another origin it is refused before anything
    is looked at; and nobody who is not signed in is told what there is."""
    ada, rex, nobody = desk.browser("admin"), desk.browser("read"), desk.browser(None)
    foreign = rex.open("/console/").token
    own = ada.open("/console/").token
    assert len({foreign, own, ""}) == 3
    for path in forms(desk):
        for token in ("", foreign, own[:-1], own.upper() + "é"):
            assert ada.send(path, token=token).status == 403, (path, token)
        for headers in FOREIGN:
            assert ada.send(path, headers=headers, token=own).status == 403, (path, headers)
        assert nobody.send(path, token=own).path.startswith("/console/sign-in"), path
    assert ada.open("/console/").path == "/console/"


def test_a_form_that_is_too_long_is_told_so(desk: Desk) -> None:
    """And not that it came too late, which the server says of what it does not read."""
    assert forms_of_pages.MOST_BYTES < gateway.MOST_BYTES
    ada = desk.browser("admin")
    token, text = ada.open("/console/policy").token, "a" * forms_of_pages.MOST_BYTES
    seen = ada.send("/console/policy/check", token=token, text=text)
    assert (seen.status, "1048576 bytes at most" in seen.words) == (413, True)


def test_what_was_done_is_not_said_of_a_page_that_is_opened_later(desk: Desk) -> None:
    """By then it may be true no more: another revision is in force, say."""
    ada = desk.browser("admin")
    seen = ada.send("/console/blocks/x/lift", token=ada.open("/console/blocks").token, reason="a mistake")
    said = "There is no such live block"
    assert said in seen.words
    desk.clock.advance(60)
    assert said in ada.open(seen.path).words
    desk.clock.advance(1)
    assert said not in ada.open(seen.path).words
