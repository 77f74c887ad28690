"""The hosted page: who has its address may type the code there, and each situation has its sentence."""

import dataclasses
import html
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.support.bench import ManualClock, wrong
from tests.support.contract import LocalClient, a_number
from tests.support.hosted import BACK, BASE, Browser, Desk, context_of
from tests.support.live import changed, contents
from verify_service import codes
from verify_service.asking import StartFields
from verify_service.errors import VerificationNotFound
from verify_service.messages.locales import language, tags
from verify_service.model import HostedPage
from verify_service.store import Store
from verify_service.web.context import EXTENSION
from verify_service.web.page import links

EN = language("en").page


@pytest.fixture
def desk(quiet: Store, tmp_path: Path) -> Desk:
    return Desk(quiet, tmp_path)


def away(browser: Browser, status: str) -> tuple[str, dict[str, str]]:
    """Where a page leads when it is done."""
    told = {"from": "us", "verification": browser.id, "status": status, "state": "s&1"}
    return "https://app.example.com/signed-in", told


def test_a_person_types_the_code(desk: Desk) -> None:
    """The page says where the code went without the number, and the right one leads to the caller, who hears so."""
    browser = desk.start("+14155552671")
    assert browser.url.startswith(f"{BASE}/v/")
    seen = browser.open()
    assert seen.status == 200
    for words in ("A <b>& Co", EN.title, "We sent a code to •••71.", "Tries left: 5"):
        assert words in seen.words
    assert "<b>" not in seen.text
    assert not re.search("4155552|55526", seen.text)
    code = desk.code(browser)
    done = browser.submit(code=f" {code[:3]}–{code[3:]} ")
    assert done.led_to == away(browser, "approved")
    assert desk.status(browser)["status"] == "approved"


def test_a_wrong_code_costs_a_try_and_the_last_one_leads_away(desk: Desk) -> None:
    """As a check by the API does."""
    browser = desk.start()
    code = desk.code(browser)
    for nth, left in enumerate((4, 3, 2, 1)):
        seen = browser.submit(code=f"{(int(code) + 1 + nth) % 10**6:06}")
        assert EN.wrong in seen.words
        assert f"Tries left: {left}" in seen.words
        assert 'aria-invalid="true"' in seen.text
    assert desk.status(browser)["checks_left"] == 1
    assert browser.submit(code=f"{(int(code) + 5) % 10**6:06}").led_to == away(browser, "exhausted")
    assert EN.exhausted in browser.open().words
    assert browser.submit(code=code).led_to == away(browser, "exhausted")


def test_what_is_no_code_costs_nothing(desk: Desk) -> None:
    """The page says what to type."""
    browser = desk.start()
    for typed in ("", " ", "abc", "123", "12345678901", "12345O", "é" * 64, "\x00"):
        assert EN.unreadable in browser.submit(code=typed).words
    assert desk.status(browser)["checks_left"] == 5


def test_an_expired_code_is_told_and_leads_away(desk: Desk) -> None:
    """From the first moment on, and when nothing is known of the verification any more, too."""
    browser = desk.start()
    code = desk.code(browser)
    for seconds in (600, 4000):
        desk.clock.advance(seconds)
        seen = browser.open()
        assert EN.expired in seen.words
        assert "<form" not in seen.text
        link = html.unescape(re.findall(r'<a class="button main" href="([^"]+)"', seen.text)[0])
        assert urlsplit(link).query == f"from=us&verification={browser.id}&status=expired&state=s%261"
        for form in ({"code": code}, {"send": "sms"}, {"cancel": "1"}):
            assert browser.submit(**form).led_to == away(browser, "expired")


def test_who_gives_up_is_led_away(desk: Desk) -> None:
    """The code is worth nothing then; giving up twice is the same."""
    browser = desk.start()
    code = desk.code(browser)
    for form in ({"cancel": "1"}, {"cancel": "1"}, {"code": code}):
        assert browser.submit(**form).led_to == away(browser, "canceled")
    assert EN.canceled in browser.open().words
    assert desk.status(browser)["status"] == "canceled"


def test_a_double_click_is_one_check(desk: Desk) -> None:
    """A browser shows the answer of the second request, so that is the first one's: a wrong code is counted once, and a
    right one leads to the caller both times."""
    browser = desk.start()
    code = desk.code(browser)
    for _ in range(2):
        assert "Tries left: 4" in browser.submit(code=wrong(code)).words
    first, second = browser.post({"code": code}), browser.post({"code": code})
    assert first.led_to == second.led_to == away(browser, "approved")


def test_after_the_approval_a_page_says_so(desk: Desk) -> None:
    """Reload, the back button and a second tab ask for it again; its link has the status, whose word is worth nothing.
    Another code there leads nowhere."""
    browser = desk.start()
    code = desk.code(browser)
    browser.submit(code=code)
    for seen in (
        browser.open(),
        browser.open("?said=wrong"),
        browser.submit(code=wrong(code)),
        browser.submit(send="sms"),
    ):
        assert EN.approved in seen.words
        assert EN.wrong not in seen.words
        assert "Back to A <b>& Co" in seen.words
        assert "<form" not in seen.text
        assert "receipt" not in seen.text
    desk.clock.advance(61)
    assert EN.approved in browser.submit(code=code).words


def test_a_code_is_sent_again(desk: Desk) -> None:
    """In its time, as often as the policy says; a second click on the same page sends nothing more."""
    browser = desk.start()
    early = browser.submit(send="sms", sends="4")
    assert 'role="alert" id="wait">You can ask for it again in ' in early.text
    assert early.words.count("You can ask for it again in 0:30.") == 1
    assert 'name="sends" value="4"' in early.text
    desk.clock.advance(31)
    assert "data-clock" not in browser.open().text
    for _ in range(2):
        assert EN.sent_again in browser.submit(send="sms", sends="4").words
    assert desk.status(browser)["sends_left"] == 3
    for left, wait in ((3, 60), (2, 120), (1, 120)):
        desk.clock.advance(wait)
        assert EN.sent_again in browser.submit(send="sms", sends=str(left)).words
    assert 'name="send"' not in browser.open().text
    desk.clock.advance(121)
    assert "Too many attempts." in browser.submit(send="sms", sends="0").words
    assert browser.submit(code=desk.code(browser)).led_to == away(browser, "approved")


def test_a_code_may_come_by_the_other_channels_of_the_route(desk: Desk) -> None:
    """Those that it falls back to, whichever was last; no other, whatever a form says."""
    browser = desk.start()
    offered = ["Send again: SMS", "Send again: phone call", "Send again: WhatsApp"]
    assert re.findall(r'<button name="send" value="\w+">([^<]+)<', browser.open().text) == offered
    desk.clock.advance(31)
    assert EN.sent_again in browser.submit(send="voice", sends="4").words
    assert desk.status(browser)["channel"] == "voice"
    assert re.findall(r'<button name="send" value="\w+">([^<]+)<', browser.open().text) == offered
    desk.clock.advance(120)
    for channel in ("email", "rcs", "pigeon", ""):
        browser.submit(send=channel, sends="3")
    assert desk.status(browser)["sends_left"] == 3
    german = desk.start("+4915112345678")
    assert re.findall(r'<button name="send" value="(\w+)"', german.open().text) == ["sms"]


def test_a_code_by_email_comes_again_by_email(desk: Desk) -> None:
    """And the page shows as much of the address as its owner needs."""
    browser = desk.start("person@example.com")
    seen = browser.open()
    assert "We sent a code to p•••@example.com." in seen.words
    assert re.findall(r'<button name="send" value="\w+">([^<]+)<', seen.text) == ["Send again: email"]
    desk.clock.advance(31)
    assert EN.sent_again in browser.submit(send="email", sends="4").words


def test_who_has_opted_out_meanwhile_is_told(desk: Desk) -> None:
    """Nothing is sent again, and the code that was sent is good."""
    to = a_number()
    browser = desk.start(to)
    desk.client.request("PUT", f"/consents/{to}", {"state": "out"})
    desk.clock.advance(31)
    assert EN.opted_out in browser.submit(send="sms", sends="4").words
    assert browser.submit(code=desk.code(browser)).led_to == away(browser, "approved")


def test_a_resend_passes_the_policy(store: Store, tmp_path: Path) -> None:
    """Under the address that the caller told of, and the number: a limit or rule that refuses is told, and spends
    nothing."""
    policy = '[code]\nguess_ceiling = 1.0\n[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "2/hour"\n'
    desk = Desk(store, tmp_path, policy)
    browser = desk.start(ip="192.0.2.77")
    desk.client.start(a_number(), ip="192.0.2.77")
    desk.clock.advance(31)
    assert re.search(r"Too many attempts\. Try again in 59:\d\d\.", browser.submit(send="sms", sends="4").words)
    refusing = Desk(store, tmp_path, '[code]\nguess_ceiling = 1.0\n[countries]\ndefault = "allow"\n')
    other = refusing.start()
    rules = context_of(
        Desk(store, tmp_path, '[code]\nguess_ceiling = 1.0\n[countries]\ndeny = ["US"]\n').client
    ).service.rules
    context_of(refusing.client).service.rules = rules
    refusing.clock.advance(31)
    assert EN.refused in other.submit(send="sms", sends="4").words
    assert refusing.status(other)["sends_left"] == 4


def test_a_resend_counts_under_the_keys_of_its_start(store: Store, tmp_path: Path) -> None:
    """As the caller's own resend would: another start of the same account has left no room for it."""
    policy = '[code]\nguess_ceiling = 1.0\n[[limit]]\nname = "account"\nof = ["key:account"]\nallow = "2/hour"\n'
    desk = Desk(store, tmp_path, policy)
    browser = desk.start(keys={"account": "a-17"})
    desk.client.start(a_number(), keys={"account": "a-17"})
    desk.clock.advance(31)
    assert re.search(r"Too many attempts\. Try again in 59:\d\d\.", browser.submit(send="sms", sends="4").words)


def test_a_limit_on_wrong_codes_is_told(store: Store, tmp_path: Path) -> None:
    """The page passes the limits that a check by the API passes, under the same address."""
    limit = '[[limit]]\nname = "typed"\nof = ["ip"]\nallow = "1/hour"\ncounts = "wrong-codes"\n'
    desk = Desk(store, tmp_path, f"[code]\nguess_ceiling = 1.0\n{limit}")
    browser = desk.start(ip="192.0.2.78")
    code = desk.code(browser)
    assert EN.wrong in browser.submit(code=wrong(code)).words
    assert re.search(r"Too many attempts\. Try again in 1:00:0\d\.", browser.submit(code=wrong(wrong(code))).words)
    assert desk.status(browser)["checks_left"] == 4


def test_a_page_is_good_for_its_own_verification_alone(desk: Desk) -> None:
    """Where the caller has begun another one for the number since, the page of the first sends and checks nothing of
    it."""
    to = a_number()
    browser = desk.start(to, binding={"amount": "10"})
    other = desk.start(to, binding={"amount": "20"})
    before = desk.status(other)
    desk.clock.advance(200)
    for form in ({"send": "sms", "sends": "4"}, {"code": desk.code(other)}, {"cancel": "1"}):
        assert browser.submit(**form).led_to == away(browser, "canceled")
    assert desk.status(other) == before


def test_a_send_that_comes_too_late_begins_no_other_verification(desk: Desk) -> None:
    """One script finds that it is not pending any more, whatever the page saw a moment before."""
    to = a_number()
    browser = desk.start(to)
    service = context_of(desk.client).service
    desk.client.cancel(browser.id)
    desk.clock.advance(31)
    with pytest.raises(VerificationNotFound):
        service.start("default", service.parse_start(StartFields(to=to)), only=browser.id)
    assert desk.client.start(to)["sends_left"] == 4


def test_a_binding_and_a_purpose_go_with_the_page(desk: Desk) -> None:
    """A check brings what the start brought, and a resend is one of the same verification."""
    browser = desk.start(binding={"amount": "10 €", "payee": "Bob"}, purpose="payment", keys={"account": "a-17"})
    context = context_of(desk.client)
    link = links.read(context.config, context.keys, browser.path.removeprefix("/v/"))
    assert link.options.keys == {"account": "a-17"}
    desk.clock.advance(31)
    assert EN.sent_again in browser.submit(send="sms", sends="4").words
    assert browser.submit(code=desk.code(browser)).led_to == away(browser, "approved")


def test_a_stranger_has_no_page(desk: Desk) -> None:
    """With the id alone, with a token that is changed anywhere, cut or longer, or made by other keys."""
    browser = desk.start()
    token = browser.path.removeprefix("/v/")
    other = codes.KeyRing(f"k1:{codes.new_key()}").token(b"{}", "page")
    ours = context_of(desk.client).keys
    kid, _, sealed = token.partition(".")
    guesses = [
        browser.id,
        "",
        kid,
        f"{kid}.",
        f".{sealed}",
        f"k2.{sealed}",
        token[:-2],
        f"{token}A",
        f"{token}=",
        other,
    ]
    guesses += [token[:at] + ("B" if token[at] == "A" else "A") + token[at + 1 :] for at in range(len(token))]
    guesses += [ours.token(b'{"tenant":"default"}', "page"), ours.token(b"\xff", "page"), ours.token(b"{}", "other")]
    for guess in guesses:
        stranger = Browser(desk.client, {"id": browser.id, "page": f"{BASE}/v/{guess}"})
        for seen in (stranger.open(), stranger.post({"code": "123456"})):
            assert (seen.status, EN.gone in seen.words) == (404, True), guess
    assert desk.status(browser)["checks_left"] == 5


def test_a_page_that_led_where_it_may_not_any_more_is_gone(desk: Desk) -> None:
    """An operator who takes an address out of `return_urls` need not wait for the pages that lead there."""
    browser = desk.start()
    assert browser.open().status == 200
    was = context_of(desk.client)
    config = msgspec.structs.replace(was.config, return_urls={"default": was.config.return_urls["default"][1:]})
    desk.client.app.extensions[EXTENSION] = dataclasses.replace(was, config=config)
    assert (browser.open().status, browser.post({"code": desk.code(browser)}).status) == (404, 404)
    assert desk.status(browser)["status"] == "pending"


def test_a_page_outlives_a_rotation_of_the_keys(desk: Desk) -> None:
    """A page of the older key works until that has left the ring; then nobody reads it."""
    keys = f"k1:{codes.new_key()}"
    desk.rotate(keys)
    browser = desk.start()
    desk.rotate(f"k2:{codes.new_key()},{keys}")
    desk.clock.advance(31)
    assert EN.sent_again in browser.submit(send="sms", sends="4").words
    assert browser.submit(code=desk.code(browser)).led_to == away(browser, "approved")
    desk.rotate(f"k2:{codes.new_key()}")
    assert browser.open().status == 404


def test_a_verification_whose_key_has_left_the_ring_has_expired(desk: Desk) -> None:
    """Its code cannot be checked any more, though a resend under another key brought the page anew."""
    to, keys, newer = a_number(), f"k1:{codes.new_key()}", f"k2:{codes.new_key()}"
    desk.rotate(keys)
    first = desk.start(to)
    token = codes.KeyRing(newer).token(codes.KeyRing(keys).opened(first.path.removeprefix("/v/"), "page"), "page")
    desk.rotate(newer)
    seen = Browser(desk.client, {"id": first.id, "page": f"{BASE}/v/{token}"}).open()
    assert (seen.status, EN.expired in seen.words) == (200, True)


def test_a_replayed_start_answers_the_same_page(desk: Desk) -> None:
    """Byte for byte; with another page the key is another request's."""
    to, page = a_number(), {"return_url": BACK}
    first = desk.client.start(to, page=page, idempotency_key="k-1")
    assert desk.client.start(to, page=page, idempotency_key="k-1") == first
    other = {"to": to, "page": {"return_url": BACK, "state": "2"}}
    for body in (other, {"to": to}):
        problem = desk.client.refused("POST", "/start", body, Idempotency_Key="k-1")
        assert problem["type"] == "/problems/idempotency-mismatch"


def test_a_resend_by_the_api_has_a_page_of_the_same_verification(desk: Desk) -> None:
    """Each as its own start said it; a start that asks for none has none."""
    to = a_number()
    first = desk.start(to)
    desk.clock.advance(31)
    again = desk.start(to, page={"return_url": "http://localhost:5000/cb"}, ip="192.0.2.79")
    assert (again.id, again.path == first.path) == (first.id, False)
    desk.clock.advance(61)
    assert EN.sent_again in first.submit(send="sms", sends="3").words
    assert "You can ask for it again in 2:00." in again.submit(send="sms", sends="3").words
    assert again.submit(code=desk.code(again)).led_to[0] == "http://localhost:5000/cb"
    assert "page" not in desk.client.start(a_number())


REFUSED: list[tuple[Any, str]] = [
    ({}, "page.return_url"),
    ("https://app.example.com/signed-in", "page"),
    ([], "page"),
    ({"return_url": 1}, "page.return_url"),
    ({"return_url": None}, "page.return_url"),
    ({"return_url": ""}, "page.return_url"),
    ({"return_url": "https://app.example.com/signed-in?" + "a" * 1024}, "page.return_url"),
    ({"return_url": "https://evil.example/signed-in"}, "page.return_url"),
    ({"return_url": "https://app.example.com/signed-in/x"}, "page.return_url"),
    ({"return_url": "https://app.example.com@evil.example/"}, "page.return_url"),
    ({"return_url": "https://app.example.com/signed-in#x"}, "page.return_url"),
    ({"return_url": "https://app.example.com\\signed-in"}, "page.return_url"),
    ({"return_url": "//app.example.com/signed-in"}, "page.return_url"),
    ({"return_url": "javascript:alert(1)"}, "page.return_url"),
    ({"return_url": "https://app.example.com/signed-in\n"}, "page.return_url"),
    ({"return_url": BACK, "state": 1}, "page.state"),
    ({"return_url": BACK, "state": "x" * 513}, "page.state"),
    ({"return_url": BACK, "state": "a\nb"}, "page.state"),
    ({"return_url": BACK, "next": "x"}, "page.next"),
]


def test_a_page_that_cannot_be_is_refused_and_spends_nothing(desk: Desk) -> None:
    """A clear 400 that names the field; so is a binding that is too long for an address."""
    client: Any = desk.store.link.client()
    before = contents(client)
    for page, field in REFUSED:
        problem = desk.client.refused("POST", "/start", {"to": a_number(), "page": page})
        assert (problem["status"], problem["errors"][0]["field"]) == (400, field), page
    body = {"to": a_number(), "binding": {f"{n}": "x" * 256 for n in range(16)}, "page": {"return_url": BACK}}
    problem = desk.client.refused("POST", "/start", body)
    assert problem["errors"][0]["message"] == (
        "and what goes with it come to more than 4096 bytes; shorten the binding"
    )
    assert changed(client, before) == set()


def test_a_service_that_does_not_know_its_address_has_no_pages(store: Store) -> None:
    """The caller is told who can change that."""
    client = LocalClient(store, ManualClock())
    page = {"return_url": "http://localhost:5000/cb"}
    problem = client.refused("POST", "/start", {"to": a_number(), "page": page})
    assert problem["errors"] == [
        {"field": "page", "message": "needs the address of this service: its operator has not set public_url"}
    ]


def test_the_texts_of_a_page_are_filled_in_there(desk: Desk) -> None:
    """Its host is the origin of the code (WebOTP), unless the caller names one."""
    context, page = context_of(desk.client), HostedPage(return_url=BACK)
    for said, asked, origin in (
        (None, page, "verify.example.com"),
        ("login.example.com", page, "login.example.com"),
        (None, None, None),
    ):
        ask = context.service.parse_start(StartFields(to=a_number(), origin=said, page=asked))
        assert links.judged(context.config, "default", ask).origin == origin


def test_a_page_is_in_the_language_of_its_start(desk: Desk) -> None:
    """All of it, in each of the forty, in the direction of its script, whatever the browser would like."""
    for tag in tags().values():
        browser, words = desk.start(locale=tag), language(tag)
        seen = browser.open(Accept_Language="de")
        assert f'<html lang="{tag}" dir="{words.direction}">' in seen.text
        assert seen.headers["content-language"] == tag
        for sentence in (words.page.title, words.page.confirm, words.page.cancel, words.page.code):
            assert sentence in seen.words
        assert words.page.wrong in browser.submit(code=wrong(desk.code(browser))).words
        browser.submit(cancel="1")
        assert words.page.canceled in browser.open().words


ASKED = {
    "de-CH, fr;q=0.9": "de",
    "xx, pt-BR;q=0.2, ar;q=0.8": "ar",
    "zh-TW": "zh-Hant",
    "xx": "en",
    "": "en",
    "*": "en",
    ";;;,,=": "en",
    "a" * 4000: "en",
}


def test_without_a_locale_a_page_is_in_the_language_of_the_browser(desk: Desk) -> None:
    """The first that it asks for and we have, else English; the page of an error, too."""
    pages = desk.start(), Browser(desk.client, {"id": "", "page": f"{BASE}/v/none"})
    for asked, tag in ASKED.items():
        for page in pages:
            assert f'<html lang="{tag}"' in page.open(Accept_Language=asked).text, asked


def test_a_page_is_kept_apart(desk: Desk) -> None:
    """No frame, cache, index or referrer has it, no other page's script or style; it redirects by forms to where its
    tenant's pages may lead, and nowhere else."""
    browser = desk.start()
    answers = [browser.open(), browser.post({"code": "1"}), browser.post({}), browser.open("/none")]
    for seen in answers:
        assert seen.headers["cache-control"] == "no-store"
        assert seen.headers["referrer-policy"] == "no-referrer"
        assert seen.headers["x-robots-tag"] == "noindex, nofollow"
        assert seen.headers["x-frame-options"] == "DENY"
        assert seen.headers["x-content-type-options"] == "nosniff"
        assert {"set-cookie", "strict-transport-security", "access-control-allow-origin"} & seen.headers.keys() == set()
    rules = dict(rule.strip().split(" ", 1) for rule in answers[0].headers["content-security-policy"].split(";"))
    assert rules == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
        "style-src": "'self'",
        "script-src": "'self'",
        "img-src": "'self' data:",
        "form-action": "'self' https://app.example.com:443 http://localhost:*",
    }
    assert re.findall(r'(?:src|href|action)="([^"]*)"', answers[0].text) == [
        "data:,",
        "assets/page.css",
        "assets/page.js",
    ]
    assert not re.search(r"<style|style=|<script>| on\w+=", answers[0].text)


def test_the_page_has_what_browsers_and_readers_look_for(desk: Desk) -> None:
    """The field that they fill in, with its label and what describes it."""
    text = desk.start().open().text
    field = re.findall(r"<input id=\"code\"[^>]*>", text)[0]
    for part in ('autocomplete="one-time-code"', 'inputmode="numeric"', 'aria-describedby="left"', "required"):
        assert part in field
    assert '<label for="code">Code</label>' in text


def test_the_files_of_a_page_are_ours(desk: Desk) -> None:
    """Two of them, which are the same for everybody; any other name is none."""
    browser = desk.start()
    browser.path = "/v"
    for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
        seen = browser.open(f"/assets/{name}")
        assert (seen.status, seen.headers["content-type"].partition(";")[0]) == (200, kind)
        assert (seen.headers["cache-control"], seen.headers["x-content-type-options"]) == (
            "public, max-age=600",
            "nosniff",
        )
    for name in ("views.py", "..%2fviews.py", "page.html", "", "page.css/"):
        assert browser.open(f"/assets/{name}").status == 404


def test_a_form_of_another_site_is_not_heard(desk: Desk) -> None:
    """Whoever has a page of their own could else have a visitor's browser type their own code there."""
    for site in ("cross-site", "same-site", "none", "same-origin", None):
        browser = desk.start()
        seen = browser.post({"code": desk.code(browser)}, **({"Sec_Fetch_Site": site} if site else {}))
        heard = site in ("none", "same-origin", None)
        assert (seen.status, EN.trouble in seen.words) == ((303, False) if heard else (403, True))
        assert desk.status(browser)["status"] == ("approved" if heard else "pending")


FORM = "application/x-www-form-urlencoded"
FORMS = [
    (b"code=123456", "application/json", 415),
    (b'{"code": "123456"}', "application/json", 415),
    (b"code=123456", "", 415),
    (b"code=" + b"1" * 5000, FORM, 413),
    (b"code=123456&x=1" * 100, FORM, 400),
    (b"code=%ff%fe&code=\xff", FORM, 303),
    (b"", FORM, 303),
    (b"=&&&", FORM, 303),
    (b"send=sms&sends=" + b"9" * 500, FORM, 303),
]


def test_a_form_that_no_page_has_is_answered_and_spends_nothing(desk: Desk) -> None:
    """Each with a page or a way back to it, never with a fault of ours."""
    browser = desk.start()
    for body, kind, status in FORMS:
        assert browser.post(body, Content_Type=kind).status == status, body[:40]
    found = desk.status(browser)
    assert (found["checks_left"], found["sends_left"], found["status"]) == (5, 4, "pending")


def test_an_address_says_only_what_the_page_can_say(desk: Desk) -> None:
    """And of a wait only a number of seconds."""
    browser = desk.start()
    for query in ("?said=%00", "?said=title", "?said=gone", "?said=limited&wait=-1", "?said=limited&wait=999999999"):
        seen = browser.open(query)
        assert (seen.status, 'id="notice"' in seen.text) == (200, "limited" in query)
        assert ("Try again in 0:00." in seen.words) == ("limited" in query)


def test_a_page_that_looks_at_nothing_changes_nothing(desk: Desk) -> None:
    """Whatever fetches an address ahead of its person does no harm."""
    browser = desk.start()
    client: Any = desk.store.link.client()
    before = contents(client)
    browser.open()
    browser.client.app.test_client().head(browser.path)
    assert changed(client, before) == set()


def test_a_page_needs_no_key_of_the_api(desk: Desk) -> None:
    """And a token is no key: the API does not know it."""
    browser = desk.start()
    answer = desk.client.app.test_client().get(
        f"/verifications/{browser.id}", headers={"Authorization": f"Bearer {browser.path.removeprefix('/v/')}"}
    )
    assert answer.status_code == 401
