"""What is Twilio's alone: its signatures by its own examples, its channels, its ways to name a sender."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pytest

from tests.support.peers.contract import PUBLIC_URL
from tests.support.peers.http_peer import Asked, Reply
from tests.support.peers.twilio_peer import ACCOUNT, TwilioPeer
from verify_service.adapters import AdapterContext
from verify_service.errors import ConfigError, Forged, Unavailable
from verify_service.model import Callback, InboundText, Receipt
from verify_service.providers.twilio import TwilioCallbacks


class Recorder(TwilioPeer):
    """Takes whatever comes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.made: dict[str, Any] = {"sid": "SM1", "status": "queued"}

    def answer(self, asked: Asked) -> Reply:
        self.seen.append((asked.headers["authorization"], dict(parse_qsl(asked.body.decode()))))
        return Reply(201, msgspec.json.encode(self.made))


@pytest.fixture
def peer() -> Iterator[Recorder]:
    with Recorder() as made:
        yield made


def example(url: str, signature: str, body: str) -> Callback:
    return Callback("POST", url, {"x-twilio-signature": signature}, body.encode())


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        ("https://mycompany.com/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com:1234/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com/myapp.php?foo=1&bar=2", "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com/myapp.php?foo=1&bar=2", "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
    ],
    ids=["as it is", "port left out", "https port added", "http port added", "port kept"],
)
def test_twilios_own_examples_are_believed(peer: Recorder, url: str, signature: str) -> None:
    """The signatures that Twilio's documentation and client library give for the token 12345, with every spelling of
    the port; and not for another URL."""
    body = "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
    around = AdapterContext(name="it", secret=lambda _: "12345", clock=peer.clock)
    callbacks = TwilioCallbacks(peer.settings(), around)
    with pytest.raises(ValueError, match="status"):  # It is believed, and says nothing of a message.
        callbacks.receipts(example(url, signature, body))
    with pytest.raises(Forged):
        callbacks.receipts(example(url.replace("foo", "fou"), signature, body))


def test_a_field_that_comes_twice_is_signed_twice(peer: Recorder) -> None:
    """As Twilio's client library signs it."""
    around = AdapterContext(name="it", secret=lambda _: "12345", clock=peer.clock)
    body = "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234"
    call = example("https://mycompany.com/myapp.php?foo=1&bar=2", "IK+Dwps556ElfBT0I3Rgjkr1wJU=", body)
    with pytest.raises(ValueError, match="status"):
        TwilioCallbacks(peer.settings(), around).receipts(call)


def test_without_an_api_key_the_account_signs_in(peer: Recorder) -> None:
    """The account's SID and its auth token."""
    provider = peer.provider(api_key=None, api_secret=None)
    provider.send(peer.message())
    provider.close()
    [(login, _)] = peer.seen
    assert login == "Basic " + base64.b64encode(f"{ACCOUNT}:{peer.secrets['TOKEN']}".encode()).decode()


def test_a_messaging_service_may_be_the_sender(peer: Recorder) -> None:
    """A sender whose address is a service's SID leaves the choice of a number to Twilio; a name may begin alike."""
    provider = peer.provider()
    provider.send(peer.message(sender="MG" + "0" * 32))
    provider.send(peer.message(sender="MGM Resorts"))
    provider.close()
    (_, service), (_, name) = peer.seen
    assert (service["MessagingServiceSid"], "From" in service) == ("MG" + "0" * 32, False)
    assert (name["From"], "MessagingServiceSid" in name) == ("MGM Resorts", False)


def test_nothing_but_rcs_carries_what_goes_by_rcs(peer: Recorder) -> None:
    """Asked for the number alone, a Messaging Service would text whom RCS does not reach: what then happens is the
    route's to say. So the number has the prefix there as well, and the text needs no template."""
    provider = peer.provider(content={})
    provider.send(peer.message(channel="rcs", sender="acme_k3x_agent", text="123456 is it."))
    provider.send(peer.message(channel="rcs", sender="MG" + "0" * 32, text="123456 is it."))
    provider.close()
    (_, agent), (_, service) = peer.seen
    assert (agent["To"], agent["From"], agent["Body"]) == ("rcs:+4915112345678", "rcs:acme_k3x_agent", "123456 is it.")
    assert (service["To"], service["MessagingServiceSid"]) == ("rcs:+4915112345678", "MG" + "0" * 32)
    assert "From" not in service


@pytest.mark.parametrize(
    ("status", "error", "receipt"),
    [
        ("delivered", None, Receipt("SM1", "delivered")),
        ("read", None, Receipt("SM1", "delivered")),
        ("undelivered", "63036", Receipt("SM1", "failed", "not reachable by RCS (63036)")),
    ],
)
def test_a_receipt_of_rcs(peer: Recorder, status: str, error: str | None, receipt: Receipt) -> None:
    """What was read has arrived; who is not reached now may be tomorrow, so the number keeps its good name."""
    told = {"MessageSid": "SM1", "MessageStatus": status, "From": "rcs:acme_k3x_agent", "To": "rcs:+4915112345678"}
    told |= {"ErrorCode": error} if error else {}
    assert peer.callbacks().receipts(peer.call("receipts", told)) == [receipt]


def test_a_text_to_an_rcs_agent_is_heard(peer: Recorder) -> None:
    """The phone is a number to us, and the agent is what its sender's `address` says."""
    told = {"MessageSid": "SM4", "From": "rcs:+4915112345678", "To": "rcs:acme_k3x_agent", "Body": "STOP"}
    [text] = peer.callbacks().inbound(peer.call("inbound", told))
    assert text == InboundText("SM4", "+4915112345678", "acme_k3x_agent", "STOP")


@pytest.mark.parametrize(
    ("locale", "sid"), [("pt-BR", "HX" + "1" * 32), ("pt-PT", "HX" + "2" * 32), ("de", "HX" + "3" * 32)]
)
def test_the_whatsapp_template_is_chosen_by_language(peer: Recorder, locale: str, sid: str) -> None:
    """The locale's own, then its language's, then the one for all."""
    templates = {"pt-BR": "HX" + "1" * 32, "pt": "HX" + "2" * 32, "*": "HX" + "3" * 32}
    provider = peer.provider(content=templates)
    provider.send(peer.message(channel="whatsapp", locale=locale))
    provider.close()
    assert peer.seen[0][1]["ContentSid"] == sid


def test_an_answer_by_whatsapp_needs_no_template(peer: Recorder) -> None:
    """Who wrote STOP may be answered in words."""
    provider = peer.provider(content={})
    provider.send(peer.message(channel="whatsapp", code="", text="You get no more codes."))
    provider.close()
    [(_, told)] = peer.seen
    assert (told["To"], told["Body"]) == ("whatsapp:+4915112345678", "You get no more codes.")


def test_without_a_template_nothing_is_sent_by_whatsapp(peer: Recorder) -> None:
    """WhatsApp takes no free text from a business that was not written to: the next in line gets it."""
    provider = peer.provider(content={"pt": "HX" + "1" * 32})
    with pytest.raises(Unavailable) as raised:
        provider.send(peer.message(channel="whatsapp", locale="de"))
    provider.close()
    assert (raised.value.reason, peer.asked) == ("no WhatsApp template for de", 0)


@pytest.mark.parametrize(
    ("locale", "voice"),
    [("de-AT", "Polly.Vicki"), ("pt-BR", "Polly.Camila"), ("pt-PT", "Polly.Ines"), ("cs", "Google.cs-CZ-Standard-A")],
)
def test_a_call_speaks_the_language_of_its_words(peer: Recorder, locale: str, voice: str) -> None:
    """By the voice of its language, the operator's own before ours; what would be markup is words."""
    provider = peer.provider(voices={"cs": "Google.cs-CZ-Standard-A"})
    provider.send(peer.message(channel="voice", locale=locale, text="1 2 3 <4> & 5"))
    provider.close()
    words = f'<Response><Say voice="{voice}">1 2 3 &lt;4&gt; &amp; 5</Say></Response>'
    assert peer.seen[0][1]["Twiml"] == words


def test_nobody_is_called_in_a_language_that_no_voice_speaks(peer: Recorder) -> None:
    """Words read out by the rules of another language are noise: the next in line gets the message."""
    provider = peer.provider()
    with pytest.raises(Unavailable) as raised:
        provider.send(peer.message(channel="voice", locale="sw"))
    provider.close()
    assert (raised.value.reason, peer.asked) == ("no voice for sw", 0)


@pytest.mark.parametrize(
    ("status", "error", "receipt"),
    [
        ("completed", None, Receipt("CA1", "delivered")),
        ("in-progress", None, Receipt("CA1")),
        ("busy", None, Receipt("CA1", "failed", "busy")),
        ("no-answer", None, Receipt("CA1", "failed", "no-answer")),
        ("failed", "13224", Receipt("CA1", "failed", "invalid number (13224)", permanent=True)),
    ],
)
def test_a_calls_status_is_a_receipt(peer: Recorder, status: str, error: str | None, receipt: Receipt) -> None:
    """A call that was answered to its end is delivered; one that rang in vain may be tried again."""
    told = {"CallSid": "CA1", "CallStatus": status, "To": "+4915112345678"} | ({"ErrorCode": error} if error else {})
    assert peer.callbacks().receipts(peer.call("receipts", told)) == [receipt]


def test_who_told_twilio_stop_may_be_known_by_a_receipt_alone(peer: Recorder) -> None:
    """A messaging service takes the message and fails it later; that is no number that gets no texts."""
    told = {"MessageSid": "SM1", "MessageStatus": "failed", "ErrorCode": "21610"}
    receipt = Receipt("SM1", "failed", "opted out (21610)", opted_out=True)
    assert peer.callbacks().receipts(peer.call("receipts", told)) == [receipt]


def test_a_message_that_failed_at_once_has_failed(peer: Recorder) -> None:
    """Twilio may answer 201 and say in the body that it was in vain."""
    peer.made = {"sid": "SM1", "status": "failed", "error_code": 30005, "num_segments": "0"}
    provider = peer.provider()
    receipt = provider.send(peer.message())
    provider.close()
    assert receipt == Receipt("SM1", "failed", "unknown number (30005)", permanent=True)


def test_what_twilio_answered_itself_is_marked(peer: Recorder) -> None:
    """Advanced Opt-Out names the keyword that Twilio has answered; WhatsApp's addresses are numbers to us."""
    told = {
        "MessageSid": "SM2",
        "From": "whatsapp:+4915112345678",
        "To": "whatsapp:+14155550100",
        "Body": "Stop",
        "OptOutType": "STOP",
    }
    [text] = peer.callbacks().inbound(peer.call("inbound", told))
    assert text == InboundText("SM2", "+4915112345678", "+14155550100", "Stop", answered=True)


def test_a_call_by_get_is_signed_over_its_url(peer: Recorder) -> None:
    """A number may be set to call by GET: then the fields stand in the URL."""
    url = f"{PUBLIC_URL}/inbound?MessageSid=SM3&From=%2B4915112345678&To=%2B14155550100&Body=HELP"
    call = peer.call("inbound", {}, url=url)
    [text] = peer.callbacks().inbound(Callback("GET", url, call.headers, b""))
    assert text == InboundText("SM3", "+4915112345678", "+14155550100", "HELP")


@pytest.mark.parametrize(
    "signed",
    [
        "Body=Stop+now%2C+%C3%A9",
        "Body=Stop%20now%2C%20%C3%A9",
        "Body=Stop+now%2c+%c3%a9",
        "Body=Stop%20now%2c%20%c3%a9",
    ],
)
@pytest.mark.parametrize(
    "came",
    [
        "Body=Stop+now%2C+%C3%A9",
        "Body=Stop%20now%2C%20%C3%A9",
        "Body=Stop+now%2c+%c3%a9",
        "Body=Stop%20now%2c%20%c3%a9",
    ],
)
def test_a_call_by_get_may_be_escaped_anew_on_its_way(peer: Recorder, signed: str, came: str) -> None:
    """Spaces as + or %20, digits in either case: it is the same call; another text is another call."""

    def url(body: str) -> str:
        plus = "%2b" if "%2c" in body else "%2B"
        return f"{PUBLIC_URL}/inbound?MessageSid=SM3&From={plus}4915112345678&To={plus}14155550100&{body}"

    call = peer.call("inbound", {}, url=url(signed))
    [text] = peer.callbacks().inbound(Callback("GET", url(came), call.headers, b""))
    assert (text.body, text.from_) == ("Stop now, é", "+4915112345678")
    with pytest.raises(Forged):
        peer.callbacks().inbound(Callback("GET", url(came) + "x", call.headers, b""))


HONEST = {"AccountSid": ACCOUNT, "From": "+15005550006", "FromCity": "WEST END", "MessageSid": "SM" + "0" * 32}
HONEST |= {"NumMedia": "0", "ProfileName": "Eve", "To": "+14155550100"}
VICTIM = "+4915112345678"


@pytest.mark.parametrize(
    ("own", "cut"),
    [
        (  # What is left over goes into a field that nobody reads.
            {"Body": f"STOPFrom{VICTIM}MessageSidSM1To+14155550100Z"},
            {"Body": "STOP", "From": VICTIM, "MessageSid": "SM1", "To": "+14155550100", "Z": ...},
        ),
        (  # Into one that Twilio has.
            {"Body": f"STOPFrom{VICTIM}MessageSidSM1ProfileNameX"},
            {"Body": "STOP", "From": VICTIM, "MessageSid": "SM1", "ProfileName": ...},
        ),
        (  # Into the id.
            {"Body": f"STOPFrom{VICTIM}MessageSidSM1"},
            {"Body": "STOP", "From": VICTIM, "MessageSid": ...},
        ),
        (  # Into the text, where WhatsApp's name is the person's own words, too.
            {"Body": "STOP\n", "ProfileName": f"From{VICTIM}MessageSidSM1To+14155550100Z"},
            {"Body": ..., "From": VICTIM, "MessageSid": "SM1", "To": "+14155550100", "Z": ...},
        ),
        (  # A number without its plus, or by WhatsApp.
            {"Body": f"STOPFrom{VICTIM[1:]}MessageSidSM1To1Z"},
            {"Body": "STOP", "From": VICTIM[1:], "MessageSid": "SM1", "To": "1", "Z": ...},
        ),
        (
            {"Body": f"STOPFromwhatsapp:{VICTIM}MessageSidSM1To1Z"},
            {"Body": "STOP", "From": f"whatsapp:{VICTIM}", "MessageSid": "SM1", "To": "1", "Z": ...},
        ),
    ],
)
def test_what_was_signed_for_one_phone_opts_no_other_out(peer: Recorder, own: Any, cut: Any) -> None:
    """Twilio signs names and values with nothing between them: one's own text, cut anew, has the same signature."""
    call = peer.call("inbound", HONEST | own)
    signed = "".join(name + value for name, value in sorted((HONEST | own).items()))
    prefix = f"AccountSid{ACCOUNT}"
    assert signed.startswith(prefix)
    rest, fields = signed.removeprefix(prefix), {"AccountSid": ACCOUNT}
    for at, (name, value) in enumerate(cut.items()):
        assert rest.startswith(name)
        rest = rest.removeprefix(name)
        if value is ...:
            following = list(cut)[at + 1 : at + 2]
            value = rest[: rest.index(following[0] + VICTIM)] if following else rest
        fields[name], rest = value, rest.removeprefix(value)
    assert rest == ""
    assert "".join(name + value for name, value in sorted(fields.items())) == signed
    forged = Callback("POST", call.url, call.headers, urlencode(fields).encode())
    with pytest.raises(ValueError, match=r"form|otherwise"):
        peer.callbacks().inbound(forged)


def test_a_forwarded_call_is_read(peer: Recorder) -> None:
    """It names another number in a field whose name ends like `From`."""
    told = {"CallSid": "CA1", "CallStatus": "completed", "From": "+14155550100", "To": "+4915112345678"}
    call = peer.call("receipts", told | {"ForwardedFrom": "+14155550101", "Caller": "+14155550100"})
    assert peer.callbacks().receipts(call) == [Receipt("CA1", "delivered")]


@pytest.mark.parametrize("twice", ["From=%2B4915112345678", "MessageSid=SM2", "Body=STOP", "To=%2B14155550100"])
def test_a_field_that_is_read_comes_once(peer: Recorder, twice: str) -> None:
    """Which of two would be the call's is nobody's to guess."""
    name, _, _ = twice.partition("=")
    told = HONEST | {"Body": "Hello"}
    fields = [*told.items(), (name, parse_qsl(twice)[0][1])]
    signed = f"{PUBLIC_URL}/inbound" + "".join(name + value for name, value in sorted(set(fields)))
    mac = hmac.new(peer.secrets["TOKEN"].encode(), signed.encode(), hashlib.sha1)
    headers = {"x-twilio-signature": base64.b64encode(mac.digest()).decode()}
    with pytest.raises(ValueError, match=r"twice|otherwise"):
        peer.callbacks().inbound(Callback("POST", f"{PUBLIC_URL}/inbound", headers, urlencode(fields).encode()))


def test_a_form_is_not_taken_for_a_query(peer: Recorder) -> None:
    """Where the address at Twilio has a query, a text of one's own could be one's own query."""
    url = f"{PUBLIC_URL}/inbound?x=1"
    told = HONEST | {"Body": "&From=%2B4915112345678&Body=STOP&MessageSid=SM9&To=%2B14155550100&z="}
    call = peer.call("inbound", told, url=url)
    signed = url + "".join(name + value for name, value in sorted(told.items()))
    with pytest.raises(ValueError, match="otherwise"):
        peer.callbacks().inbound(Callback("GET", signed, call.headers, b""))


def test_half_an_api_key_stops_the_start(peer: Recorder) -> None:
    """A key without its secret is told when the file is put to work."""
    with pytest.raises(ConfigError, match="go together"):
        peer.provider(api_secret=None)


@pytest.mark.parametrize("broken", [{"account": "AC1"}, {"auth_token": "in clear"}, {"api_secrets": "env:API"}])
def test_a_table_that_cannot_be_used_is_refused(peer: Recorder, broken: dict[str, Any]) -> None:
    """A SID of another kind, a secret in clear, a key that is misspelt."""
    with pytest.raises(msgspec.ValidationError, match=next(iter(broken))):
        peer.settings(**broken)
