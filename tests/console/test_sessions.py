"""Who is let in to the console, and which forms it hears."""

import dataclasses
import re
from pathlib import Path

import msgspec
import pytest

from tests.support.console import KEYS, TOML, Desk
from tests.support.hosted import context_of
from verify_service.operators import ConsoleConfig
from verify_service.store import Store
from verify_service.web.context import EXTENSION

IDLE_MS, LIFE_MS = ConsoleConfig().idle.ms, ConsoleConfig().life.ms


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(store, tmp_path)


def test_an_operator_signs_in_and_out(desk: Desk) -> None:
    """By the key, at the page that was wanted; the cookie is for this host alone and out of every script's reach, and
    is worth nothing after the sign-out."""
    browser = desk.browser(None)
    seen = browser.open("/console/?range=1h")
    assert (seen.path, seen.status) == ("/console/sign-in?next=%2Fconsole%2F%3Frange%3D1h", 200)
    assert browser.send("/console/sign-in", key=" " + KEYS["read"] + "\n", next="/console/?range=1h").status == 200
    assert browser.seen.path == "/console/?range=1h"
    assert "Rex" in browser.seen.words
    cookie = browser.cookie
    browser.send("/console/sign-out")
    assert browser.seen.path == "/console/sign-in"
    assert browser.cookie == ""
    browser.take(cookie)
    assert browser.open("/console/").path == "/console/sign-in?next=%2Fconsole%2F"
    answer = desk.client.app.test_client().post("/console/sign-in", data={"key": KEYS["admin"]})
    said = {part.split("=")[0].strip() for part in answer.headers["Set-Cookie"].split(";")[1:]}
    assert said == {"Expires", "Max-Age", "HttpOnly", "Path", "SameSite"}
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]
    assert "no-store" in answer.headers["Cache-Control"]


def test_behind_https_no_other_host_sets_the_cookie(store: Store, tmp_path: Path) -> None:
    desk = Desk(store, tmp_path, toml='public_url = "https://verify.example.com/otp"\n' + TOML)
    answer = desk.client.app.test_client().post("/console/sign-in", data={"key": KEYS["admin"]})
    assert answer.headers["Set-Cookie"].startswith("__Host-verify-console=")
    assert {"Secure", "Path=/"} <= {part.strip() for part in answer.headers["Set-Cookie"].split(";")}


@pytest.mark.parametrize("key", ["", "vk_operator_x", "vk_default_" + "A" * 43, "é" * 100_000])
def test_a_wrong_key_lets_nobody_in(desk: Desk, key: str) -> None:
    browser = desk.browser(None)
    seen = browser.send("/console/sign-in", key=key)
    assert (seen.status, browser.cookie) == (401, "")
    assert "This key is not an operator's." in seen.words
    assert key not in seen.text or not key


def test_a_tenants_api_key_is_no_operators_key(desk: Desk) -> None:
    """And an operator's key is no API key."""
    browser = desk.browser(None)
    assert browser.send("/console/sign-in", key=desk.client._server.api_key).status == 401
    status, _, _ = desk.client.request("GET", "/admin/blocks", headers={"Authorization": f"Bearer {KEYS['admin']}"})
    assert status == 401


def test_a_session_ends(desk: Desk) -> None:
    """Half an hour after its person did something last, and half a day after the sign-in; what a page asks by itself
    keeps it from neither."""
    browser = desk.browser()
    desk.clock.advance(IDLE_MS / 1000 - 1)
    assert browser.open("/console/").path == "/console/"
    desk.clock.advance(IDLE_MS / 1000 - 1)
    assert browser.open("/console/", **{"X-Live": "1"}).status == 200
    desk.clock.advance(1)
    assert browser.open("/console/", **{"X-Live": "1"}).status == 401
    browser = desk.browser()
    for _ in range(LIFE_MS // 1_200_000 - 1):
        desk.clock.advance(1200)
        assert browser.open("/console/").path == "/console/"
    desk.clock.advance(1200)
    assert browser.open("/console/").path.startswith("/console/sign-in")


def test_a_key_that_was_withdrawn_has_no_session(desk: Desk) -> None:
    """At once, wherever the configuration without it is read; and what it may do is what it says now."""
    browser = desk.browser("admin")
    was = context_of(desk.client)
    kept = {digest: who for digest, who in was.config.operators.items() if who.name != "Ada"}
    without = dataclasses.replace(was, config=msgspec.structs.replace(was.config, operators=kept))
    desk.client.app.extensions[EXTENSION] = without
    assert browser.open("/console/").path.startswith("/console/sign-in")


def test_only_forms_of_the_same_session_are_heard(desk: Desk) -> None:
    """None without its token, with another session's, or from a page of another origin."""
    browser, other = desk.browser("admin"), desk.browser("read", "192.0.2.2")
    for token in ("", "0" * 64, other.seen.token):
        assert browser.send("/console/sign-out", token=token).status == 403
        browser.open("/console/")
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "", "Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://localhost:81"},
        {"Origin": "http://[::1"},
    ):
        assert browser.send("/console/sign-out", headers=headers).status == 403, headers
        browser.open("/console/")
        assert browser.send("/console/sign-in", headers=headers, key=KEYS["read"]).status == 403, headers
    assert browser.open("/console/").path == "/console/"
    assert "Ada" in browser.seen.words


@pytest.mark.parametrize(
    "where",
    [
        "//evil.example",
        "https://evil.example/",
        "/console//evil.example",
        "/console/../fake/inbox",
        "/console/lookup/" + "a" * 2000,
        "/v/x",
        "javascript:x",
    ],
)
def test_a_sign_in_leads_to_the_console_alone(desk: Desk, where: str) -> None:
    browser = desk.browser(None)
    answer = desk.client.app.test_client().post("/console/sign-in", data={"key": KEYS["read"], "next": where})
    assert answer.status_code == 303
    assert answer.headers["Location"] == "./"
    assert browser.open(f"/console/sign-in?next={where}").status == 200
    assert 'href="javascript' not in browser.seen.text


def test_a_sign_in_leads_to_somebody_who_was_looked_up(desk: Desk) -> None:
    """The address of such a page is sealed, so it is long and of all letters; whoever was signed out comes back."""
    page = desk.browser().send("/console/lookup", what="+447911123456", tenant="default").path
    assert re.search("lookup/.*[A-Z]", page)
    browser = desk.browser(None)
    browser.open(page)
    assert browser.send("/console/sign-in", key=KEYS["read"], next=page).path == page


def test_every_page_runs_nothing_but_the_consoles_own(desk: Desk) -> None:
    """No inline style or script, nothing from elsewhere, in no frame; and no page is kept."""
    browser = desk.browser()
    for path in ("/console/", "/console/sign-in", "/console/nowhere", "/console/assets/nothing"):
        browser.open(path)
        policy = browser.seen.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';"), path
        assert "frame-ancestors 'none'" in policy
        assert browser.seen.headers["cache-control"] == "no-store"
        assert " style=" not in browser.seen.text
        assert "<style" not in browser.seen.text
    sheet = browser.open("/console/assets/console.css")
    assert (sheet.status, sheet.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert browser.open("/console/assets/console.css", **{"If-None-Match": sheet.headers["etag"]}).status == 304
