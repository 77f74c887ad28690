"""Vonage's side: credentials among the parameters, 200 whatever happens, SHA-256 HMAC over the sorted fields."""

import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode

from tests.support.peers.contract import CODE, PUBLIC_URL, UCS_2, Outcome, Taken
from tests.support.peers.http_peer import Asked, HttpPeer, Reply
from verify_service.errors import DeliveryError, Rejected, Unavailable, Uncertain
from verify_service.model import Callback, InboundText, Message

# `how` → `status` of the answer's one message.
_ERRORS = {
    "denies": "4",
    "throttles": "1",
    "rejects": "7",
    "has deactivated the number": "33",
    "knows no such sender": "15",
    "has no credit of ours": "9",
    "does not know the prefix": "6",
    "errs in mid-way": "5",
    "answers a new status": "77",
}
_STATUS: Mapping[Outcome, tuple[str, str]] = {
    "on its way": ("buffered", "0"),
    "delivered": ("delivered", "0"),
    "failed": ("failed", "2"),
    "failed for good": ("failed", "3"),
}


class VonagePeer(HttpPeer):
    kind = "vonage"
    reasons = {"failed": "absent for now (2)", "failed for good": "number no longer active (3)"}  # noqa: RUF012
    known = {"carrier": "26201"}  # noqa: RUF012
    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = {
        **HttpPeer.refusals,
        "has deactivated the number": Rejected,
        "knows no such sender": Unavailable,
        "has no credit of ours": Unavailable,
        "does not know the prefix": Unavailable,
        "errs in mid-way": Uncertain,
        "answers a new status": Uncertain,
    }
    says_never = frozenset({"rejects", "has deactivated the number"})
    secrets = {"API": "the-api-secret", "SIGNATURE": "the-signature-secret"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)

    def table(self) -> dict[str, Any]:
        return {"api_key": "abcd1234", "api_secret": "env:API", "signature_secret": "env:SIGNATURE", "url": self.url}

    def expected(self, message: Message) -> Taken:
        return Taken(message.to, message.sender, message.body)

    def answer(self, asked: Asked) -> Reply:
        told = dict(parse_qsl(asked.body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict"))
        if (told.pop("api_key", None), told.pop("api_secret", None)) != ("abcd1234", self.secrets["API"]):
            return _sent({"status": "4", "error-text": "Bad Credentials"})
        if self.how in _ERRORS:
            return _sent(
                {"status": _ERRORS[self.how], "error-text": f"no +4915112345678 {CODE}", "to": "4915112345678"}
            )
        if asked.path != "/sms/json" or asked.headers.get("content-type") != "application/x-www-form-urlencoded":
            self.wrong.append("not where or not how texts are sent")
        to, sender, text = told.pop("to"), told.pop("from"), told.pop("text")
        if not to.isdecimal() or sender.startswith("+"):
            self.wrong.append("a number with a plus")
        if told.pop("type") != ("unicode" if text == UCS_2 else "text"):
            self.wrong.append("in the wrong alphabet")
        if (told.pop("callback", None), told.pop("status-report-req", None)) != (f"{PUBLIC_URL}/receipts", "1"):
            self.wrong.append("no receipt asked for")
        if not 500_000 <= int(told.pop("ttl")) <= 600_000:
            self.wrong.append("outlives its code")
        if len(told.pop("client-ref")) > 100 or told:
            self.wrong.append(f"unknown parameters {sorted(told)}, or too long a reference")
        self.taken.append(Taken(f"+{to}", f"+{sender}" if sender.isdecimal() else sender, text))
        return _sent(
            {
                "to": to,
                "message-id": f"{next(self._ids):016X}",
                "status": "0",
                "remaining-balance": "3.14159265",
                "message-price": "0.03330000",
                "network": "26201",
            }
        )

    def receipt(self, provider_id: str, outcome: Outcome) -> Callback:
        status, error = _STATUS[outcome]
        return self.call(
            "receipts",
            {
                "msisdn": "4915112345678",
                "to": "14155550100",
                "network-code": "26201",
                "messageId": provider_id,
                "price": "0.03330000",
                "status": status,
                "scts": "2611212359",
                "err-code": error,
                "api-key": "abcd1234",
                "message-timestamp": "2026-11-21 23:59:00",
            },
        )

    def text(self, text: InboundText) -> Callback:
        told = {
            "msisdn": text.from_.removeprefix("+"),
            "to": text.to.removeprefix("+"),
            "messageId": text.id,
            "text": text.body,
            "type": "text",
            "keyword": text.body.upper(),
            "api-key": "abcd1234",
        }
        return self.call("inbound", told)

    def call(
        self,
        where: str,
        told: Mapping[str, str],
        secret: str | None = None,
        ago_s: int = 0,
        by: str = "POST",
    ) -> Callback:
        """As Vonage calls: by GET, a form (POST) or JSON, with the time, a nonce and the signature among the rest."""
        fields = {**told, "timestamp": str(self.clock.now() // 1000 - ago_s), "nonce": "bf0bf8a0"}
        text = "".join(f"&{name}={fields[name].replace('&', '_').replace('=', '_')}" for name in sorted(fields))
        mac = hmac.new((secret or self.secrets["SIGNATURE"]).encode(), text.encode(), hashlib.sha256)
        fields["sig"] = mac.hexdigest().upper()
        url = f"{PUBLIC_URL}/{where}"
        if by == "GET":
            return Callback("GET", f"{url}?{urlencode(fields)}", {}, b"")
        if by == "JSON":
            return Callback("POST", url, {"content-type": "application/json"}, json.dumps(fields).encode())
        return Callback("POST", url, {"content-type": "application/x-www-form-urlencoded"}, urlencode(fields).encode())

    def forgeries(self, call: Callback) -> Mapping[str, Callback]:
        told = dict(parse_qsl(call.body.decode(), keep_blank_values=True))
        bare = {name: value for name, value in told.items() if name not in ("sig", "timestamp", "nonce")}
        where = call.url.rpartition("/")[2]

        def changed(**fields: str) -> Callback:
            return Callback("POST", call.url, call.headers, urlencode(told | fields).encode())

        unsigned = urlencode({name: value for name, value in told.items() if name != "sig"})
        return {
            "unsigned": Callback("POST", call.url, call.headers, unsigned.encode()),
            "an empty signature": changed(sig=""),
            "another key": self.call(where, bare, secret=self.secrets["API"]),
            "a changed number": changed(msisdn="4915112345679"),
            "a new field": changed(extra="1"),
            "two days old": self.call(where, bare, ago_s=2 * 86_400),
            "from the future": self.call(where, bare, ago_s=-2 * 86_400),
            "in other letters": changed(sig="ſ" * 64),
        }

    def unreadable(self) -> Mapping[str, Callback]:
        url, headers = f"{PUBLIC_URL}/receipts", {"content-type": "application/json"}
        return {
            "neither": self.call("receipts", {"api-key": "abcd1234"}),
            "no JSON": Callback("POST", url, headers, b"{"),
            "a list": Callback("POST", url, headers, b"[]"),
            "deep JSON": Callback("POST", url, headers, b'{"a":' * 5_000),
            "no text": Callback("POST", url, {}, b"\xff\xfe"),
            "too much": Callback("POST", url, {}, b"a=b&" * 1_000),
        }


def _sent(message: Mapping[str, str]) -> Reply:
    return Reply(200, json.dumps({"message-count": "1", "messages": [message]}).encode())
