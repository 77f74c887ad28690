"""A user's hosted page: it sets up an authenticator app, and asks for whatever factor the person has at hand."""

import base64
import html
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import pyotp
import pytest

from tests.support.approvals import opened
from tests.support.contract import LocalClient, a_number
from tests.support.hosted import BACK, BASE, Browser, Desk, Seen, context_of
from tests.support.live import changed, contents
from verify_service import codes
from verify_service.factors import NewFactor
from verify_service.factors.records import Secret
from verify_service.messages.locales import language, tags
from verify_service.store import Store
from verify_service.web.page import links

PAGE, EN = language("en").page, language("en").factors
USER = "u-4711"
LIFE_S = 900
WRONG = "00000000"
"""By its length no code of the apps here, whatever the time."""


class Office(Desk):
    """A caller whose users have second factors."""

    def page(self, user: str = USER, **fields: Any) -> Browser:
        body = {"return_url": BACK, "state": "s&1", **fields}
        status, _, made = self.client.request("POST", f"/users/{user}/page", body)
        assert status == 201
        return Browser(self.client, made)

    def enrolling(self, user: str = USER, **fields: Any) -> Browser:
        return self.page(user, enrol="totp", **fields)

    def refused(self, **fields: Any) -> dict[str, Any]:
        return self.client.refused("POST", f"/users/{USER}/page", {"return_url": BACK, **fields})

    def now(self, secret: str) -> str:
        """What the app shows."""
        return str(pyotp.TOTP(secret).at(self.clock.now() // 1000))

    def enrolled(self, user: str = USER) -> str:
        """The secret of a user with a verified app and no recovery codes yet, as an import leaves one."""
        records, secret = self.client.factors._records, Secret(secrets.token_bytes(20), "ada", "Acme")
        subject = records.subject("default", user)
        made = records.new_factor(subject, NewFactor(), secret, self.clock.now())
        verified = msgspec.structs.replace(made, status="verified")
        assert self.store.users.enrol(self.clock.now(), subject, verified, 5) == "enrolled"
        return base64.b32encode(secret.secret).decode()

    def with_codes(self, user: str = USER) -> list[str]:
        """The recovery codes of a user who has an app as well."""
        self.enrolled(user)
        codes: list[str] = self.client.request("POST", f"/users/{user}/recovery-codes")[2]["recovery_codes"]
        return codes

    def link(self, browser: Browser) -> links.Link:
        """What the token of a page says."""
        context = context_of(self.client)
        token = browser.path.removeprefix("/v/")
        if token.startswith("users/"):
            return links.read_of_user(context.config, context.keys, token.removeprefix("users/"))[0]
        return links.read(context.config, context.keys, token)

    def user(self, user: str = USER) -> dict[str, Any]:
        found: dict[str, Any] = self.client.request("GET", f"/users/{user}")[2]
        return found

    def claims(self, receipt: str) -> dict[str, Any]:
        """Of a receipt that has been verified."""
        found: dict[str, Any] = opened(receipt, self.client.request("GET", "/.well-known/jwks.json")[2])[1]
        return found


@pytest.fixture
def office(quiet: Store, tmp_path: Path) -> Office:
    return Office(quiet, tmp_path)


def shown_secret(seen: Seen) -> str:
    """The key that is to be typed."""
    found: str = re.findall(r'<code dir="ltr">([A-Z2-7 ]+)</code>', seen.text)[0]
    return found.replace(" ", "")


def shown_codes(seen: Seen) -> list[str]:
    return re.findall(r"<li><code>([^<]+)</code></li>", seen.text)


def led(seen: Seen) -> dict[str, str]:
    """What the caller hears, with the receipt."""
    assert seen.headers["location"].startswith("https://app.example.com/signed-in?")
    return {name: values[0] for name, values in parse_qs(urlsplit(seen.headers["location"]).query).items()}


def ended(status: str) -> Mapping[str, str]:
    return {"from": "us", "status": status, "state": "s&1"}


def links_of(seen: Seen) -> dict[str, str]:
    """The addresses of a page's links, by their words."""
    found = re.findall(r'<a class="button[^"]*"(?: download="[^"]*")? href="([^"]+)"[^>]*>([^<]+)</a>', seen.text)
    return {html.unescape(words): html.unescape(address) for address, words in found}


def test_a_person_sets_up_an_app(office: Office) -> None:
    """The picture, the key and the link have one secret; the first code brings the recovery codes, once; and the way on
    tells the caller, who can look it up."""
    browser = office.enrolling(label="ada@example.com", issuer="Blue Bicycle Shop")
    assert browser.url.startswith(f"{BASE}/v/users/")
    seen = browser.open()
    assert (seen.status, seen.words.count(EN.setup)) == (200, 2)
    secret = shown_secret(seen)
    uri = links_of(seen)[EN.open]
    assert pyotp.parse_uri(uri).secret == secret
    assert uri.startswith("otpauth://totp/Blue%20Bicycle%20Shop:ada%40example.com?")
    assert re.search(r'<div class="qr" role="img" aria-labelledby="scan"><svg [^>]*viewBox', seen.text)
    assert shown_secret(browser.open()) == secret
    assert office.user()["factors"][0]["status"] == "unverified"
    done = browser.submit(code=f" {office.now(secret)[:3]} {office.now(secret)[3:]}")
    assert (done.status, len(shown_codes(done)), done.headers["cache-control"]) == (200, 10, "no-store")
    for words in (EN.codes, EN.keep, EN.lost):
        assert words in done.words
    told = links_of(done)
    saved = unquote(told[EN.download].removeprefix("data:text/plain;charset=utf-8,"))
    assert saved.splitlines() == [f"A <b>& Co: {EN.codes}", "", *shown_codes(done)]
    assert parse_qs(urlsplit(told[EN.saved]).query) == {name: [what] for name, what in ended("verified").items()}
    assert (office.user()["factors"][0]["id"], office.user()["factors"][0]["status"]) == (browser.id, "verified")
    check = office.client.request("POST", f"/users/{USER}/check", {"code": shown_codes(done)[3].upper()})[2]
    assert (check["approved"], check["kind"]) == (True, "recovery-code")


def test_the_secret_of_a_verified_factor_is_shown_to_nobody(office: Office) -> None:
    """Whoever has the address sees that the app is set up, and neither its secret nor the codes; a code of the app
    brings new recovery codes, and the old ones are void."""
    browser = office.enrolling()
    secret = shown_secret(browser.open())
    old = shown_codes(browser.submit(code=office.now(secret)))
    for seen in (browser.open(), browser.submit(code=office.now(secret)), browser.submit(renew=office.now(secret))):
        assert EN.enrolled in seen.words
        assert EN.renew in seen.words
        assert not re.search(f"{secret}|otpauth:|<svg|[A-Z2-7]{{4}} [A-Z2-7]{{4}}", seen.text)
        assert shown_codes(seen) == []
    assert EN.used in seen.words
    assert PAGE.wrong in browser.submit(renew=WRONG).words
    assert PAGE.unreadable in browser.submit(renew="abc").words
    assert office.user()["recovery_codes_left"] == 10
    office.clock.advance(30)
    new = shown_codes(browser.submit(renew=office.now(secret)))
    assert (len(new), set(new) & set(old)) == (10, set())
    office.clock.advance(30)
    for code, approved in ((old[0], False), (new[0], True)):
        assert office.client.request("POST", f"/users/{USER}/check", {"code": code})[2]["approved"] is approved


def test_who_has_recovery_codes_gets_no_others_with_a_second_factor(office: Office) -> None:
    """Here of a token: its first code leads on at once."""
    office.with_codes()
    browser = office.page(enrol="hotp")
    done = browser.submit(code=pyotp.HOTP(shown_secret(browser.open())).at(0))
    assert led(done) == ended("verified")
    assert office.user()["recovery_codes_left"] == 10


def test_a_first_code_that_is_wrong_costs_a_try_of_the_user(office: Office) -> None:
    """Under the limit on the user's wrong codes, which this page tells when it is full, and that of a login, too."""
    office.enrolled()
    browser = office.enrolling()
    code = office.now(shown_secret(browser.open()))
    assert PAGE.unreadable in browser.submit(code="12").words
    assert office.user()["checks_left"] == 10
    for nth in range(10):
        seen = browser.submit(code=f"{nth:08}")
        assert PAGE.wrong in seen.words
        assert shown_secret(seen)
    assert office.user()["checks_left"] == 0
    assert re.search(r"Too many attempts\. Try again in (1:00:0\d|59:\d\d)\.", browser.submit(code=code).words)
    assert "Too many attempts." in office.page().open().words


@pytest.mark.parametrize("kind", ["enrols", "asks"])
def test_a_page_has_an_end(office: Office, kind: str) -> None:
    """From then on it shows nothing, takes nothing, and leads back; who gives up is led back before."""
    secret = office.enrolled()
    browser = office.enrolling() if kind == "enrols" else office.page(to=a_number())
    if kind == "enrols":
        secret = shown_secret(browser.open())
    assert browser.submit(cancel="1").led_to[1] == ended("canceled")
    office.clock.advance(LIFE_S - 1)
    assert f'data-life="{1}"' in browser.open().text
    office.clock.advance(1)
    seen = browser.open()
    assert (seen.status, PAGE.gone in seen.words, "<form" in seen.text) == (200, True, False)
    assert parse_qs(urlsplit(links_of(seen)["Back to A <b>& Co"]).query)["status"] == ["expired"]
    for form in ({"code": office.now(secret)}, {"renew": office.now(secret)}, {"send": "sms"}, {"cancel": "1"}):
        assert browser.submit(**form).led_to[1] == ended("expired")
    assert [each["status"] for each in office.user()["factors"]].count("verified") == 1


def test_a_factor_that_was_removed_has_no_page(office: Office) -> None:
    """Nor has one whose user was erased, and another factor of theirs is none of this page's."""
    browser = office.enrolling()
    secret = shown_secret(browser.open())
    office.client.request("DELETE", f"/users/{USER}/factors/{browser.id}")
    other = office.enrolled()
    assert PAGE.gone in browser.open().words
    for form in ({"code": office.now(secret)}, {"code": office.now(other)}, {"renew": office.now(other)}):
        assert PAGE.gone in browser.submit(**form).words
    assert office.user()["factors"][0]["used_at"] is None
    office.client.request("DELETE", f"/users/{USER}")
    assert PAGE.gone in browser.open().words


def test_a_person_signs_in_with_the_app(office: Office) -> None:
    """A code of the app, of which a receipt says whose it was and on which page; a double click is one check."""
    secret = office.enrolled()
    browser = office.page(binding={"amount": "10 €"})
    seen = browser.open()
    for words in (PAGE.title, EN.app, "Tries left: 10"):
        assert words in seen.words
    assert 'inputmode="numeric"' in seen.text
    assert 'name="send"' not in seen.text
    for _ in range(2):
        assert PAGE.wrong in browser.submit(code=WRONG).words
    assert office.user()["checks_left"] == 9
    first, second = (led(browser.submit(code=office.now(secret))) for _ in range(2))
    assert first == second
    claims = office.claims(first.pop("receipt"))
    assert first == ended("approved")
    assert claims["binding"] == {"amount": "10 €", "page": browser.id}
    assert (claims["amr"], claims["purpose"]) == (["otp"], "second-factor")
    again = office.page()
    assert EN.used in again.submit(code=office.now(secret)).words


def test_a_person_signs_in_with_a_recovery_code(office: Office) -> None:
    """The link asks for one, in a field for letters; and whatever they type in the other field is taken as well."""
    fresh = office.with_codes()
    browser = office.page()
    seen = browser.follow(links_of(browser.open())[EN.use_recovery])
    assert EN.recovery in seen.words
    assert 'inputmode="numeric"' not in seen.text
    assert links_of(seen) == {EN.use_app: "?by=app"}
    for typed in ("", "abc", "7kq4m-x2p9"):
        assert PAGE.wrong in browser.submit(code=typed).words
    assert office.user()["checks_left"] == 10
    seen = browser.submit(code="77777-77777")
    assert (PAGE.wrong in seen.words, EN.recovery in seen.words, "Tries left: 9" in seen.words) == (True, True, True)
    told = led(browser.submit(code=f" {fresh[0].upper().replace('-', ' ')} "))
    assert (told["status"], office.claims(told["receipt"])["amr"]) == ("approved", ["recovery-code"])
    assert led(office.page().submit(code=fresh[1]))["status"] == "approved"
    assert PAGE.wrong in office.page().submit(code=fresh[0]).words
    assert office.user()["recovery_codes_left"] == 8


def test_a_person_without_the_app_at_hand_gets_a_text(office: Office) -> None:
    """The page of that code knows the way back to the app, and that page the way to the code: nothing is sent twice."""
    secret = office.enrolled()
    browser = office.page(to="+14155552671", purpose="payment", keys={"account": "a-17"})
    seen = browser.open()
    sends = re.findall(r'<button name="send" value="(\w+)">([^<]+)<', seen.text)
    assert sends == [
        ("sms", "Send a code: SMS"),
        ("voice", "Send a code: phone call"),
        ("whatsapp", "Send a code: WhatsApp"),
    ]
    assert not re.search("4155552|55526", seen.text)
    once = re.findall(r'name="once" value="(\w+)"', seen.text)[0]
    start = browser.path
    sent = browser.submit(send="sms", once=once)
    assert "We sent a code to •••71." in sent.words
    code_page, browser.path = browser.path, start
    assert browser.submit(send="sms", once=once).words == sent.words
    assert (browser.path, code_page.startswith("/v/users/")) == (code_page, False)
    assert list(links_of(sent)) == [EN.use_app]
    back = browser.follow(links_of(sent)[EN.use_app])
    assert EN.app in back.words
    early = browser.submit(send="voice", once="x")
    assert "You can ask for it again in 0:30." in early.words
    assert browser.path == code_page
    browser.id = office.link(browser).id
    told = led(browser.submit(code=office.code(browser)))
    claims = office.claims(told.pop("receipt"))
    assert told == {**ended("approved"), "verification": browser.id}
    assert (claims["purpose"], claims["amr"], list(claims["binding"])) == ("payment", ["otp", "sms"], ["page"])
    assert EN.app in browser.follow(start.removeprefix("/v/")).words
    assert led(browser.submit(code=office.now(secret)))["status"] == "approved"


def test_who_has_no_factor_yet_signs_in_by_a_text(office: Office) -> None:
    """There is nothing to type before a code is asked for, and nothing of an app."""
    browser = office.page("u-new", to=a_number())
    seen = browser.open()
    assert ('id="typed"' in seen.text, links_of(seen)) == (False, {})
    assert links_of(browser.submit(send="sms", once="1")) == {}
    browser.id = office.link(browser).id
    assert led(browser.submit(code=office.code(browser)))["status"] == "approved"


def test_a_text_passes_the_limits_and_refusals_of_a_start(office: Office) -> None:
    """The page says why none can be sent, by the channels of the number's route alone; the app is good all the same."""
    secret, to = office.enrolled(), a_number()
    browser = office.page(to=to)
    start = browser.path
    assert PAGE.title in browser.submit(send="sms", once="1").words
    browser.path = start
    assert "You can ask for it again in 0:30." in browser.submit(send="sms", once="2").words
    assert 'name="once"' in browser.submit(send="email", once="3").text
    office.client.request("PUT", f"/consents/{to}", {"state": "out"})
    office.clock.advance(31)
    for channel in ("sms", "voice"):
        assert PAGE.opted_out in browser.submit(send=channel, once=channel).words
    without = office.page()
    assert EN.app in without.submit(send="sms", once="4").words
    assert led(browser.submit(code=office.now(secret)))["status"] == "approved"


def test_no_code_is_sent_to_who_has_a_factor_where_the_policy_denies_it(quiet: Store, tmp_path: Path) -> None:
    """The page offers none, and one that is asked for all the same is refused. Who has no factor is offered them."""
    office = Office(quiet, tmp_path, '[code]\nguess_ceiling = 1.0\n[factors]\ntexts = "deny"\n')
    secret, browser = office.enrolled(), office.page(to=a_number())
    assert 'name="send"' not in browser.open().text
    assert PAGE.refused in browser.submit(send="sms", once="1").words
    assert led(browser.submit(code=office.now(secret)))["status"] == "approved"
    assert 'name="send"' in office.page("u-new", to=a_number()).open().text


def test_a_stranger_has_no_page_of_a_user(office: Office) -> None:
    """Neither with the token of a verification's page, nor with one that is cut or of another ring; and a user's token
    opens no verification's page, and is no key of the API."""
    browser, ordinary = office.enrolling(), office.start()
    token = browser.path.removeprefix("/v/users/")
    other = codes.KeyRing(f"k1:{codes.new_key()}").token(b"{}", "user page")
    ours = context_of(office.client).keys
    foreign = ours.token(
        b'{"tenant":"default","id":"","channel":"","page":{"return_url":"x"},"options":{}}', "user page"
    )
    verification = ordinary.path.removeprefix("/v/")
    at_users = [verification, token[:-2], f"{token}A", other, foreign, browser.id, USER]
    paths = [*(f"/v/users/{each}" for each in at_users), f"/v/{token}", "/v/users/", "/v/users"]
    for path in paths:
        browser.path = path
        for seen in (browser.open(), browser.post({"code": "123456"})):
            assert seen.status in ((404, 405) if path == "/v/users" else (404,)), path
            assert "<svg" not in seen.text
    headers = {"Authorization": f"Bearer {token}"}
    assert office.client.app.test_client().get(f"/users/{USER}", headers=headers).status_code == 401


def test_a_user_page_is_kept_apart_and_changes_nothing_by_itself(office: Office) -> None:
    """No frame, cache or referrer has it, no other site's form is heard; whatever fetches it ahead does no harm."""
    office.enrolled()
    for browser in (office.enrolling(), office.page(to=a_number())):
        client: Any = office.store.link.client()
        before = contents(client)
        seen = browser.open()
        browser.open("?by=recovery&said=gone&wait=-1")
        assert changed(client, before) == set()
        assert (seen.headers["cache-control"], seen.headers["x-frame-options"]) == ("no-store", "DENY")
        assert seen.headers["referrer-policy"] == "no-referrer"
        rules = dict(rule.strip().split(" ", 1) for rule in seen.headers["content-security-policy"].split(";"))
        assert (rules["default-src"], rules["frame-ancestors"], rules["script-src"]) == ("'none'", "'none'", "'self'")
        assert not re.search(r"<style|style=|<script>| on\w+=", seen.text)
        for sent in (*re.findall(r'(?:src|href)="(\.\./[^"]+)"', seen.text),):
            assert browser.client.app.test_client().get(f"/v/{sent.removeprefix('../')}").status_code == 200
        for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 303)):
            assert browser.post({"cancel": "1"}, Sec_Fetch_Site=site).status == status


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"return_url": "https://evil.example/"}, "return_url"),
    ({"return_url": 1}, "return_url"),
    ({"state": "a\nb"}, "state"),
    ({"enrol": "sms"}, "enrol"),
    ({"enrol": "totp", "to": "+14155550123"}, "to"),
    ({"enrol": "totp", "binding": {"a": "b"}}, "binding"),
    ({"enrol": "totp", "label": "a:b"}, "label"),
    ({"enrol": "totp", "return_url": "https://evil.example/"}, "return_url"),
    ({"label": "Ada"}, "label"),
    ({"digits": 6}, "digits"),
    ({"channel": "sms"}, "channel"),
    ({"to": "+14155550123", "channel": "pigeon"}, "channel"),
    ({"to": "+14155550123", "ip": "x"}, "ip"),
    ({"to": "+14155550123", "binding": {"page": "x"}}, "binding.page"),
    ({"to": "+14155550123", "binding": {f"{n}": "x" * 256 for n in range(16)}}, "return_url"),
    ({"to": "+14155550123", "user": "u"}, "user"),
    ({"next": "x"}, "next"),
    ({}, "to"),
]


def test_a_user_page_that_cannot_be_is_refused_and_leaves_nothing(office: Office, tmp_path: Path) -> None:
    """A clear 400 that names the field, and no factor has begun."""
    client: Any = office.store.link.client()
    before = contents(client)
    for fields, field in REFUSED:
        problem = office.refused(**fields)
        assert (problem["status"], problem["errors"][0]["field"]) == (400, field), fields
    assert office.refused(to="12")["type"] == "/problems/invalid-number"
    unsigned = LocalClient(office.store, office.clock, config_file=tmp_path / "verify.toml")
    problem = unsigned.refused("POST", f"/users/{USER}/page", {"return_url": BACK, "to": a_number()})
    assert "none can be had: VERIFY_SIGNING_KEYS is not set" in problem["detail"]
    assert changed(client, before) == set()


def test_a_user_page_is_in_the_language_of_its_caller(office: Office) -> None:
    """In each of the forty, whatever the browser would like."""
    enrolling, asking = office.enrolling(), office.page("u-new", to=a_number())
    for browser in (enrolling, asking):
        link, keys = office.link(browser), context_of(office.client).keys
        for tag in tags().values():
            options = msgspec.structs.replace(link.options, locale=tag)
            browser.path = f"/v/users/{links.token_of_user(keys, msgspec.structs.replace(link, options=options))}"
            seen, words = browser.open(Accept_Language="de"), language(tag)
            said = words.factors
            sentences = (
                (said.setup, said.scan, said.open, said.key, said.app)
                if browser is enrolling
                else (
                    words.page.title,
                    words.page.cancel,
                    *(said.send.format(channel=each) for each in ("SMS", words.page.call)),
                )
            )
            assert f'<html lang="{tag}" dir="{words.direction}">' in seen.text
            assert all(sentence in seen.words for sentence in sentences), tag
