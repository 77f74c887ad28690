"""What the security team asks about single starts: a decision, and a number to be unlocked."""

import re

import msgspec
from flask import Blueprint, Response

from verify_service import recipient
from verify_service.duration import rfc3339
from verify_service.errors import NotFound
from verify_service.web import bodies
from verify_service.web.auth import guarded
from verify_service.web.native import json
from verify_service.web.parts import parts

inquiry = Blueprint("inquiry", __name__)

_ID = re.compile(r"de_[0-9a-f]{32}")
_unlock = msgspec.json.Decoder(bodies.UnlockBody)


@inquiry.get("/decisions/<decision_id>")
@guarded("read")
def decision(tenant: str, decision_id: str) -> Response:
    if not _ID.fullmatch(decision_id):
        raise NotFound("This is not the id of a decision.")
    found = parts().service.inquiry.decision(tenant, decision_id)
    return json(msgspec.to_builtins(found) | {"at": rfc3339(found.at), "last_at": rfc3339(found.last_at)})


@inquiry.post("/admin/unlock")
@guarded("admin")
def unlock(tenant: str) -> Response:
    body = bodies.read(_unlock)
    to = recipient.parse(body.to, None).e164
    return json({"to": to, "forgotten": parts().service.inquiry.unlock(to, f"api:{tenant}", body.reason)})
