"""Twilio's side: basic authentication, form-encoded requests, JSON answers, X-Twilio-Signature."""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlencode
from xml.etree import ElementTree

from tests.support.peers.contract import CODE, PUBLIC_URL, Outcome, Taken
from tests.support.peers.http_peer import Asked, HttpPeer, Reply
from verify_service.errors import DeliveryError, Rejected, Unavailable
from verify_service.model import Callback, InboundText, Message

ACCOUNT = "AC" + "0a" * 16
KEY = "SK" + "1b" * 16
TEMPLATE = "HX" + "2c" * 16
# `how` → status and code of the answer.
_ERRORS = {
    "throttles": (429, 20429),
    "rejects": (400, 21211),
    "opted out": (400, 21610),
    "is no mobile": (400, 21614),
    "knows no such sender": (400, 21606),
    "serves no such country": (400, 21408),
    "is not on WhatsApp": (400, 63003),
    "is out of RCS's reach": (400, 63036),
    "has suspended us": (403, 20005),
}
_STATUS: Mapping[Outcome, tuple[str, int | None]] = {
    "on its way": ("sent", None),
    "delivered": ("delivered", None),
    "failed": ("undelivered", 30003),
    "failed for good": ("undelivered", 30005),
}


class TwilioPeer(HttpPeer):
    kind = "twilio"
    reasons = {"failed": "undelivered (30003)", "failed for good": "unknown number (30005)"}  # noqa: RUF012
    channels = ("sms", "rcs", "voice", "whatsapp")
    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = {
        **HttpPeer.refusals,
        "opted out": Rejected,
        "is no mobile": Rejected,
        "is not on WhatsApp": Rejected,
        "is out of RCS's reach": Rejected,
        "knows no such sender": Unavailable,
        "serves no such country": Unavailable,
        "has suspended us": Unavailable,
    }
    says_never = frozenset({"rejects", "is no mobile", "is not on WhatsApp"})
    secrets = {"TOKEN": "the-account's-auth-token", "API": "the-api-key's-secret"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)

    def table(self) -> dict[str, Any]:
        return {
            "account": ACCOUNT,
            "auth_token": "env:TOKEN",
            "api_key": KEY,
            "api_secret": "env:API",
            "content": {"*": TEMPLATE},
            "url": self.url,
        }

    def expected(self, message: Message) -> Taken:
        text = message.code if message.channel == "whatsapp" else message.body
        return Taken(message.to, message.sender, text, message.channel)

    def answer(self, asked: Asked) -> Reply:
        login = "Basic " + base64.b64encode(f"{KEY}:{self.secrets['API']}".encode()).decode()
        if self.how == "denies" or asked.headers.get("authorization") != login:
            return _error(401, 20003)
        if self.how in _ERRORS:
            return _error(*_ERRORS[self.how])
        told = dict(parse_qsl(asked.body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict"))
        if asked.headers.get("content-type") != "application/x-www-form-urlencoded":
            self.wrong.append("no form")
        if told.pop("StatusCallback", None) != f"{PUBLIC_URL}/receipts":
            self.wrong.append("no status callback")
        sid = f"{next(self._ids):032x}"
        if asked.path == f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json":
            say = ElementTree.fromstring(told.pop("Twiml")).find("Say")  # noqa: S314
            assert say is not None
            taken, sid = Taken(told.pop("To"), told.pop("From"), say.text or "", "voice"), f"CA{sid}"
            if say.attrib != {"voice": "Polly.Joanna"}:
                self.wrong.append("spoken by somebody else, or again and again")
        elif asked.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json":
            if not 500 <= int(told.pop("ValidityPeriod")) <= 600:
                self.wrong.append("outlives its code")
            sender, to = told.pop("From"), told.pop("To")
            if to.startswith("whatsapp:"):
                if told.pop("ContentSid") != TEMPLATE or not sender.startswith("whatsapp:"):
                    self.wrong.append("another template, or no WhatsApp sender")
                code = json.loads(told.pop("ContentVariables"))["1"]
                taken = Taken(to.removeprefix("whatsapp:"), sender.removeprefix("whatsapp:"), code, "whatsapp")
            elif to.startswith("rcs:"):
                if not sender.startswith("rcs:"):
                    self.wrong.append("no RCS sender")
                taken = Taken(to.removeprefix("rcs:"), sender.removeprefix("rcs:"), told.pop("Body"), "rcs")
            else:
                taken = Taken(to, sender, told.pop("Body"))
            sid = f"SM{sid}"
        else:
            return _error(404, 20404)
        if told:
            self.wrong.append(f"unknown parameters {sorted(told)}")
        self.taken.append(taken)
        return Reply(201, json.dumps({"sid": sid, "status": "queued", "num_segments": "1", "price": None}).encode())

    def receipt(self, provider_id: str, outcome: Outcome) -> Callback:
        status, error = _STATUS[outcome]
        told = {
            "AccountSid": ACCOUNT,
            "ApiVersion": "2010-04-01",
            "From": "+14155550100",
            "MessageSid": provider_id,
            "MessageStatus": status,
            "SmsSid": provider_id,
            "To": "+4915112345678",
        }
        return self.call("receipts", told | ({"ErrorCode": str(error)} if error else {}))

    def text(self, text: InboundText) -> Callback:
        told = {"AccountSid": ACCOUNT, "MessageSid": text.id, "From": text.from_, "To": text.to, "Body": text.body}
        return self.call("inbound", told | {"NumMedia": "0"})

    def call(self, where: str, told: Mapping[str, str], token: str | None = None, url: str | None = None) -> Callback:
        """As Twilio calls: the URL, and each field and its value in the fields' order, signed with the auth token."""
        url = url or f"{PUBLIC_URL}/{where}"
        signed = url + "".join(name + told[name] for name in sorted(told))
        mac = hmac.new((token or self.secrets["TOKEN"]).encode(), signed.encode(), hashlib.sha1)
        headers = {
            "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
            "x-twilio-signature": base64.b64encode(mac.digest()).decode(),
        }
        return Callback("POST", url, headers, urlencode(told).encode())

    def forgeries(self, call: Callback) -> Mapping[str, Callback]:
        told = dict(parse_qsl(call.body.decode(), keep_blank_values=True))
        where = call.url.rpartition("/")[2]
        return {
            "unsigned": Callback(call.method, call.url, {"content-type": call.headers["content-type"]}, call.body),
            "another key": self.call(where, told, token=self.secrets["API"]),
            "a changed body": Callback(call.method, call.url, call.headers, call.body + b"&Extra=1"),
            "a changed value": Callback(call.method, call.url, call.headers, call.body.replace(b"AC0a", b"AC0b")),
            "at another address": Callback(call.method, f"{PUBLIC_URL}-2/{where}", call.headers, call.body),
            "with a query": Callback(call.method, f"{call.url}?a=b", call.headers, call.body),
            "by GET": Callback("GET", f"{call.url}?{call.body.decode()}", call.headers, b""),
        }

    def unreadable(self) -> Mapping[str, Callback]:
        return {
            "nothing": self.call("receipts", {}),
            "something else": self.call("receipts", {"Digits": CODE, "AccountSid": ACCOUNT}),
            "no text": Callback("POST", f"{PUBLIC_URL}/receipts", {}, b"\xff\xfe%ff"),
            "too much": Callback("POST", f"{PUBLIC_URL}/receipts", {}, b"a=b&" * 1_000),
        }


def _error(status: int, code: int) -> Reply:
    message = f"The number +4915112345678 and the body {CODE} cannot be used"
    told = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return Reply(status, json.dumps(told).encode())
