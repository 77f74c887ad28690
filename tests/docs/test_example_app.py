"""The example login app, in a browser's place, against the live server."""

import importlib.util
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.bench import wrong
from verify_service.testing import VerifyClient, VerifyClock, VerifyInbox, VerifyServer

pytestmark = pytest.mark.slow

APP = Path(__file__).parents[2] / "docs" / "example" / "app.py"
TO = "+14155550123"
HTTPS = "https://localhost"


class Browser:
    """A visitor: follows redirects and sends the hidden fields of the page it is on."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client
        self.status = 0
        self.text = ""
        self.open("/")

    def open(self, path: str) -> None:
        self._see(self.client.get(path, base_url=HTTPS, follow_redirects=True))

    def submit(self, path: str, **fields: str) -> None:
        hidden = dict(re.findall(r'name="(csrf|once)" value="([^"]+)"', self.text))
        self._see(self.client.post(path, base_url=HTTPS, data=hidden | fields, follow_redirects=True))

    def _see(self, answer: Any) -> None:
        self.status, self.text = answer.status_code, answer.text


def browser_of(url: str, api_key: str) -> Browser:
    spec = importlib.util.spec_from_file_location("example_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Browser(module.create_app(url, api_key, "a secret of the tests").test_client())


@pytest.fixture
def browser(verify_server: VerifyServer, verify_client: VerifyClient) -> Iterator[Browser]:
    yield browser_of(verify_server.url, verify_server.api_key)
    for to in (TO, "+14155550124"):
        verify_client.forget(to)


def test_a_visitor_signs_in(browser: Browser, verify_inbox: VerifyInbox) -> None:
    """Number, code, signed in, signed out."""
    browser.submit("/login", number=TO)
    assert f"sent a code to {TO}" in browser.text
    code = verify_inbox.code(TO)
    browser.submit("/code", code=f"\u200e {code[:3]}–{code[3:]} \n")
    assert f"Signed in as {TO}" in browser.text
    browser.submit("/sign-out")
    browser.open("/")
    assert "Mobile number" in browser.text


@pytest.mark.parametrize(
    "number", ["(415) 555-0123", "+1 (415) 555-0123", " ＋1415\u202f555\u20110123 ", "tel:4155550123"]
)
def test_a_number_is_understood_as_it_was_typed(browser: Browser, verify_inbox: VerifyInbox, number: str) -> None:
    """The app passes it on untouched; one without a country code is one of the app's own region."""
    browser.submit("/login", number=number)
    assert f"sent a code to {TO}" in browser.text
    assert verify_inbox.code(TO)


@pytest.mark.parametrize("number", ["", "12", "hello", "+1 900 555 0123", "+14155550123x"])
def test_a_number_that_cannot_be_texted_is_told(browser: Browser, number: str) -> None:
    """The page says so in plain words and asks again."""
    browser.submit("/login", number=number)
    assert (browser.status, "We cannot text that number" in browser.text) == (422, True)


def test_wrong_codes_end_in_a_new_start(browser: Browser, verify_inbox: VerifyInbox) -> None:
    """The visitor is told how many tries are left; after the last, even the right code needs a new start."""
    browser.submit("/login", number=TO)
    code = verify_inbox.code(TO)
    for left in (4, 3, 2, 1):
        browser.submit("/code", code=wrong(code))
        assert f"You have {left} more tries" in browser.text
    browser.submit("/code", code=wrong(code))
    assert "no longer good" in browser.text
    browser.submit("/code", code=code)
    assert "Signed in" not in browser.text


@pytest.mark.parametrize("code", ["", "abcdef", "123", "12345678901", "12345O"])
def test_what_is_no_code_spends_no_try(browser: Browser, verify_inbox: VerifyInbox, code: str) -> None:
    """A slip of the finger that cannot be a code is told, and the code is still good."""
    browser.submit("/login", number=TO)
    sent = verify_inbox.code(TO)
    browser.submit("/code", code=code)
    assert "The code is the number in the message" in browser.text
    browser.submit("/code", code=sent)
    assert "Signed in" in browser.text


def test_a_second_click_sends_one_message(browser: Browser, verify_inbox: VerifyInbox) -> None:
    """The same form sent twice is one start, and the visitor sees the same page; with another number it is another."""
    page = browser.text
    browser.submit("/login", number=TO)
    [first] = verify_inbox.messages(TO, wait=30)
    browser.text = page
    browser.submit("/login", number=TO)
    assert f"sent a code to {TO}" in browser.text
    assert verify_inbox.messages(TO, wait=0.3, after=first["id"]) == []
    browser.text = page
    browser.submit("/login", number="+14155550124")
    assert "sent a code to +14155550124" in browser.text


def test_resend_waits_for_its_time(browser: Browser, verify_inbox: VerifyInbox, verify_clock: VerifyClock) -> None:
    """The page says when a code can be sent again; too early is told, in time sends the same code."""
    began = time.monotonic()
    browser.submit("/login", number=TO)
    [first] = verify_inbox.messages(TO, wait=30)
    assert re.search(r"possible in \d+ s", browser.text)
    browser.submit("/resend")
    assert browser.status == 429
    wait = re.search(r"Please wait (\d+) seconds", browser.text)
    assert wait
    assert 30 - (time.monotonic() - began) <= int(wait[1]) <= 30
    verify_clock.advance(31)
    browser.submit("/resend")
    assert browser.status == 200
    assert verify_inbox.code(TO, after=first["id"]) == first["code"]


def test_an_expired_code_needs_a_new_start(
    browser: Browser, verify_inbox: VerifyInbox, verify_clock: VerifyClock
) -> None:
    """A right code that comes too late is told in the same words as one that was tried too often."""
    browser.submit("/login", number=TO)
    code = verify_inbox.code(TO)
    verify_clock.advance(601)
    browser.submit("/code", code=code)
    assert "no longer good" in browser.text


def test_who_has_opted_out_is_told(browser: Browser, verify_inbox: VerifyInbox) -> None:
    """After STOP no code can be sent, and the page says whom to ask."""
    verify_inbox.text(TO, "43721", "STOP")
    browser.submit("/login", number=TO)
    assert (browser.status, "Please contact us" in browser.text) == (403, True)


def test_a_forged_form_is_refused(browser: Browser, verify_inbox: VerifyInbox) -> None:
    """Without the page's token nothing is sent."""
    for fields in ({}, {"csrf": ""}, {"csrf": "guess"}, {"csrf": "ü"}):
        answer = browser.client.post("/login", base_url=HTTPS, data={"number": TO, **fields})
        assert answer.status_code == 400
    assert verify_inbox.messages(TO, wait=0.3) == []


def test_another_browser_cannot_use_the_code(
    browser: Browser, verify_server: VerifyServer, verify_inbox: VerifyInbox
) -> None:
    """The code is good in the session that asked for it, and in no other."""
    browser.submit("/login", number=TO)
    code = verify_inbox.code(TO)
    stranger = browser_of(verify_server.url, verify_server.api_key)
    stranger.submit("/login", number="+14155550124")
    verify_inbox.code("+14155550124")
    stranger.submit("/code", code=code)
    assert "Signed in" not in stranger.text
    browser.submit("/code", code=code)
    assert "Signed in" in browser.text


def test_nobody_is_signed_in_while_the_service_is_away() -> None:
    """No answer is an apology, never a way in."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        browser = browser_of(f"http://127.0.0.1:{closed.getsockname()[1]}", "a key")
        browser.submit("/login", number=TO)
    assert (browser.status, "try again shortly" in browser.text) == (503, True)


def test_the_cookie_is_guarded(browser: Browser) -> None:
    """Scripts and other sites cannot use the session cookie, and it never travels without TLS."""
    newcomer = browser.client.application.test_client()
    cookie = newcomer.get("/login", base_url=HTTPS).headers["set-cookie"]
    assert {"Secure", "HttpOnly", "SameSite=Lax"} <= {part.strip() for part in cookie.split(";")}
