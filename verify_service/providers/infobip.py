"""Infobip: texts by its SMS API 3, delivery reports and inbound texts.

Written after https://www.infobip.com/docs/api/channels/sms/outbound-sms/send-sms-messages (`/sms/3/messages`),
https://www.infobip.com/docs/essentials/api-essentials/response-status-and-error-codes,
https://www.infobip.com/docs/developer-resources/api-fundamentals/webhooks and
https://www.infobip.com/docs/api/channels/sms/inbound-sms/receive-inbound-sms-messages.

Infobip signs nothing by itself. So its calls carry a secret of ours: in the URL that we give it with each message, and
that the operator gives it for inbound texts; or as the password of Basic authentication, where the account sends one.
"""

import base64
import time
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

import msgspec
from msgspec import Meta

from verify_service.adapters import Adapter, AdapterContext, Secret, Settings
from verify_service.duration import Duration
from verify_service.errors import ConfigError, DeliveryError, Forged, Rejected, Unavailable, Uncertain
from verify_service.model import Callback, InboundText, Message, Receipt
from verify_service.providers import http

# `groupId` of a status.
_ON_ITS_WAY = frozenset({0, 1})
_DELIVERED = 3
# `name` of a status, where it speaks of the number itself. The others speak of the account, the sender or the moment.
_NEVER = {
    "REJECTED_DESTINATION": "invalid number",
    "REJECTED_DESTINATION_BLOCKLISTED": "number blocked",
    "REJECTED_DND": "number refuses service texts",
    "REJECTED_PREFIX_MISSING": "invalid number",
}
# Delivered to the operator is in group 3, but the handset's report may follow.
_OPERATOR_ONLY = "DELIVERED_TO_OPERATOR"

_SHORTEST_SECRET = 20
_LONGEST = 2_880  # minutes of a validityPeriod


class InfobipSettings(Settings, frozen=True, kw_only=True):
    """An account of Infobip's. `url` is its own base URL; `callback_secret` is ours, in the calls to us: without it no
    reports are asked for and none is believed."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+\Z")]
    api_key: Secret
    callback_secret: Secret | None = None
    timeout: Duration = Duration("5 seconds")


class InfobipProvider:
    """One account."""

    def __init__(self, settings: InfobipSettings, context: AdapterContext) -> None:
        headers = {
            "authorization": f"App {context.secret(settings.api_key)}",
            "content-type": "application/json",
            "accept": "application/json",
        }
        self._endpoint = http.Endpoint(f"{settings.url}/sms/3/messages", settings.timeout.seconds, headers)
        secret = _secret(settings, context)
        self._receipts = f"{context.callbacks}/receipts?token={quote(secret)}" if context.callbacks and secret else None

    def send(self, message: Message) -> Receipt:
        minutes = int((message.expires_at / 1000 - time.time()) / 60)
        text: dict[str, object] = {
            "sender": message.sender.removeprefix("+"),
            "destinations": [{"to": message.to.removeprefix("+")}],
            "content": {"text": message.body},
            "options": {"validityPeriod": {"amount": min(max(minutes, 1), _LONGEST), "timeUnit": "MINUTES"}},
        }
        if self._receipts:
            text["webhooks"] = {
                "delivery": {"url": self._receipts, "intermediateReport": False},
                "contentType": "application/json",
            }
        answer = self._endpoint.post(msgspec.json.encode({"messages": [text]}), {})
        if not answer.accepts:
            raise http.failure(answer.status)
        told = http.told(answer, _Sent).messages
        if len(told) != 1:
            raise Uncertain("unreadable answer")
        status = told[0].status
        if status.group not in _ON_ITS_WAY and status.group != _DELIVERED:
            raise _refusal(status.name)
        return Receipt(told[0].id, segments=told[0].details.segments or None)

    def close(self) -> None:
        self._endpoint.close()


class InfobipCallbacks:
    """Calls from Infobip, each with our secret."""

    def __init__(self, settings: InfobipSettings, context: AdapterContext) -> None:
        self._secret = _secret(settings, context)
        self._stray = context.stray

    def receipts(self, call: Callback) -> Sequence[Receipt]:
        self._check(call)
        return [_receipt(report) for report in self._results(call, _Report)]

    def inbound(self, call: Callback) -> Sequence[InboundText]:
        self._check(call)
        texts = self._results(call, _Text)
        return [InboundText(text.id, http.address(text.from_), http.address(text.to), text.text) for text in texts]

    def _results(self, call: Callback, kind: type[http.Decoded]) -> list[http.Decoded]:
        return http.entries(http.json(call.body, _Results).results, kind, self._stray)

    def _check(self, call: Callback) -> None:
        scheme, _, credentials = call.headers.get("authorization", "").partition(" ")
        try:
            login = base64.b64decode(credentials, validate=True).decode() if scheme.lower() == "basic" else ""
        except ValueError:
            login = ""
        theirs = login.partition(":")[2] or http.query(call).get("token", "")
        if not self._secret or not http.same(self._secret, theirs):
            raise Forged("without the secret that we gave Infobip")


class _Status(msgspec.Struct, rename={"group": "groupId"}):
    group: int
    name: str


class _Details(msgspec.Struct, rename={"segments": "messageCount"}):
    segments: int = 0


class _Taken(msgspec.Struct, rename={"id": "messageId"}):
    id: str
    status: _Status
    details: _Details = msgspec.field(default_factory=_Details)


class _Sent(msgspec.Struct):
    messages: list[_Taken]


class _Price(msgspec.Struct, rename={"each": "pricePerMessage"}):
    each: float | None = None
    currency: str | None = None


class _Error(msgspec.Struct):
    name: str = "NO_ERROR"
    permanent: bool = False


class _Report(msgspec.Struct, rename={"id": "messageId", "segments": "messageCount", "carrier": "mccMnc"}):
    id: str
    status: _Status
    error: _Error | None = None
    segments: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    carrier: str | None = None
    price: _Price | None = None


class _Text(msgspec.Struct, rename={"id": "messageId", "from_": "from"}):
    id: str
    from_: str
    to: str
    text: str


class _Results(msgspec.Struct):
    results: list[msgspec.Raw]


def _refusal(name: str) -> DeliveryError:
    return Rejected(f"{_NEVER[name]} ({name})", permanent=True) if name in _NEVER else Unavailable(_word(name))


def _receipt(report: _Report) -> Receipt:
    price = None
    if report.price and report.price.each is not None and report.price.currency == "USD":
        price = http.amount(report.price.each * (report.segments or 1))
    status, carrier = report.status, http.network(report.carrier)
    if status.group == _DELIVERED and status.name != _OPERATOR_ONLY:
        return Receipt(report.id, "delivered", segments=report.segments, price=price, carrier=carrier)
    if status.group in _ON_ITS_WAY or status.group == _DELIVERED:
        return Receipt(report.id, segments=report.segments, price=price, carrier=carrier)
    error = report.error or _Error()
    reason = _word(status.name if error.name == "NO_ERROR" else error.name)
    permanent = error.permanent or status.name in _NEVER
    return Receipt(report.id, "failed", reason, permanent, report.segments, price, carrier)


def _word(name: str) -> str:
    """A name of Infobip's, such as EC_ABSENT_SUBSCRIBER; nothing else that may stand in its place is repeated."""
    known = name.isascii() and name.replace("_", "").isalnum() and not any(char.isdigit() for char in name)
    return name[:64] if known else "unnamed error"


def _secret(settings: InfobipSettings, context: AdapterContext) -> str:
    if not settings.callback_secret:
        return ""
    secret = context.secret(settings.callback_secret)
    if len(secret) < _SHORTEST_SECRET or not secret.isascii() or not secret.isprintable():
        raise ConfigError(f"`callback_secret` needs {_SHORTEST_SECRET} or more ASCII characters")
    return secret


ADAPTER = Adapter(settings=InfobipSettings, provider=InfobipProvider, callbacks=InfobipCallbacks, needs_public_url=True)
