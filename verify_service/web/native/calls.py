"""The native API: start, check, look, cancel."""

import re

import msgspec
from flask import Response

from verify_service.asking import Target
from verify_service.errors import InvalidRequest, VerificationNotFound
from verify_service.web import bodies
from verify_service.web.answers import checked, json, timeline, verification
from verify_service.web.context import context
from verify_service.web.native import parameters, schemas
from verify_service.web.native.surface import native
from verify_service.web.page import links

_start = msgspec.json.Decoder(schemas.StartBody)
_check = msgspec.json.Decoder(schemas.CheckBody)
_ID = re.compile(r"ve_[0-9a-f]{32}")


@native.post("/start")
@native.guarded("verify")
def start(tenant: str) -> Response:
    body = bodies.read(_start)
    bodies.address(body.ip)
    service, config = context().service, context().config
    ask = links.judged(config, tenant, service.parse_start(body))
    found = service.start(tenant, ask, parameters.idempotency_key())
    page = links.address(config, context().keys, tenant, found.id, ask)
    return json(verification(found) | ({"page": page} if page else {}), 201)


@native.post("/check")
@native.guarded("verify")
def check(tenant: str) -> Response:
    body = bodies.read(_check)
    bodies.address(body.ip)
    where, code = _where(body), bodies.code(body.code)
    key = parameters.idempotency_key()
    found = context().service.check(tenant, where, code, body.binding or None, body.ip, key, bool(body.receipt))
    return json(checked(found))


@native.get("/verifications/<verification_id>")
@native.guarded("verify")
def look(tenant: str, verification_id: str) -> Response:
    found = context().service.status(tenant, _id(verification_id))
    return json(verification(found) | {"timeline": timeline(found)})


@native.delete("/verifications/<verification_id>")
@native.guarded("verify")
def cancel(tenant: str, verification_id: str) -> Response:
    context().service.cancel(tenant, _id(verification_id))
    return Response(status=204)


def _where(body: schemas.CheckBody) -> str | Target:
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
