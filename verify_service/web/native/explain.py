"""What the security team asks about single starts: a decision, and a number to be unlocked."""

import re

import msgspec
from flask import Response

from verify_service import recipient
from verify_service.errors import InvalidRequest, NotFound
from verify_service.insight.explain import shown
from verify_service.web import bodies
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.native import schemas
from verify_service.web.native.surface import native

_ID = re.compile(r"de_[0-9a-f]{32}")
_unlock = msgspec.json.Decoder(schemas.UnlockBody)


@native.get("/decisions/<decision_id>")
@native.guarded("read")
def decision(tenant: str, decision_id: str) -> Response:
    if not _ID.fullmatch(decision_id):
        raise NotFound("This is not the id of a decision.")
    found = context().explain.decision(tenant, decision_id)
    return json(shown(found))


@native.post("/admin/unlock")
@native.guarded("admin")
def unlock(tenant: str) -> Response:
    body, by, relief = bodies.read(_unlock), caller(tenant), context().relief
    if body.user is not None:
        if body.to is not None:
            raise InvalidRequest("user", "is unlocked by itself; leave `to` out, or send it alone")
        return json({"user": body.user, "forgotten": relief.unlock_user(tenant, body.user, by, body.reason)})
    if body.to is None:
        raise InvalidRequest("to", "is required (or `user`)")
    to = recipient.parse(body.to, None).e164
    return json({"to": to, "forgotten": relief.unlock(to, by, body.reason)})
