"""Twilio: texts, RCS and WhatsApp templates by the Message resource, calls by the Call resource, signed callbacks.

Written after https://www.twilio.com/docs/messaging/api/message-resource,
https://www.twilio.com/docs/voice/api/call-resource,
https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder,
https://www.twilio.com/docs/rcs/send-an-rcs-message (without its own fallback to SMS),
https://www.twilio.com/docs/usage/security (signatures) and https://www.twilio.com/docs/api/errors.
"""

import base64
import json
import re
import time
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import msgspec
from msgspec import Meta

from verify_service.adapters import Adapter, AdapterContext, Secret, Settings, by_language
from verify_service.duration import Duration
from verify_service.errors import ConfigError, DeliveryError, Rejected, Unavailable
from verify_service.model import Callback, InboundText, Message, Receipt
from verify_service.providers import http, twilio_signed

# What is wrong with the number itself, by the code of a refusal or of a failed message. Other codes speak of the
# account, the sender or the moment, where another provider may do better.
_NEVER = {
    13223: "invalid number",
    13224: "invalid number",
    21211: "invalid number",
    21214: "number cannot be reached",
    21217: "invalid number",
    21610: "opted out",
    21614: "not a mobile number",
    21635: "landline",
    30005: "unknown number",
    63003: "not on WhatsApp",
    63024: "not on WhatsApp",
    63036: "not reachable by RCS",
}
_OPTED_OUT = 21610
_OUT_OF_REACH = 63036  # for now: RCS needs a data connection, and may be switched on at any time
_NOT_FOR_EVER = frozenset({_OPTED_OUT, _OUT_OF_REACH})
_PREFIXES = {"whatsapp": "whatsapp:", "rcs": "rcs:"}

# MessageStatus and CallStatus. What stands here for neither is on its way still.
_DELIVERED = frozenset({"delivered", "read", "completed"})
_FAILED = frozenset({"failed", "undelivered", "canceled", "busy", "no-answer"})

# Who speaks, by language. More at https://www.twilio.com/docs/voice/twiml/say/text-speech: `voices` names others.
_VOICES = {
    "ar": "Polly.Zeina",
    "ca": "Polly.Arlet-Neural",
    "da": "Polly.Naja",
    "de": "Polly.Vicki",
    "en": "Polly.Joanna",
    "es": "Polly.Lucia",
    "fi": "Polly.Suvi-Neural",
    "fr": "Polly.Lea",
    "hi": "Polly.Aditi",
    "is": "Polly.Dora",
    "it": "Polly.Bianca",
    "ja": "Polly.Mizuki",
    "ko": "Polly.Seoyeon",
    "nb": "Polly.Liv",
    "nl": "Polly.Lotte",
    "pl": "Polly.Ewa",
    "pt": "Polly.Ines",
    "pt-BR": "Polly.Camila",
    "ro": "Polly.Carmen",
    "ru": "Polly.Tatyana",
    "sv": "Polly.Astrid",
    "tr": "Polly.Filiz",
    "zh": "Polly.Zhiyu",
}
_SERVICE = re.compile("MG[0-9a-fA-F]{32}")
_SHORTEST_S, _LONGEST_S = 1, 14_400  # a ValidityPeriod
_SEGMENTS = {str(count): count for count in range(1, 11)}  # "0" where a Messaging Service has yet to choose a sender


class TwilioSettings(Settings, frozen=True, kw_only=True):
    """An account of Twilio's. `auth_token` signs its calls to us, and signs us in where no API key is named. `content`
    is the WhatsApp template (its Content SID) by language, `*` for any other; its variable 1 is the code. `voices` are
    who speaks on a call, by language, before those that are known here."""

    account: Annotated[
        str,
        Meta(pattern=r"^AC[0-9a-fA-F]{32}\Z", description="the console shows it as Account SID: AC and 32 hex digits"),
    ]
    auth_token: Secret
    api_key: Annotated[str, Meta(pattern=r"^SK[0-9a-fA-F]{32}\Z")] | None = None
    api_secret: Secret | None = None
    content: dict[str, Annotated[str, Meta(pattern=r"^HX[0-9a-fA-F]{32}\Z")]] = msgspec.field(default_factory=dict)
    voices: dict[str, Annotated[str, Meta(pattern=r"^[A-Za-z0-9.-]+\Z")]] = msgspec.field(default_factory=dict)
    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+\Z")] = "https://api.twilio.com"
    timeout: Duration = Duration("5 seconds")


class TwilioProvider:
    """One account."""

    def __init__(self, settings: TwilioSettings, context: AdapterContext) -> None:
        """Raises ConfigError for a credential that is missing or cannot be used."""
        if (settings.api_key is None) != (settings.api_secret is None):
            raise ConfigError("`api_key` and `api_secret` go together")
        user = settings.api_key or settings.account
        login = f"{user}:{context.secret(settings.api_secret or settings.auth_token)}"
        headers = {
            "authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        self._endpoint = http.Endpoint(settings.url, settings.timeout.seconds, headers)
        self._base = f"/2010-04-01/Accounts/{settings.account}"
        self._content = settings.content
        self._voices = {**_VOICES, **settings.voices}
        self._receipts = f"{context.callbacks}/receipts" if context.callbacks else None

    def send(self, message: Message) -> Receipt:
        if message.channel == "voice":
            return self._post("Calls", self._call(message))
        # On the number, `rcs:` also keeps a Messaging Service from texting by itself whom RCS does not reach.
        prefix = _PREFIXES.get(message.channel, "")
        parameters = {"To": prefix + message.to, "ValidityPeriod": str(_validity(message))}
        # To who has just written, an answer goes as it is; a code comes unasked, and so by a template.
        templated = message.channel == "whatsapp" and message.code
        parameters |= self._template(message) if templated else {"Body": message.body}
        if _SERVICE.fullmatch(message.sender):
            parameters["MessagingServiceSid"] = message.sender
        else:
            parameters["From"] = prefix + message.sender
        return self._post("Messages", parameters)

    def close(self) -> None:
        self._endpoint.close()

    def _template(self, message: Message) -> dict[str, str]:
        sid = by_language(self._content, message.locale)
        if sid is None:
            raise Unavailable(f"no WhatsApp template for {message.locale}")
        return {"ContentSid": sid, "ContentVariables": json.dumps({"1": message.code})}

    def _call(self, message: Message) -> dict[str, str]:
        voice = by_language(self._voices, message.locale)
        if voice is None:
            raise Unavailable(f"no voice for {message.locale}")
        words = f'<Response><Say voice="{voice}">{escape(message.body)}</Say></Response>'
        return {"To": message.to, "From": message.sender, "Twiml": words}

    def _post(self, resource: str, parameters: dict[str, str]) -> Receipt:
        if self._receipts:
            parameters["StatusCallback"] = self._receipts
        answer = self._endpoint.post(urlencode(parameters).encode(), {}, f"{self._base}/{resource}.json")
        if not answer.accepts:
            raise _refusal(answer)
        made = http.told(answer, _Made)
        return _receipt(made.sid, made.status, made.error_code, _SEGMENTS.get(made.num_segments or ""))


class TwilioCallbacks:
    """Calls from Twilio, signed with the account's auth token over the URL and every field."""

    def __init__(self, settings: TwilioSettings, context: AdapterContext) -> None:
        self._token = context.secret(settings.auth_token).encode()

    def receipts(self, call: Callback) -> Sequence[Receipt]:
        told = twilio_signed.read(call, self._token)
        error = told.get("ErrorCode", "")
        sid = told.get("MessageSid") or told.get("CallSid")
        status = told.get("MessageStatus") or told.get("CallStatus")
        if not sid or not status:
            raise ValueError("neither a message's status nor a call's")
        return [_receipt(sid, status, int(error) if error.isdecimal() else None)]

    def inbound(self, call: Callback) -> Sequence[InboundText]:
        told = twilio_signed.read(call, self._token)
        try:
            sid, sender, to, body = (told[name] for name in ("MessageSid", "From", "To", "Body"))
        except KeyError as missing:
            raise ValueError(f"no {missing}") from None
        answered = bool(told.get("OptOutType"))
        return [InboundText(sid, _address(sender), _address(to), body, answered)]


class _Made(msgspec.Struct):
    """A message or a call as Twilio made it."""

    sid: str
    status: str
    error_code: int | None = None
    num_segments: str | None = None


class _Error(msgspec.Struct):
    code: int = 0


def _validity(message: Message) -> int:
    """Seconds until the code ends, within what Twilio takes: what is queued for longer is not sent any more."""
    return round(min(max(message.expires_at / 1000 - time.time(), _SHORTEST_S), _LONGEST_S))


def _refusal(answer: http.Answer) -> DeliveryError:
    try:
        code = http.json(answer.body, _Error).code
    except ValueError:
        code = 0
    if code in _NEVER and 400 <= answer.status < 500:
        permanent = code not in _NOT_FOR_EVER
        return Rejected(f"{_NEVER[code]} ({code})", opted_out=code == _OPTED_OUT, permanent=permanent)
    return http.failure(answer.status, f"HTTP {answer.status} ({code})" if code else None)


def _receipt(sid: str, status: str, error: int | None, segments: int | None = None) -> Receipt:
    if status in _DELIVERED:
        return Receipt(sid, "delivered", segments=segments)
    if status not in _FAILED:
        return Receipt(sid, segments=segments)
    word = _NEVER.get(error or 0, status)
    reason = f"{word} ({error})" if error else word
    permanent = error in _NEVER and error not in _NOT_FOR_EVER
    return Receipt(sid, "failed", reason, permanent, segments, opted_out=error == _OPTED_OUT)


def _address(spelled: str) -> str:
    return re.sub("^(whatsapp|rcs):", "", spelled)


ADAPTER = Adapter(
    settings=TwilioSettings,
    provider=TwilioProvider,
    callbacks=TwilioCallbacks,
    channels=frozenset({"sms", "rcs", "voice", "whatsapp"}),
    needs_public_url=True,
)
