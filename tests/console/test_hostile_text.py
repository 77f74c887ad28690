"""What an attacker can write somewhere is text wherever the console shows it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.console import Desk, Seen
from tests.support.contract import a_number
from verify_service.policy.file import default_text
from verify_service.store import Store
from verify_service.web.console.showing import PAGES

EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script><style>*{display:none}</style><a href=//evil.example>"
OURS = re.compile(r"\./(\.\./)*(console/)?assets/[a-z]+\.(js|css)|data:,")


class _Elements(HTMLParser):
    """What a browser would make of a page: every element with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, {name: value or "" for name, value in attrs}))


def judge(seen: Seen) -> None:
    """Raises AssertionError for a page that runs, links or restyles anything that is not the console's own."""
    elements = _Elements(seen.text).seen
    for tag, has in elements:
        about = seen.path, tag, has
        assert tag not in ("style", "iframe", "object", "embed", "base", "img"), about
        assert not {name for name in has if name.startswith("on") or name in ("style", "srcdoc", "http-equiv")}, about
        if tag in ("script", "link"):
            assert OURS.fullmatch(has.get("src") or has["href"]), about
        for name in {"href", "src", "action", "formaction", "data-live"} & has.keys():
            assert has[name].startswith(("./", "#", "data:,")), about


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(store, tmp_path)


def test_what_an_attacker_writes_is_text_on_every_page(desk: Desk) -> None:
    """Reasons, notes, names of users and factors, devices and keys, and whatever an address says."""
    client, to = desk.client, a_number()
    assert (
        client.request(
            "POST", f"/users/{quote(EVIL.replace('/', ''), safe='')}/factors", {"kind": "totp", "label": EVIL[:40]}
        )[0]
        == 201
    )
    client.request(
        "POST", "/start", {"to": to, "device": EVIL, "keys": {"account": EVIL}, "user": EVIL.replace("/", "")}
    )
    assert client.request("POST", "/admin/unlock", {"to": to, "reason": EVIL})[0] == 200
    text = default_text() + f"\n# {EVIL}\n"
    status, _, answer = client.request("PUT", "/admin/policy", {"policy": text, "note": EVIL}, {"If-Match": "*"})
    assert status == 200, answer
    browser = desk.browser()
    for entry in PAGES:
        assert browser.open(f"/console{entry.path}").status == 200, entry.path
        judge(browser.seen)
    for path in ("/?said=", "/sign-in?next=", "/decisions?rule=", "/decisions?range=", "/nowhere?x=", "/lookup/"):
        judge(browser.open(f"/console{path}{quote(EVIL, safe='')}"))
    judge(browser.open("/console/lookup"))
    assert browser.send("/console/lookup", user=EVIL.replace("/", ""), tenant="default").status == 200
    assert "alert(2)" in browser.seen.words
    judge(browser.seen)
    browser.open("/console/lookup")
    judge(browser.send("/console/lookup", what=EVIL, tenant=EVIL))
