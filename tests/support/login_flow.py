"""What each of the example login apps promises: one set of tests for all."""

import re
import socket
import time
from contextlib import AbstractContextManager
from datetime import datetime

import pytest
import urllib3

from tests.support.bench import wrong
from tests.support.contract import a_number
from tests.support.logins import ABROAD, BLOCKED, EXAMPLE, Visitor
from verify_service.testing import VerifyClient, VerifyClock, VerifyInbox, VerifyServer


class LoginFlow:
    """The tests. A subclass says how its app is served; its module has it at `url`, beside a `login_service`."""

    @staticmethod
    def served(verify_url: str, api_key: str) -> AbstractContextManager[str]:
        """An app that calls the service there, with that key; gives where browsers find it."""
        raise NotImplementedError

    @pytest.fixture
    def visitor(self, url: str) -> Visitor:
        return Visitor(url)

    @pytest.fixture
    def to(self) -> str:
        """The visitor's number, a test's own: what another test has sent may still be on its way."""
        return a_number()

    def test_a_visitor_signs_in(self, to: str, visitor: Visitor, verify_inbox: VerifyInbox) -> None:
        """Number, code, signed in, signed out."""
        visitor.submit("/login", number=to)
        assert f"sent a code to {to}" in visitor.text
        assert 'id="check" data-digits="6"' in visitor.text
        assert 'id="again"' in visitor.text
        code = verify_inbox.code(to)
        visitor.submit("/code", code=f"\u200e {code[:3]}–{code[3:]} \n")
        assert f"Signed in as {to}" in visitor.text
        visitor.submit("/sign-out")
        visitor.open("/")
        assert "Mobile number" in visitor.text

    @pytest.mark.parametrize(
        "written", ["(415) 555-{}", "+1 (415) 555-{}", " ＋1415\u202f555\u2011{} ", "tel:415555{}"]
    )
    def test_a_number_is_understood_as_it_was_typed(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox, written: str
    ) -> None:
        """The app passes it on untouched; one without a country code is one of the app's own region."""
        visitor.submit("/login", number=written.format(to[-4:]))
        assert f"sent a code to {to}" in visitor.text
        assert verify_inbox.code(to)

    @pytest.mark.parametrize("number", ["", "12", "hello", "+1 900 555 0123", "+14155550123x", "ann@example.org"])
    def test_a_number_that_cannot_be_texted_is_told(self, visitor: Visitor, number: str) -> None:
        """The page says so in plain words and asks again."""
        visitor.submit("/login", number=number)
        assert (visitor.status, visitor.told("invalid-number")) == (422, True)
        assert "Mobile number" in visitor.text

    def test_wrong_codes_end_in_a_new_start(self, to: str, visitor: Visitor, verify_inbox: VerifyInbox) -> None:
        """The visitor is told how many tries are left; after the last, even the right code needs a new start."""
        visitor.submit("/login", number=to)
        code = verify_inbox.code(to)
        for left in (4, 3, 2, 1):
            visitor.submit("/code", code=wrong(code))
            assert (visitor.status, visitor.told("wrong", left=left)) == (422, True)
        visitor.submit("/code", code=wrong(code))
        assert (visitor.status, visitor.told("checks-exhausted")) == (429, True)
        assert "Mobile number" in visitor.text
        visitor.submit("/code", code=code)
        assert "Signed in" not in visitor.text

    def test_a_code_that_another_tab_has_used_up_is_told(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox
    ) -> None:
        """Where the tries were spent elsewhere, the sentence is the same."""
        visitor.submit("/login", number=to)
        code = verify_inbox.code(to)
        for _ in range(4):
            visitor.submit("/code", code=wrong(code))
        kept = dict(visitor.cookies), visitor.text
        visitor.submit("/code", code=wrong(code))
        visitor.cookies, visitor.text = kept
        visitor.submit("/code", code=code)
        assert (visitor.status, visitor.told("checks-exhausted")) == (429, True)

    @pytest.mark.parametrize("code", ["", "abcdef", "123", "12345678901", "12345O"])
    def test_what_is_no_code_spends_no_try(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox, code: str
    ) -> None:
        """A slip of the finger that cannot be a code is told, and the code is still good."""
        visitor.submit("/login", number=to)
        sent = verify_inbox.code(to)
        visitor.submit("/code", code=code)
        assert (visitor.status, visitor.told("no-code")) == (422, True)
        visitor.submit("/code", code=sent)
        assert "Signed in" in visitor.text

    def test_a_second_click_sends_one_message(self, to: str, visitor: Visitor, verify_inbox: VerifyInbox) -> None:
        """The same form sent twice is one start, and shows the same page; with another number it is another."""
        page = visitor.text
        visitor.submit("/login", number=to)
        [first] = verify_inbox.messages(to, wait=30)
        visitor.text = page
        visitor.submit("/login", number=to)
        assert f"sent a code to {to}" in visitor.text
        assert verify_inbox.messages(to, wait=0.3, after=first["id"]) == []
        visitor.text = page
        other = a_number()
        visitor.submit("/login", number=other)
        assert f"sent a code to {other}" in visitor.text

    def test_resend_waits_for_its_time(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox, verify_clock: VerifyClock
    ) -> None:
        """The page says when a code can be sent again; too early is told, in time sends the same code."""
        began = time.time()
        ahead = datetime.fromisoformat(verify_clock.advance(0.001)).timestamp() - began
        visitor.submit("/login", number=to)
        shown = re.search(r'id="wait" data-seconds="(\d+)">possible in (\d+) s<', visitor.text)
        assert shown
        assert shown[1] == shown[2]
        assert ahead + 30 - (time.time() - began) <= int(shown[1]) <= ahead + 31
        visitor.submit("/resend", channel="sms")
        assert (visitor.status, visitor.told("cooldown")) == (429, True)
        [first] = verify_inbox.messages(to, wait=30)
        verify_clock.advance(31)
        visitor.submit("/resend", channel="sms")
        assert visitor.status == 200
        assert verify_inbox.code(to, after=first["id"]) == first["code"]

    def test_call_me_instead_says_the_same_code(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox, verify_clock: VerifyClock
    ) -> None:
        """After the same wait, by voice."""
        visitor.submit("/login", number=to)
        [first] = verify_inbox.messages(to, wait=30)
        verify_clock.advance(31)
        visitor.submit("/resend", channel="voice")
        assert f"We are calling {to}." in visitor.text
        [called] = verify_inbox.messages(to, wait=30, after=first["id"])
        assert (called["channel"], called["code"]) == ("voice", first["code"])

    def test_who_cannot_be_called_is_told_and_not_asked_again(
        self, visitor: Visitor, verify_inbox: VerifyInbox, verify_clock: VerifyClock
    ) -> None:
        """Where the service has no route for a call; the text's code stays good."""
        visitor.submit("/login", number=ABROAD)
        code = verify_inbox.code(ABROAD)
        verify_clock.advance(31)
        assert "Call me instead" in visitor.text
        visitor.submit("/resend", channel="voice")
        assert (visitor.status, visitor.told("no-call")) == (422, True)
        assert "Call me instead" not in visitor.text
        visitor.submit("/code", code=code)
        assert "Signed in" in visitor.text

    def test_an_expired_code_needs_a_new_start(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox, verify_clock: VerifyClock
    ) -> None:
        """A right code that comes too late."""
        visitor.submit("/login", number=to)
        code = verify_inbox.code(to)
        verify_clock.advance(601)
        visitor.submit("/code", code=code)
        assert (visitor.status, visitor.told("verification-not-found")) == (422, True)
        assert "Mobile number" in visitor.text

    def test_a_code_that_was_sent_five_times_is_told(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox, verify_clock: VerifyClock
    ) -> None:
        """And it is still good."""
        visitor.submit("/login", number=to)
        code = verify_inbox.code(to)
        for pause in (31, 61, 121, 121):
            verify_clock.advance(pause)
            visitor.submit("/resend", channel="sms")
            assert visitor.status == 200
        verify_clock.advance(121)
        visitor.submit("/resend", channel="sms")
        assert (visitor.status, visitor.told("sends-exhausted")) == (429, True)
        visitor.submit("/code", code=code)
        assert "Signed in" in visitor.text

    def test_who_signs_in_too_often_is_told_when_to_come_back(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox
    ) -> None:
        """The policy has five in ten minutes."""
        for _ in range(5):
            visitor.submit("/login", number=to)
            visitor.submit("/code", code=verify_inbox.code(to))
            assert "Signed in" in visitor.text
            visitor.submit("/sign-out")
        visitor.submit("/login", number=to)
        assert (visitor.status, visitor.told("rate-limited")) == (429, True)
        assert re.search(r"try again in (?:[2-9]|10) min\.", visitor.text)

    def test_a_number_of_which_too_much_was_guessed_has_to_wait(
        self, to: str, visitor: Visitor, verify_client: VerifyClient, verify_inbox: VerifyInbox
    ) -> None:
        """The policy has ten wrong codes of a number in an hour: no other is compared, not even the right one."""
        visitor.submit("/login", number=to)
        code = verify_inbox.code(to)
        for purpose in ("payment", "transfer"):
            guessed = verify_client.start(to, purpose=purpose)
            right = verify_inbox.code(to)
            for _ in range(5):
                verify_client.check(id=guessed["id"], code=wrong(right))
        visitor.submit("/code", code=code)
        assert (visitor.status, visitor.told("rate-limited")) == (429, True)
        assert re.search(r"try again in [2-6]\d min\.", visitor.text)
        assert "Send it again" in visitor.text

    def test_who_has_opted_out_is_told(self, to: str, visitor: Visitor, verify_inbox: VerifyInbox) -> None:
        """After STOP no code can be sent, and the page says how to undo it."""
        verify_inbox.text(to, "43721", "STOP")
        visitor.submit("/login", number=to)
        assert (visitor.status, visitor.told("opted-out")) == (403, True)

    def test_who_is_blocked_is_told_whom_to_ask(self, visitor: Visitor) -> None:
        """And not by which rule."""
        visitor.submit("/login", number=BLOCKED)
        assert (visitor.status, visitor.told("blocked")) == (403, True)

    def test_nobody_is_signed_in_while_the_service_is_away(self, to: str) -> None:
        """No answer is an apology, never a way in."""
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            with self.served(f"http://127.0.0.1:{closed.getsockname()[1]}", "a key") as url:
                visitor = Visitor(url)
                visitor.submit("/login", number=to)
        assert (visitor.status, visitor.told("unavailable")) == (503, True)

    def test_a_wrong_api_key_is_not_the_visitors_matter(self, to: str, verify_server: VerifyServer) -> None:
        """What only the operator can mend is an apology too."""
        with self.served(verify_server.url, "a wrong key") as url:
            visitor = Visitor(url)
            visitor.submit("/login", number=to)
        assert (visitor.status, visitor.told("unavailable")) == (503, True)

    def test_a_forged_form_is_refused(self, to: str, visitor: Visitor, verify_inbox: VerifyInbox) -> None:
        """Without the page's token nothing is sent."""
        for csrf in ([], [""], ["guess"], ["ü"], ["a", "b"]):
            for path in ("/login", "/code", "/resend", "/sign-out"):
                visitor.post(path, [("number", to), *(("csrf", each) for each in csrf)])
                assert visitor.status == 400
        assert verify_inbox.messages(to, wait=0.3) == []

    def test_fields_that_come_twice_or_are_long_are_a_clear_answer(self, to: str, visitor: Visitor) -> None:
        """Whatever a form is made of, the app stands."""
        token = re.search(r'name="csrf" value="([^"]+)"', visitor.text)
        assert token
        for status, fields in (
            (200, [("number", to), ("once", "a"), ("once", "b")]),
            (422, [("number", "12"), ("number", "hello")]),
            (422, [("number[to]", to), ("number[__proto__][to]", to)]),
            (422, [("number", "1" * 3000)]),
            (413, [("number", to), ("once", "x" * 5000)]),
            (413, [(f"field{nth}", "") for nth in range(1000)]),
        ):
            visitor.post("/login", [("csrf", token[1]), *fields])
            assert visitor.status == status
            assert "node_modules" not in visitor.text

    def test_the_text_is_bound_to_the_app_whatever_the_host_header_says(
        self, to: str, visitor: Visitor, verify_inbox: VerifyInbox
    ) -> None:
        """Browsers fill the code in on the app's own site: its name ends the text, and a stranger cannot choose it."""
        token = dict(re.findall(r'name="(csrf|once)" value="([^"]+)"', visitor.text))
        visitor.post("/login", [("number", to), *token.items()], {"Host": "evil.example"})
        [message] = verify_inbox.messages(to, wait=30)
        assert message["body"].endswith(f"\n@localhost #{message['code']}")

    def test_another_browser_cannot_use_the_code(
        self, to: str, url: str, visitor: Visitor, verify_inbox: VerifyInbox
    ) -> None:
        """The code is good in the session that asked for it, and in no other."""
        visitor.submit("/login", number=to)
        code = verify_inbox.code(to)
        stranger = Visitor(url)
        stranger.submit("/login", number=a_number())
        assert "sent a code" in stranger.text
        stranger.submit("/code", code=code)
        assert "Signed in" not in stranger.text
        visitor.submit("/code", code=code)
        assert "Signed in" in visitor.text

    def test_a_session_that_was_changed_is_none(self, to: str, visitor: Visitor, verify_inbox: VerifyInbox) -> None:
        """The cookie is signed: whoever changes a letter of it is a stranger."""
        visitor.submit("/login", number=to)
        visitor.submit("/code", code=verify_inbox.code(to))
        assert "Signed in" in visitor.text
        [(name, value)] = [each for each in visitor.cookies.items() if each[1]]
        visitor.cookies[name] = value[:20] + ("B" if value[20] == "A" else "A") + value[21:]
        visitor.open("/")
        assert "Mobile number" in visitor.text

    def test_the_cookie_and_the_page_are_guarded(self, url: str) -> None:
        """Scripts and other sites cannot use the cookie, which never travels without TLS; no script runs but the app's
        own, nobody frames the page, and no cache has it."""
        answer = urllib3.request("GET", f"{url}/login")
        parts = {part.strip() for part in answer.headers["set-cookie"].split(";")}
        assert {"Secure", "HttpOnly", "SameSite=Lax"} <= parts
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
        page = answer.data.decode()
        assert re.findall(r"<script[^>]*>", page) == ['<script src="/static/login.js" defer>']
        assert not re.search(r"<style|\son\w+=|\sstyle=|javascript:", page)
        script = urllib3.request("GET", f"{url}/static/login.js")
        assert (script.status, script.data) == (200, (EXAMPLE / "static" / "login.js").read_bytes())
