"""Infobip's side: an API key, JSON by the rules of /sms/3/messages, reports in batches where they were asked for."""

import base64
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.support.peers.contract import CODE, PUBLIC_URL, Outcome, Taken
from tests.support.peers.http_peer import Asked, HttpPeer, Reply
from verify_service.errors import DeliveryError, Rejected, Unavailable
from verify_service.model import Callback, InboundText, Message

# `how` → group, id and name of the one message's status.
_ERRORS = {
    "rejects": (5, 52, "REJECTED_DESTINATION"),
    "finds the prefix missing": (5, 8, "REJECTED_PREFIX_MISSING"),
    "knows no such sender": (5, 13, "REJECTED_SENDER"),
    "has no credit of ours": (5, 12, "REJECTED_NOT_ENOUGH_CREDITS"),
    "has no route": (5, 18, "REJECTED_ROUTE_NOT_AVAILABLE"),
    "invents a status": (5, 999, f"+4915112345678 {CODE}"),
}
_STATUS: Mapping[Outcome, tuple[int, int, str, int, str, bool]] = {
    "on its way": (1, 7, "PENDING_ENROUTE", 0, "NO_ERROR", False),
    "delivered": (3, 5, "DELIVERED_TO_HANDSET", 0, "NO_ERROR", False),
    "failed": (2, 9, "UNDELIVERABLE_NOT_DELIVERED", 27, "EC_ABSENT_SUBSCRIBER", False),
    "failed for good": (2, 9, "UNDELIVERABLE_NOT_DELIVERED", 1, "EC_UNKNOWN_SUBSCRIBER", True),
}


class InfobipPeer(HttpPeer):
    kind = "infobip"
    reasons = {"failed": "EC_ABSENT_SUBSCRIBER", "failed for good": "EC_UNKNOWN_SUBSCRIBER"}  # noqa: RUF012
    known = {"segments": 2, "price": 0.1, "carrier": "26201"}  # noqa: RUF012
    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = {
        **HttpPeer.refusals,
        "finds the prefix missing": Rejected,
        "knows no such sender": Unavailable,
        "has no credit of ours": Unavailable,
        "has no route": Unavailable,
        "invents a status": Unavailable,
    }
    says_never = frozenset({"rejects", "finds the prefix missing"})
    secrets = {"KEY": "the-api-key", "CALLS": "a secret of ours & nobody else's"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(2_033_247_207_850_523_792)

    def table(self) -> dict[str, Any]:
        return {"url": self.url, "api_key": "env:KEY", "callback_secret": "env:CALLS"}

    def expected(self, message: Message) -> Taken:
        return Taken(message.to, message.sender, message.body)

    def answer(self, asked: Asked) -> Reply:
        if self.how == "denies" or asked.headers.get("authorization") != f"App {self.secrets['KEY']}":
            return _problem(401, "E401", "Unauthorized")
        if self.how == "throttles":
            return _problem(429, "E429", "Too many requests")
        if asked.path != "/sms/3/messages" or asked.headers.get("content-type") != "application/json":
            return _problem(404, "E404", "Not found")
        told = json.loads(asked.body)
        try:
            [message] = told.pop("messages")
            [destination] = message.pop("destinations")
            text, sender, to = message.pop("content").pop("text"), message.pop("sender"), destination.pop("to")
            hooks, options = message.pop("webhooks"), message.pop("options")
        except (KeyError, ValueError):
            return _problem(400, "E400", f"the number +4915112345678 or {CODE}")
        if told or message or destination:
            self.wrong.append("unknown members")
        delivery = urlsplit(hooks["delivery"]["url"])
        if f"{delivery.scheme}://{delivery.netloc}{delivery.path}" != f"{PUBLIC_URL}/receipts":
            self.wrong.append("no reports asked for")
        if parse_qs(delivery.query) != {"token": [self.secrets["CALLS"]]}:
            self.wrong.append("reports without the secret")
        if options["validityPeriod"]["amount"] not in (8, 9, 10) or options["validityPeriod"]["timeUnit"] != "MINUTES":
            self.wrong.append("outlives its code")
        if not to.isdecimal():
            self.wrong.append("a number with a plus")
        message_id = str(next(self._ids))
        group, number, name = _ERRORS.get(self.how or "", (1, 26, "PENDING_ACCEPTED"))
        if group == 1:
            self.taken.append(Taken(f"+{to}", f"+{sender}", text))
        status = {"groupId": group, "groupName": "-", "id": number, "name": name, "description": f"{to} {CODE}"}
        sent = {"messageId": message_id, "status": status, "destination": to, "details": {"messageCount": 1}}
        return Reply(200, json.dumps({"bulkId": "b1", "messages": [sent]}).encode())

    def report(self, provider_id: str, outcome: Outcome) -> dict[str, Any]:
        group, number, name, error, error_name, permanent = _STATUS[outcome]
        return {
            "bulkId": "b1",
            "messageId": provider_id,
            "to": "4915112345678",
            "sender": "14155550100",
            "sentAt": "2026-11-21T23:59:00.000+0000",
            "doneAt": "2026-11-21T23:59:01.000+0000",
            "messageCount": 2,
            "mccMnc": "26201",
            "price": {"pricePerMessage": 0.05, "currency": "USD"},
            "status": {"groupId": group, "groupName": "-", "id": number, "name": name, "description": "-"},
            "error": {
                "groupId": 1,
                "groupName": "HANDSET_ERRORS",
                "id": error,
                "name": error_name,
                "description": "-",
                "permanent": permanent,
            },
        }

    def receipt(self, provider_id: str, outcome: Outcome) -> Callback:
        return self.call("receipts", [self.report(provider_id, outcome)])

    def text(self, text: InboundText) -> Callback:
        return self.call(
            "inbound",
            [
                {
                    "messageId": text.id,
                    "from": text.from_.removeprefix("+"),
                    "to": text.to.removeprefix("+"),
                    "text": text.body,
                    "cleanText": text.body,
                    "keyword": "",
                    "receivedAt": "2026-11-21T23:59:00.000+0000",
                    "smsCount": 1,
                    "price": {"pricePerMessage": 0, "currency": "EUR"},
                }
            ],
        )

    def call(self, where: str, results: Sequence[Any], token: str | None = None) -> Callback:
        """As Infobip calls: at the URL it was given, with the token in it. Our secret has to come through escaping."""
        quoted = (token or self.secrets["CALLS"]).replace(" ", "%20").replace("&", "%26").replace("'", "%27")
        url = f"{PUBLIC_URL}/{where}?token={quoted}"
        return Callback("POST", url, {"content-type": "application/json"}, json.dumps({"results": results}).encode())

    def forgeries(self, call: Callback) -> Mapping[str, Callback]:
        bare = call.url.partition("?")[0]

        def basic(login: str) -> Callback:
            credentials = base64.b64encode(login.encode()).decode()
            return Callback("POST", bare, {**call.headers, "authorization": f"Basic {credentials}"}, call.body)

        return {
            "unsigned": Callback("POST", bare, call.headers, call.body),
            "another key": self.call(bare.rpartition("/")[2], [], token=self.secrets["KEY"]),
            "an empty token": Callback("POST", f"{bare}?token=", call.headers, call.body),
            "another password": basic(f"infobip:{self.secrets['KEY']}"),
            "no password": basic("infobip"),
            "no credentials": Callback("POST", bare, {**call.headers, "authorization": "Basic ???"}, call.body),
        }

    def unreadable(self) -> Mapping[str, Callback]:
        url, headers = self.call("receipts", []).url, {"content-type": "application/json"}
        return {
            "a result of nothing": self.call("receipts", [{}]),
            "no results": Callback("POST", url, headers, b"{}"),
            "no JSON": Callback("POST", url, headers, b"{"),
            "deep JSON": Callback("POST", url, headers, b'{"results":' + b"[" * 9_000),
            "no text": Callback("POST", url, headers, b"\xff\xfe"),
        }


def _problem(status: int, code: str, description: str) -> Reply:
    told = {"errorCode": code, "description": description, "action": "-", "violations": [], "resources": []}
    return Reply(status, json.dumps(told).encode())
