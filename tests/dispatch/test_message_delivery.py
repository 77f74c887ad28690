"""From a start to what the provider is handed: the person's language, the purpose's words, the channel's form."""

import pytest

from tests.support.bench import a_start
from tests.support.dispatching import ONE, Post, Scripted
from tests.support.live import until
from verify_service import config
from verify_service.consents import Consents
from verify_service.model import InboundText, Message, Start
from verify_service.testing import VerifyClient, VerifyInbox

pytestmark = pytest.mark.slow

OWN = f"""{ONE}
[templates.wire]
en = "{{code}} moves money at {{brand}}."
[languages]
GB = "en"
"""


def handed(post: Post, start: Start) -> Message:
    """What the provider is asked to send for a start."""
    a = Scripted()
    with post.dispatching({"a": a}, OWN):
        started = post.bench.service.start("default", start)
        assert post.settled(started.id) == [("sent", "a", None)]
    (message,) = a.asked
    return message


def test_the_locale_of_the_start_is_the_messages(post: Post) -> None:
    """Body and tag are of the nearest language; the country is the number's."""
    message = handed(post, a_start("+447400123456", locale="de_AT", purpose="payment"))
    assert message.body == (
        f"{message.code} ist Ihr Verify-Code, um eine Zahlung zu bestätigen. "
        "Er gilt 10 Minuten. Geben Sie ihn nicht weiter."
    )
    assert (message.locale, message.country, message.encoding, message.segments) == ("de", "GB", "GSM-7", 1)


def test_without_a_locale_the_countrys_language_is(post: Post) -> None:
    """Of the number's country."""
    message = handed(post, a_start("+5511961234567"))
    assert message.body == f"{message.code} é seu código Verify. Vale 10 minutos. Não compartilhe."
    assert (message.locale, message.country, message.encoding, message.segments) == ("pt-BR", "BR", "UCS-2", 1)


def test_the_operators_text_goes_out(post: Post) -> None:
    """For its purpose, with the last lines that the start asked for."""
    message = handed(post, a_start("+447400123456", purpose="wire", app_hash="FA+9qCX9VSu", origin="login.example.com"))
    assert message.body == (f"{message.code} moves money at Verify.\nFA+9qCX9VSu\n@login.example.com #{message.code}")


@pytest.mark.parametrize("channel", ["sms", "rcs", "voice", "whatsapp", "email"])
def test_each_channel_has_its_form(verify_client: VerifyClient, verify_inbox: VerifyInbox, channel: str) -> None:
    """Over HTTP: a call has words where the others have the code, an email says more, and each is one segment."""
    to = "ann@example.org" if channel == "email" else "+14155550188"
    started = verify_client.start(to, channel=channel, locale="en-US-u-hc-h12")
    code = verify_inbox.code(to)
    (message,) = verify_inbox.messages(to)
    assert (message["channel"], message["code"], message["segments"]) == (channel, code, 1)
    assert (code in message["body"]) == (channel != "voice")
    assert message["body"].startswith("Your Verify code: " if channel == "voice" else f"{code} is your Verify code. ")
    assert ("ignore this message" in message["body"]) == (channel == "email")
    assert verify_client.check(id=started["id"], code=code)["approved"]


def test_a_keyword_is_answered_in_its_language(post: Post) -> None:
    """ARRET from a number of Canada: one French text, from the address that was written to, and without a code."""
    toml = f"""{ONE}
[tenants.default]
brand = "Acme"
[senders.short]
type = "short-code"
address = "43721"
[[routes]]
via = [{{ provider = "a", sender = "short" }}]
"""
    (post.folder / "heard.toml").write_text(toml)
    told = config.load(post.folder / "heard.toml", None)
    heard = Consents(post.bench.store, told, post.bench.keys, post.bench.tagger, post.bench.clock)
    a = Scripted()
    with post.dispatching({"a": a}, toml):
        heard.heard(InboundText(id="1", from_="+16135550123", to="43721", body="Arrêt"), "a")
        until(lambda: len(a.asked) == 1 and post.bench.store.outbox.depth() == 0, "an answer")
    (message,) = a.asked
    assert message.body == "Acme : vous ne recevrez plus de codes par SMS. Répondez START pour en recevoir à nouveau."
    assert (message.to, message.sender, message.locale, message.code) == ("+16135550123", "43721", "fr", "")


def test_a_start_may_say_the_name_and_the_length_of_its_code(post: Post) -> None:
    """A resend of another length brings another code, and that is the one which is compared."""
    a, service = Scripted(), post.bench.service
    start = a_start("+447400123456")
    with post.dispatching({"a": a}, OWN):
        started = service.start("default", start, digits=8, brand="Acme Shop")
        until(lambda: len(a.asked) == 1, "the message")
        post.bench.clock.advance(30)
        assert service.start("default", start).id == started.id
        until(lambda: len(a.asked) == 2, "the second message")
    first, second = a.asked
    assert (len(first.code), first.sender, "Acme Shop" in first.body) == (8, "Acme Shop", True)
    assert (len(second.code), second.sender, "Verify" in second.body) == (6, "Verify", True)
    assert service.check("default", started.id, first.code).approved is False
    assert service.check("default", started.id, second.code).approved is True
