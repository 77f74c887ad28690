"""Vonage SMS API (once Nexmo): texts, delivery receipts and inbound texts with signed webhooks.

Written after https://developer.vonage.com/en/api/sms,
https://developer.vonage.com/en/messaging/sms/guides/troubleshooting-sms
(status), https://developer.vonage.com/en/messaging/sms/guides/delivery-receipts (err-code) and
https://developer.vonage.com/en/getting-started/concepts/signing-messages.
"""

import hmac
import time
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from verify_service.adapters import Adapter, AdapterContext, Secret, Settings
from verify_service.duration import Duration
from verify_service.errors import Forged, Rejected, Unavailable, Uncertain
from verify_service.model import Callback, Clock, InboundText, Message, Receipt
from verify_service.providers import http

# `status` of a send: 0 is accepted, 5 an error of theirs in mid-way. The numbers that will never get one:
_NEVER = {"7": "number barred", "33": "number deactivated"}
_STATUS = {
    "1": "throttled",
    "2": "missing parameter",
    "3": "invalid parameter",
    "4": "invalid credentials",
    "6": "number not recognised",
    "8": "account suspended",
    "9": "no credit",
    "10": "too many connections",
    "11": "account not enabled for HTTP",
    "12": "message too long",
    "14": "invalid signature",
    "15": "invalid sender",
    "22": "invalid network code",
    "23": "invalid callback URL",
    "29": "not among the account's test numbers",
    "32": "signature not allowed",
}

# `status` of a delivery receipt; what stands in neither is on its way still.
_DELIVERED = frozenset({"delivered"})
_FAILED = frozenset({"expired", "failed", "rejected", "deleted"})
_ERRORS = {
    "1": "unknown",
    "2": "absent for now",
    "3": "number no longer active",
    "4": "barred by its user",
    "5": "portability",
    "6": "taken for spam",
    "7": "handset busy",
    "8": "network error",
    "9": "opted out",
    "10": "illegal message",
    "11": "no route",
    "12": "number cannot be reached",
    "13": "age restriction",
    "14": "barred by its carrier",
    "15": "prepaid without funds",
}
_PERMANENT = frozenset({"3", "4", "12", "14"})
_OPTED_OUT = "9"

_SHORTEST_MS, _LONGEST_MS = 20_000, 604_800_000  # a ttl
# Vonage repeats a call for a day where it was not taken; what was signed before may be somebody's recording.
_FRESH_S = 25 * 3600


class VonageSettings(Settings, frozen=True, kw_only=True):
    """An account of Vonage's. `signature_secret` signs its calls to us, by SHA-256 HMAC: without it none is believed.
    `currency` is the account's: prices are kept where it is US dollars."""

    api_key: Annotated[str, Meta(pattern=r"^[0-9a-zA-Z]{1,32}\Z")]
    api_secret: Secret
    signature_secret: Secret | None = None
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] = "EUR"
    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+\Z")] = "https://rest.nexmo.com"
    timeout: Duration = Duration("5 seconds")


class VonageProvider:
    """One account."""

    def __init__(self, settings: VonageSettings, context: AdapterContext) -> None:
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        self._endpoint = http.Endpoint(f"{settings.url}/sms/json", settings.timeout.seconds, headers)
        self._login = {"api_key": settings.api_key, "api_secret": context.secret(settings.api_secret)}
        self._receipts = f"{context.callbacks}/receipts" if context.callbacks and settings.signature_secret else None
        self._dollars = settings.currency == "USD"

    def send(self, message: Message) -> Receipt:
        left = message.expires_at - time.time() * 1000
        parameters = {
            **self._login,
            "from": message.sender.removeprefix("+"),
            "to": message.to.removeprefix("+"),
            "text": message.body,
            "type": "unicode" if message.encoding == "UCS-2" else "text",
            "ttl": str(round(min(max(left, _SHORTEST_MS), _LONGEST_MS))),
            "client-ref": message.id,
        }
        if self._receipts:
            parameters |= {"status-report-req": "1", "callback": self._receipts}
        answer = self._endpoint.post(urlencode(parameters).encode(), {})
        if not answer.accepts:
            raise http.failure(answer.status)
        return self._judge(http.told(answer, _Sent).messages)

    def close(self) -> None:
        self._endpoint.close()

    def _judge(self, parts: Sequence["_Part"]) -> Receipt:
        """The first part that was not accepted says what became of the whole; its text may hold the number, so only
        the status is repeated."""
        if not parts:
            raise Uncertain("unreadable answer")
        for part in parts:
            if part.status in _NEVER:
                raise Rejected(f"{_NEVER[part.status]} ({part.status})", permanent=True)
            if part.status in _STATUS:
                raise Unavailable(f"{_STATUS[part.status]} ({part.status})")
            if part.status != "0":
                raise Uncertain(f"error at Vonage ({part.status})" if part.status == "5" else "unknown status")
        prices = [http.amount(part.price) for part in parts] if self._dollars else [None]
        known = [price for price in prices if price is not None]
        price = http.amount(sum(known)) if len(known) == len(parts) else None
        return Receipt(parts[0].id, segments=len(parts), price=price, carrier=http.network(parts[0].network))


class VonageCallbacks:
    """Calls from Vonage as its account says, by GET or POST. The signature covers every field and the time, not the
    URL: a receipt is no text and a text no receipt, so one is worthless at the other's address."""

    def __init__(self, settings: VonageSettings, context: AdapterContext) -> None:
        self._secret = context.secret(settings.signature_secret).encode() if settings.signature_secret else None
        self._clock: Clock = context.clock
        self._dollars = settings.currency == "USD"

    def receipts(self, call: Callback) -> Sequence[Receipt]:
        told = self._read(call)
        provider_id, status = told.get("messageId"), told.get("status")
        if not provider_id or not status or "text" in told:
            raise ValueError("no delivery receipt")
        price = http.amount(told.get("price")) if self._dollars else None
        carrier = http.network(told.get("network-code"))
        if status in _DELIVERED:
            return [Receipt(provider_id, "delivered", price=price, carrier=carrier)]
        if status not in _FAILED:
            return [Receipt(provider_id, price=price, carrier=carrier)]
        error = told.get("err-code", "")
        reason = f"{_ERRORS[error]} ({error})" if error in _ERRORS else status
        permanent, opted_out = error in _PERMANENT, error == _OPTED_OUT
        return [Receipt(provider_id, "failed", reason, permanent, None, price, carrier, opted_out)]

    def inbound(self, call: Callback) -> Sequence[InboundText]:
        told = self._read(call)
        try:
            phone, to = http.address(told["msisdn"]), http.address(told["to"])
            return [InboundText(told["messageId"], phone, to, told["text"])]
        except KeyError as missing:
            raise ValueError(f"no {missing}") from None

    def _read(self, call: Callback) -> dict[str, str]:
        told = http.fields(call)
        theirs = told.pop("sig", "").lower()
        text = "".join(f"&{name}={_bare(value)}" for name, value in sorted(told.items()))
        ours = hmac.digest(self._secret, text.encode(), "sha256").hex() if self._secret else ""
        if not ours or not http.same(ours, theirs):
            raise Forged("no signature of Vonage's")
        signed_at = told.get("timestamp", "")
        if not signed_at.isdecimal() or abs(self._clock.now() / 1000 - int(signed_at[:12])) > _FRESH_S:
            raise Forged("signed too long ago")
        return told


class _Part(msgspec.Struct, rename={"id": "message-id", "price": "message-price"}):
    """One segment of a text, each sent and billed alone."""

    status: str
    id: str | None = None
    price: str | None = None
    network: str | None = None


class _Sent(msgspec.Struct):
    messages: list[_Part]


def _bare(value: str) -> str:
    """As it stands in the signed text, where & and = would end it."""
    return value.replace("&", "_").replace("=", "_")


ADAPTER = Adapter(settings=VonageSettings, provider=VonageProvider, callbacks=VonageCallbacks, needs_public_url=True)
