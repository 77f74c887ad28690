"""The operator's side of the signed webhook, with the library of Standard Webhooks: a status says everything."""

import base64
import itertools
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.peers.contract import PUBLIC_URL, Outcome, Taken
from tests.support.peers.http_peer import Asked, HttpPeer, Reply
from verify_service.errors import DeliveryError
from verify_service.model import Callback, InboundText, Receipt

_STATUSES = {"denies": 401, "throttles": 429, "rejects": 422}


class WebhookPeer(HttpPeer):
    kind = "webhook"
    channels = ("sms", "rcs", "voice", "whatsapp", "email")
    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = {
        how: what for how, what in HttpPeer.refusals.items() if "answer" not in how
    }
    secrets = {  # noqa: RUF012
        "HOOK": "whsec_" + base64.b64encode(b"the secret of the hook itself").decode(),
        "OTHER": "whsec_" + base64.b64encode(b"the secret of somebody else..").decode(),
    }
    outcomes = ("delivered", "failed", "failed for good")

    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)

    def table(self) -> dict[str, Any]:
        return {"url": f"{self.url}/send", "secret": "env:HOOK"}

    def answer(self, asked: Asked) -> Reply:
        if self.how in _STATUSES:
            return Reply(_STATUSES[self.how], b"{}")
        try:
            told = Webhook(self.secrets["HOOK"]).verify(asked.body, dict(asked.headers))
        except WebhookVerificationError:
            return Reply(401, b"{}")
        self.taken.append(Taken(told["to"], told["from"], told["body"], told["channel"]))
        return Reply(202, json.dumps({"id": f"m{next(self._ids)}"}).encode())

    def receipt(self, provider_id: str, outcome: Outcome) -> Callback:
        told: dict[str, Any] = {"id": provider_id, "status": "delivered"}
        if outcome != "delivered":
            told = {"id": provider_id, "status": "failed", "reason": "no such phone", "segments": 1, "price": 0.01}
        return self.call("receipts", [told | ({"permanent": True} if outcome == "failed for good" else {})])

    def told(self, provider_id: str, outcome: Outcome) -> Receipt:
        if outcome == "delivered":
            return Receipt(provider_id, "delivered")
        permanent = outcome == "failed for good"
        return Receipt(provider_id, "failed", "no such phone", permanent, segments=1, price=0.01)

    def text(self, text: InboundText) -> Callback:
        return self.call("inbound", [{"id": text.id, "from": text.from_, "to": text.to, "body": text.body}])

    def call(self, where: str, told: Sequence[Any], name: str = "HOOK", ago_s: int = 0) -> Callback:
        body, at = json.dumps(told), datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=ago_s)
        headers = {
            "content-type": "application/json",
            "webhook-id": "w1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(self.secrets[name]).sign("w1", at, body),
        }
        return Callback("POST", f"{PUBLIC_URL}/{where}", headers, body.encode())

    def forgeries(self, call: Callback) -> Mapping[str, Callback]:
        where, told = call.url.rpartition("/")[2], json.loads(call.body)
        return {
            "unsigned": Callback("POST", call.url, {"content-type": "application/json"}, call.body),
            "another key": self.call(where, told, name="OTHER"),
            "a changed body": Callback("POST", call.url, call.headers, call.body.replace(b'"id"', b'"Id"')),
            "an hour old": self.call(where, told, ago_s=3_600),
            "no signature": Callback("POST", call.url, {**call.headers, "webhook-signature": "v1,???"}, call.body),
        }

    def unreadable(self) -> Mapping[str, Callback]:
        return {"a number": self.call("receipts", [1]), "no id": self.call("receipts", [{"status": "delivered"}])}
