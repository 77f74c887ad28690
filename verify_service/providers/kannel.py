"""Kannel's sendsms: texts by POST with X-Kannel headers, so that neither code nor password stands in an access log.

Kannel answers no id of a message, so the id is ours: the URL that Kannel calls with a receipt carries it, and a MAC of
it. Written after the user guide of Kannel 1.4.5 ("Delivery reports" and chapter 6) and what its smsbox answers.
"""

import hmac
import re
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Meta

from verify_service.adapters import Adapter, AdapterContext, Secret, Settings
from verify_service.duration import Duration
from verify_service.errors import ConfigError, Forged, Rejected, Uncertain
from verify_service.model import Callback, InboundText, Message, Receipt
from verify_service.providers import http

# What smsbox writes where the number is at fault; whatever else it refuses says that nothing was sent.
_REJECTED = (b"denied by white- and/or black-lists", b"Illegal characters in 'to'", b"Empty receiver number")

# Bits of a receipt's status: delivered, not delivered, refused by the SMSC. Only these three final words are asked for.
_DELIVERED, _FAILED, _REFUSED = 1, 2, 16
# The SMSC's own words, as Kannel passes them on: of an SMPP receipt, or of a submit that was refused.
_STATE, _ERROR = re.compile(r"\bstat:([A-Z]+)"), re.compile(r"(?:\berr:|^NACK/)([0-9A-Za-z]+)")
# %C of a text: what %b is written in.
_CHARSETS = {"UTF-8": "utf-8", "UTF-16BE": "utf-16-be", "ISO-8859-1": "latin-1", "WINDOWS-1252": "cp1252"}
_MOST_FIELDS = 20
_KEY = re.compile(r"[A-Za-z0-9._~-]{16,}")


class KannelSettings(Settings, frozen=True, kw_only=True):
    """A `sendsms-user` of a smsbox. `smsc` picks one of Kannel's routes; `callback_secret` makes Kannel's calls to us
    believable: without it no receipt is asked for and none believed. `permanent_errors` are the errors of the SMSC
    behind it that will never change for a number, `opted_out_errors` those that say that its owner wants no more."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+/\S*\Z")]
    username: Annotated[str, Meta(pattern=r"^[!-~]+\Z")]
    password: Secret
    smsc: Annotated[str, Meta(pattern=r"^[!-~]+\Z")] | None = None
    callback_secret: Secret | None = None
    permanent_errors: tuple[str, ...] = ()
    opted_out_errors: tuple[str, ...] = ()
    timeout: Duration = Duration("5 seconds")


class KannelProvider:
    """One user of one smsbox."""

    def __init__(self, settings: KannelSettings, context: AdapterContext) -> None:
        headers = {
            "content-type": "text/plain; charset=UTF-8",
            "x-kannel-username": settings.username,
            "x-kannel-password": context.secret(settings.password),
        }
        if settings.smsc:
            headers["x-kannel-smsc"] = settings.smsc
        self._endpoint = http.Endpoint(settings.url, settings.timeout.seconds, headers)
        self._clock = context.clock
        self._seal = _Seal(settings, context)
        # Kannel fills in what follows a %, so one that is meant is written twice.
        self._receipts = context.callbacks.replace("%", "%%") + "/receipts" if context.callbacks else None

    def send(self, message: Message) -> Receipt:
        headers = {
            "x-kannel-from": message.sender,
            "x-kannel-to": message.to,
            "x-kannel-coding": "2" if message.encoding == "UCS-2" else "0",
            "x-kannel-validity": str(max(1, (message.expires_at - self._clock.now()) // 60_000)),
        }
        if self._receipts and (mac := self._seal.of(message.id)):
            signed = urlencode({"id": message.id, "mac": mac})
            headers["x-kannel-dlr-mask"] = str(_DELIVERED | _FAILED | _REFUSED)
            headers["x-kannel-dlr-url"] = f"{self._receipts}?{signed}&status=%d&reply=%A"
        answer = self._endpoint.post(message.body.encode(), headers)
        if answer.status == 202:  # "0: Accepted for delivery" or "3: Queued for later delivery"
            return Receipt(provider_id=message.id)
        if answer.accepts:
            raise Uncertain("unreadable answer")
        if answer.status == 400 and any(words in answer.body for words in _REJECTED):
            raise Rejected("number denied by Kannel")
        raise http.failure(answer.status)

    def close(self) -> None:
        self._endpoint.close()


class KannelCallbacks:
    """Kannel's calls: a receipt at the URL that went with the message, a text at the `get-url` of kannel.conf."""

    def __init__(self, settings: KannelSettings, context: AdapterContext) -> None:
        self._seal = _Seal(settings, context)
        self._permanent = frozenset(settings.permanent_errors)
        self._opted_out = frozenset(settings.opted_out_errors)

    def receipts(self, call: Callback) -> Sequence[Receipt]:
        told = _fields(call)
        provider_id, word = told.get("id", ""), told.get("status", "")
        self._seal.check(self._seal.of(provider_id), told.get("mac", ""))
        if not word.isdecimal():
            raise ValueError("no status")
        status = int(word)
        if status & _DELIVERED:
            return [Receipt(provider_id, "delivered")]
        if not status & (_FAILED | _REFUSED):
            return [Receipt(provider_id)]
        reply = told.get("reply", "")
        said = [found[1] for found in (_STATE.search(reply), _ERROR.search(reply)) if found]
        permanent, opted_out = (bool(errors.intersection(said)) for errors in (self._permanent, self._opted_out))
        reason = " ".join(said) or f"status {status}"
        return [Receipt(provider_id, "failed", reason, permanent, opted_out=opted_out)]

    def inbound(self, call: Callback) -> Sequence[InboundText]:
        told = _fields(call)
        self._seal.check(self._seal.key, told.get("key", ""))
        try:
            text = told["text"].encode("latin-1").decode(_CHARSETS[told["charset"]])
            return [InboundText(told["id"], http.address(told["from"]), http.address(told["to"]), text)]
        except KeyError as missing:
            raise ValueError(f"no {missing}") from None


class _Seal:
    """What makes a call believable; with no `callback_secret` nothing does. Raises ConfigError for a weak one."""

    def __init__(self, settings: KannelSettings, context: AdapterContext) -> None:
        self.key = context.secret(settings.callback_secret) if settings.callback_secret else ""
        if settings.callback_secret and not _KEY.fullmatch(self.key):
            raise ConfigError("`callback_secret` needs 16 or more letters and digits, for it stands in a URL")
        self._name = context.name

    def of(self, message_id: str) -> str:
        """The MAC of a message's id; nothing where there is no secret."""
        if not self.key:
            return ""
        return hmac.digest(self.key.encode(), f"{self._name}\n{message_id}".encode(), "sha256").hex()

    def check(self, ours: str, theirs: str) -> None:
        """Raises Forged where the two differ, or there is none of ours."""
        if not ours or not http.same(ours, theirs):
            raise Forged("no call of this Kannel's")


def _fields(call: Callback) -> dict[str, str]:
    """The fields of the URL, each character an octet: a text comes in an alphabet of its own. Raises ValueError."""
    query = urlsplit(call.url).query
    return dict(parse_qsl(query, keep_blank_values=True, encoding="latin-1", max_num_fields=_MOST_FIELDS))


ADAPTER = Adapter(settings=KannelSettings, provider=KannelProvider, callbacks=KannelCallbacks, needs_public_url=True)
