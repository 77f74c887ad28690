"""Signing in to the console by an OpenID provider, and what an attacker tries on the way there and back."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tests.support.console import KEYS, OPERATORS, Browser, Desk
from tests.support.hosted import context_of
from tests.support.live import PATIENCE_S
from tests.support.openid import CLIENT, SECRET, SUBJECT, Provider, provider_at_work
from verify_service.openid import OpenId
from verify_service.store import Store
from verify_service.web.context import EXTENSION

BACK = "/console/sign-in/back"


class Office(Desk):
    """A desk behind https whose operators sign in by a provider."""

    def __init__(self, store: Store, folder: Path, peer: Provider, admins: list[str], readers: list[str]) -> None:
        self.peer = peer
        super().__init__(
            store,
            folder,
            toml=f"""
public_url = "https://verify.example.com"
[tenants.default]
[providers.fake-a]
kind = "fake"
[console.oidc]
issuer = "{peer.url}"
client_id = "{CLIENT}"
client_secret = "env:CONSOLE_SECRET"
admins = {msgspec.json.encode(admins).decode()}
readers = {msgspec.json.encode(readers).decode()}
{OPERATORS}""",
        )
        self.context(openid=OpenId(peer.url, CLIENT, SECRET, f"https://verify.example.com{BACK}", self.clock))

    def context(self, **changed: Any) -> None:
        self.client.app.extensions[EXTENSION] = dataclasses.replace(context_of(self.client), **changed)

    def lets_in(self, admins: tuple[str, ...], readers: tuple[str, ...], **changed: str) -> None:
        """As where the roles start anew with another file."""
        config = context_of(self.client).config
        assert config.console.oidc
        oidc = msgspec.structs.replace(config.console.oidc, admins=admins, readers=readers, **changed)
        console = msgspec.structs.replace(config.console, oidc=oidc)
        self.context(config=msgspec.structs.replace(config, console=console))

    def leave(self, browser: Browser, next_: str = "") -> str:
        """The address at the provider that the browser is sent to."""
        query = f"?{urlencode({'next': next_})}" if next_ else ""
        return str(browser.raw(f"/console/sign-in/openid{query}").headers["Location"])

    def sign_in(self, browser: Browser, next_: str = "") -> Any:
        """The answer to a browser that comes back."""
        return browser.open(f"{BACK}?{urlencode(self.peer.sign_in(self.leave(browser, next_)))}")


@pytest.fixture
def peer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setattr("verify_service.openid.provider.PATIENCE_S", PATIENCE_S)  # However busy the machine is.
    with provider_at_work() as made:
        yield made


@pytest.fixture
def office(quiet: Store, tmp_path: Path, peer: Provider) -> Office:
    # The bound on what strangers have written down is an hour's: no other test is to have used it up.
    quiet.link.command(0, ["DEL", "vs:{0}:audit", "vs:{0}:audit:hours"])
    return Office(quiet, tmp_path, peer, admins=["ada@EXAMPLE.com"], readers=["user-18"])


def test_an_operator_signs_in_by_the_provider(office: Office, peer: Provider) -> None:
    """The sign-in page leads there; who comes back is led on to the page that was wanted, by a page of ours; the
    cookies are for this host alone, and only that of the way is sent along by another site's link."""
    browser = office.browser(None)
    assert "Sign in at 127.0.0.1" in browser.open("/console/sign-in").words
    left = browser.raw("/console/sign-in/openid?next=%2Fconsole%2F%3Frange%3D1h")
    assert (left.status_code, left.headers["Cache-Control"]) == (303, "no-store")
    assert left.headers["Set-Cookie"].startswith("__Host-verify-signing-in=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(left.headers["Set-Cookie"].split("; "))
    back = browser.raw(f"{BACK}?{urlencode(peer.sign_in(left.headers['Location']))}")
    assert back.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=./../?range=1h">' in back.text
    session, way = back.headers.getlist("Set-Cookie")
    assert session.startswith("__Host-verify-console=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(session.split("; "))
    assert way.startswith("__Host-verify-signing-in=;")
    assert "ada@example.com" in browser.open("/console/").words
    (written,) = context_of(office.client).audit.newest(1)
    assert written.entry
    assert (written.entry.who, written.entry.act) == ("oidc:ada@example.com", "sign-in")
    assert written.entry.more == {"method": "openid"}
    browser.send("/console/sign-out")
    assert browser.open("/console/").path.startswith("/console/sign-in")


def test_a_person_is_who_the_provider_says_by_the_claim_that_the_entry_names(office: Office, peer: Provider) -> None:
    """A subject by `sub` alone, an email by a verified `email` alone; no look-alike of either."""
    for claims, status in (
        ({"sub": "user-18", "email": None}, 200),
        ({"sub": "USER-18", "email": None}, 403),
        ({"sub": "ada@example.com", "email": None}, 403),
        ({"sub": "x", "email": "user-18"}, 403),
        ({"sub": "x", "email_verified": False}, 403),
        ({"sub": "x", "email": "ada@example.com.evil.example"}, 403),
        ({"sub": "x", "email": "ada@example.com "}, 403),
        ({"sub": "x", "email": "ada@examp\u212ae.com"}, 403),
        ({"sub": "x", "email": "ada@example.com"}, 200),
    ):
        peer.claims = {"email": None, "email_verified": True, **claims}
        assert office.sign_in(office.browser(None)).status == status, claims
    office.lets_in(("kim@example.com",), ())
    peer.claims |= {"email": "\u212aim@example.com"}  # The Kelvin sign, whose small letter is k.
    assert office.sign_in(office.browser(None)).status == 403
    peer.claims |= {"email": "Kim@example.com"}
    assert office.sign_in(office.browser(None)).status == 200


def test_who_is_not_let_in_learns_how_they_are_known(office: Office, peer: Provider) -> None:
    """What an operator has to write down; as text, whatever it is."""
    peer.claims |= {"sub": "<b>17</b>", "email": None}
    seen = office.sign_in(office.browser(None))
    assert "Your provider knows you (<b>17</b>, without a verified email)" in seen.words
    assert "<b>17" not in seen.text


def test_who_is_withdrawn_has_no_session_and_scopes_are_those_of_now(office: Office, peer: Provider) -> None:
    """The configuration is asked at each request; a person of another provider is another person."""
    browser = office.browser(None)
    office.sign_in(browser)
    assert "change things" in browser.open("/console/you").words
    office.lets_in((), ("Ada@example.com",))
    assert "change nothing" in browser.open("/console/you").words
    office.lets_in((), (SUBJECT,))
    assert browser.open("/console/").path == "/console/"
    office.lets_in((), (SUBJECT,), issuer="https://other.example.com")
    assert browser.open("/console/").path.startswith("/console/sign-in")
    office.lets_in((), ("user-18",), issuer=peer.url)
    assert browser.open("/console/").path.startswith("/console/sign-in")


def test_nobody_is_signed_in_by_anothers_way_back(office: Office, peer: Provider) -> None:
    """An attacker's link with their own code and state signs in no browser but theirs, so nobody works under an account
    that somebody else watches."""
    attacker, victim = office.browser(None), office.browser(None)
    link = f"{BACK}?{urlencode(peer.sign_in(office.leave(attacker)))}"
    assert "it was not begun in this browser" in victim.open(link).words
    office.leave(victim)
    assert "the answer belongs to another sign-in" in victim.open(link).words
    assert (victim.seen.status, victim.cookie) == (403, "")
    assert attacker.open(link).status == 200


def test_a_way_back_leads_in_once(office: Office, peer: Provider) -> None:
    """Though the browser shows its cookie again, and the provider gives the same sign-in a second code. What the
    provider does not vouch for leaves nothing in the store."""
    browser = office.browser(None)
    left = browser.raw("/console/sign-in/openid")
    way, at = left.headers["Set-Cookie"].split(";")[0], left.headers["Location"]
    first, second = (f"{BACK}?{urlencode(peer.sign_in(at))}" for _ in range(2))
    kept = set(office.store.link.client().scan_iter("*signing-in:*"))
    assert "HTTP 400" in browser.open(first.replace("code-0", "code-9")).words
    assert set(office.store.link.client().scan_iter("*signing-in:*")) == kept
    assert browser.open(first).status == 200
    browser.take(way)
    assert "HTTP 400" in browser.open(first).words
    assert "it was answered before" in browser.open(second).words


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "the answer belongs to another sign-in"),
        ("state=&code=", "the answer belongs to another sign-in"),
        ("state={state}&error=access_denied&error_description=%3Cb%3EHi", "the provider has not signed you in"),
        ("state={state}&code=", "the provider has not signed you in"),
        ("state={state}&code=a%0d%0aX:+y", "the provider has not signed you in"),
        ("state={state}&code=" + "x" * 2049, "the provider has not signed you in"),
        ("state={state}&code=x&iss=https://evil.example", "the answer is another provider's"),
        ("state={state}&code=x", "the provider answered HTTP 400"),
    ],
)
def test_a_way_back_that_is_made_up_leads_nowhere(office: Office, query: str, words: str) -> None:
    """And says in plain words what is wrong, quoting nothing."""
    browser = office.browser(None)
    at = office.leave(browser)
    state = at.partition("&state=")[2].partition("&")[0]
    seen = browser.open(f"{BACK}?{query.replace('{state}', state)}")
    assert (seen.status, browser.cookie) == (403, "")
    assert f"You are not signed in: {words}. Begin again." in seen.words
    assert "Hi" not in seen.words


def test_a_forged_cookie_of_the_way_begins_nothing(office: Office) -> None:
    """Only this service's keys make one; one for another use is none."""
    browser = office.browser(None)
    for value in ("", "k1.AAAA", context_of(office.client).keys.token(b"{}", "page")):
        browser.take(f"__Host-verify-signing-in={value}")
        assert "it was not begun in this browser" in browser.open(f"{BACK}?state=a&code=b").words


def test_a_provider_that_is_down_leaves_the_keys(office: Office, peer: Provider) -> None:
    """The page says so, in time, and a key still signs in."""
    peer.instead["/.well-known/openid-configuration"] = lambda: (502, {}, b"")
    browser = office.browser(None)
    for _ in range(2):
        seen = browser.open("/console/sign-in/openid")
        assert seen.status == 503
        assert "Nobody can sign in there now: the provider" in seen.words
        assert "Try again in a moment, or use a key." in seen.words
    assert peer.heard == ["/.well-known/openid-configuration"]
    assert browser.open("/console/sign-in").status == 200
    assert browser.send("/console/sign-in", key=KEYS["read"]).path == "/console/"
    office.clock.advance(10)
    peer.instead = {"/token": lambda: (503, {}, b"")}
    seen = office.sign_in(office.browser(None))
    assert (seen.status, "the provider answered HTTP 503. Try again" in seen.words) == (503, True)
    (written,) = context_of(office.client).audit.newest(1)
    assert written.entry
    assert (written.entry.who, written.entry.outcome) == ("nobody", "refused")
    assert written.entry.why == "the provider answered HTTP 503"


def test_the_way_leads_to_the_console_alone(office: Office) -> None:
    """Whatever `next` says."""
    too_long = f"/console/?{'x' * 1501}"  # For a cookie.
    for where in ("//evil.example", "https://evil.example/", "/v/x", "javascript:alert(1)", too_long):
        seen = office.sign_in(office.browser(None), where)
        assert '<meta http-equiv="refresh" content="0; url=./../">' in seen.text
        assert "evil" not in seen.text


def test_refusals_are_bounded_and_hold_up_nobody_who_may(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong keys and refused ways back count together, by address. Behind a proxy that is everybody's, so whoever the
    provider vouches for, or has a right key, signs in all the same."""
    monkeypatch.setattr("verify_service.store.failures.PER_MINUTE", 3)
    monkeypatch.setattr("verify_service.store.failures._MINUTE_S", 3600.0)  # However slow the machine is.
    browser = office.browser(None)
    browser.send("/console/sign-in", key="wrong")
    for status in (403, 403, 429):
        state = office.leave(browser).partition("&state=")[2].partition("&")[0]
        assert browser.open(f"{BACK}?state={state}&code=x").status == status
    assert 3000 < int(browser.seen.headers["retry-after"]) <= 3600
    assert browser.send("/console/sign-in", key="wrong").status == 429
    assert office.sign_in(office.browser(None)).status == 200
    browser.open("/console/sign-in")
    assert browser.send("/console/sign-in", key=KEYS["read"]).path == "/console/"


def test_without_a_provider_there_is_no_way(office: Office) -> None:
    office.context(openid=None)
    assert office.browser(None).open("/console/sign-in/openid").status == 404
    assert office.browser(None).open(f"{BACK}?state=a").status == 404
