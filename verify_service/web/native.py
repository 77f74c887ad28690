"""The native API: start, check, look, cancel."""

import re

import msgspec
from flask import Blueprint, Response

from verify_service.duration import rfc3339
from verify_service.errors import InvalidRequest, VerificationNotFound
from verify_service.model import Verification
from verify_service.service import Target
from verify_service.web import bodies
from verify_service.web.auth import guarded
from verify_service.web.parts import parts

native = Blueprint("native", __name__)

_start = msgspec.json.Decoder(bodies.StartBody)
_check = msgspec.json.Decoder(bodies.CheckBody)
_encode = msgspec.json.Encoder().encode
_ID = re.compile(r"ve_[0-9a-f]{32}")


def json(body: object, status: int = 200) -> Response:
    """An answer in JSON, never to be cached."""
    return Response(_encode(body), status, {"Cache-Control": "no-store"}, mimetype="application/json")


@native.post("/start")
@guarded("verify")
def start(tenant: str) -> Response:
    body = bodies.read(_start)
    bodies.address(body.ip)
    service = parts().service
    return json(_shown(service.start(tenant, service.parse_start(body), bodies.idempotency_key())), 201)


@native.post("/check")
@guarded("verify")
def check(tenant: str) -> Response:
    body = bodies.read(_check)
    bodies.address(body.ip)
    where, code = _where(body), bodies.code(body.code)
    found = parts().service.check(tenant, where, code, body.binding or None, body.ip, bodies.idempotency_key())
    answer = {"id": found.id, "status": found.status, "approved": found.approved, "checks_left": found.checks_left}
    return json(answer)


@native.get("/verifications/<verification_id>")
@guarded("verify")
def look(tenant: str, verification_id: str) -> Response:
    found = parts().service.status(tenant, _id(verification_id))
    timeline = []
    for line in found.timeline:
        shown = {"at": rfc3339(line.at), "event": line.event}
        if line.provider:
            shown["provider"] = line.provider
        if line.reason:
            shown["reason"] = line.reason
        timeline.append(shown)
    return json(_shown(found) | {"timeline": timeline})


@native.delete("/verifications/<verification_id>")
@guarded("verify")
def cancel(tenant: str, verification_id: str) -> Response:
    parts().service.cancel(tenant, _id(verification_id))
    return Response(status=204)


def _where(body: bodies.CheckBody) -> str | Target:
    if body.id is not None:
        for name in ("to", "region", "purpose"):
            if getattr(body, name) is not None:
                raise InvalidRequest(name, "goes with a check by number; with `id` leave it out")
        return _id(body.id)
    if body.to is None:
        raise InvalidRequest("id", "is required (or `to`, for a check by number)")
    return Target(body.to, body.region, body.purpose or "login")


def _id(verification_id: str) -> str:
    if not _ID.fullmatch(verification_id):
        raise VerificationNotFound
    return verification_id


def _shown(found: Verification) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": found.id,
        "status": found.status,
        "to": found.to,
        "channel": found.channel,
        "purpose": found.purpose,
        "created_at": rfc3339(found.created_at),
        "expires_at": rfc3339(found.expires_at),
        "resend_at": rfc3339(found.resend_at),
        "checks_left": found.checks_left,
        "sends_left": found.sends_left,
    }
    if found.test:
        shown["test"] = True
    return shown
