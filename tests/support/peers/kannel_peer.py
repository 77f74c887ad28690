"""Kannel's smsbox for tests, as it answers sendsms and as it calls back; the real one is in tests/peers."""

import hmac
import itertools
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from tests.support.peers.contract import PUBLIC_URL, Outcome, Taken
from tests.support.peers.http_peer import Asked, HttpPeer, Reply
from verify_service.errors import DeliveryError, Unavailable
from verify_service.model import Callback, InboundText, Message

PASSWORD, KEY = "kannel-pass-word", "callback-key-of-kannel"
_STATUS: Mapping[Outcome, str] = {"on its way": "4", "delivered": "1", "failed": "34", "failed for good": "2"}
_REPLY: Mapping[Outcome, str] = {
    "on its way": "ACK/",
    "delivered": "id:7 sub:001 dlvrd:001 stat:DELIVRD err:000 text:493817 is",
    "failed": "id:7 sub:001 dlvrd:000 stat:EXPIRED err:027 text:stat:DELIVRD err:001",
    "failed for good": "NACK/11/Invalid destination address",
}


class KannelPeer(HttpPeer):
    kind = "kannel"
    reasons = {"failed": "EXPIRED 027", "failed for good": "11"}  # noqa: RUF012
    secrets: ClassVar[Mapping[str, str]] = {"KANNEL": PASSWORD, "KEY": KEY}
    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = {
        **HttpPeer.refusals,
        "has a busy bearerbox": Unavailable,
        "has no route": Unavailable,
    }

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()

    def table(self) -> dict[str, Any]:
        return {
            "url": f"{self.url}/cgi-bin/sendsms",
            "username": "verify",
            "password": "env:KANNEL",
            "callback_secret": "env:KEY",
            "permanent_errors": ["11"],
            "opted_out_errors": ["1042"],
        }

    def message(self, *args: Any, **changed: Any) -> Message:
        # The id of a message is what it is known by at Kannel, so each has its own.
        return super().message(*args, id=f"ve_{'0' * 32}.1800000000000-{next(self._numbers)}", **changed)

    def answer(self, asked: Asked) -> Reply:
        told = {name.removeprefix("x-kannel-"): value for name, value in asked.headers.items() if "x-kannel" in name}
        dlr = parse_qs(urlsplit(told.get("dlr-url", "")).query)
        for name, expected in (
            ("dlr-mask", "19"),
            ("validity", "10"),
            ("coding", "2" if not asked.body.decode().isascii() and "Кафе" in asked.body.decode() else "0"),
        ):
            if told.get(name) != expected:
                self.wrong.append(f"{name} {told.get(name)}")
        if asked.headers.get("content-type") != "text/plain; charset=UTF-8":
            self.wrong.append("content-type")
        expected_dlr = {"mac": [mac(*dlr.get("id", ""))], "status": ["%d"], "reply": ["%A"], "id": dlr.get("id")}
        if dlr != expected_dlr:
            self.wrong.append("dlr-url")
        match self.how:
            case "denies":
                return Reply(403, b"Authorization failed for sendsms", "text/html")
            case "rejects":
                return Reply(400, b"Number(s) has/have been denied by white- and/or black-lists.", "text/html")
            case "throttles" | "has a busy bearerbox":
                return Reply(503, b"Temporal failure, try again later.", "text/html")
            case "has no route":
                return Reply(404, b"Not routable. Do not try again.", "text/html")
        if (told.get("username"), told.get("password")) != ("verify", PASSWORD):
            self.wrong.append("credentials")
        self.taken.append(Taken(told["to"], told["from"], asked.body.decode()))
        return Reply(202, b"0: Accepted for delivery", "text/html")

    def receipt(self, provider_id: str, outcome: Outcome) -> Callback:
        fields = {"id": provider_id, "mac": mac(provider_id), "status": _STATUS[outcome], "reply": _REPLY[outcome]}
        return _call("receipts", urlencode(fields))

    def text(self, text: InboundText) -> Callback:
        # Kannel writes an unlikely text as UTF-16, octet by octet.
        charset = "UTF-8" if text.body.isascii() else "UTF-16BE"
        body = quote(text.body.encode("utf-8" if text.body.isascii() else "utf-16-be"))
        fields = {"key": KEY, "from": text.from_, "to": text.to, "id": text.id, "charset": charset}
        return _call("inbound", f"{urlencode(fields)}&text={body}")

    def forgeries(self, call: Callback) -> Mapping[str, Callback]:
        found = {
            "unsigned": _changed(call, mac="", key=""),
            "another key": _changed(call, mac="0" * 64, key="another"),
        }
        if "mac=" in call.url:
            found["another message"] = _changed(call, id="id-2")
        return found

    def unreadable(self) -> Mapping[str, Callback]:
        signed = urlencode({"id": "id-1", "mac": mac("id-1"), "key": KEY})
        text = f"{signed}&text=a&from=1&to=1"
        return {
            "nothing": _call("receipts", signed),
            "a status below nothing": _call("receipts", f"{signed}&status=-1"),
            "a status of words": _call("receipts", f"{signed}&status=1+or+so"),
            "no charset": _call("inbound", text),
            "a strange charset": _call("inbound", f"{text}&charset=x"),
            "half a character": _call("inbound", f"{signed}&text=%C3&from=1&to=1&charset=UTF-8"),
            "no sender": _call("inbound", f"{signed}&text=a&charset=UTF-8&to=1"),
            "too many fields": _call("receipts", "&".join(f"f{n}=1" for n in range(500))),
        }


def mac(message_id: str = "") -> str:
    return hmac.digest(KEY.encode(), f"it\n{message_id}".encode(), "sha256").hex()


def _call(place: str, query: str) -> Callback:
    return Callback(method="GET", url=f"{PUBLIC_URL}/{place}?{query}", headers={}, body=b"")


def _changed(call: Callback, **fields: str) -> Callback:
    url, _, query = call.url.partition("?")
    pairs = [pair.split("=", 1) for pair in query.split("&")]
    changed = "&".join(f"{name}={fields.get(name, value)}" for name, value in pairs)
    return Callback(method="GET", url=f"{url}?{changed}", headers={}, body=b"")
