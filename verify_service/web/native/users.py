"""Second factors of a tenant's users: enrol, verify, check, look, remove."""

import re

import msgspec
from flask import Response

from verify_service.duration import rfc3339
from verify_service.errors import InvalidRequest, NotFound
from verify_service.factors import NO_SUCH_FACTOR, FactorCheck, FactorState, NewFactor
from verify_service.web import bodies
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.native import parameters, schemas
from verify_service.web.native.surface import native
from verify_service.web.problems import MOST_BYTES

_factor = msgspec.json.Decoder(schemas.FactorBody)
_verify = msgspec.json.Decoder(schemas.FactorCodeBody)
_check = msgspec.json.Decoder(schemas.UserCheckBody)
_contact = msgspec.json.Decoder(schemas.ContactBody)
_ID = re.compile(r"fa_[0-9a-f]{32}")


@native.post("/users/<user>/factors")
@native.guarded("verify")
def enrol(tenant: str, user: str) -> Response:
    body = bodies.read(_factor)
    if body.kind == "hotp" and body.period is not None:
        raise InvalidRequest("period", "goes with `totp`; a counter has none")
    said = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not None}
    made = context().factors.enrol(tenant, parameters.user(user), NewFactor(**said))
    return json(_shown(made.factor) | {"secret": made.secret, "uri": made.uri, "qr": made.qr}, 201)


@native.post("/users/<user>/factors/<factor_id>/verify")
@native.guarded("verify")
def verify(tenant: str, user: str, factor_id: str) -> Response:
    body = bodies.read(_verify)
    found = context().factors.verify(tenant, parameters.user(user), _id(factor_id), body.code)
    shown: dict[str, object] = {
        "id": factor_id,
        "status": "verified" if found.approved else "unverified",
        "approved": found.approved,
        "checks_left": found.checks_left,
    }
    if found.recovery_codes:
        shown["recovery_codes"] = found.recovery_codes
    return json(shown)


@native.post("/users/<user>/check")
@native.guarded("verify")
def check_user(tenant: str, user: str) -> Response:
    body = bodies.read(_check)
    name, factors = parameters.user(user), context().factors
    if body.max_age is not None:
        if body.code is not None or body.factor is not None:
            raise InvalidRequest("max_age", "asks for an earlier approval; leave `code` and `factor` out")
        if not body.binding:
            raise InvalidRequest("binding", "is required with `max_age`: it names the session that was approved")
        recent = factors.recent(tenant, name, body.max_age, body.binding, receipt=bool(body.receipt))
        return json(_checked(recent) if recent else {"approved": False, "status": "none", "factor": None, "kind": None})
    if body.code is None:
        raise InvalidRequest("code", "is required (or `max_age`, for an earlier approval)")
    found = factors.check(
        tenant,
        name,
        body.code,
        factor=_id(body.factor) if body.factor is not None else None,
        receipt=bool(body.receipt),
        binding=body.binding or None,
        idempotency_key=parameters.idempotency_key(),
    )
    return json(_checked(found))


@native.put("/users/<user>")
@native.guarded("verify")
def set_contact(tenant: str, user: str) -> Response:
    body = bodies.read(_contact)
    name, factors = parameters.user(user), context().factors
    if body.to is None and (body.region or body.channel or body.locale):
        raise InvalidRequest("to", "is null, so notices go nowhere; leave the other fields out")
    new = factors.parse_contact(body.to, body.region, body.channel, body.locale) if body.to is not None else None
    factors.set_contact(tenant, name, new)
    return json(_user_shown(tenant, name))


@native.get("/users/<user>")
@native.guarded("verify")
def look_at_user(tenant: str, user: str) -> Response:
    return json(_user_shown(tenant, parameters.user(user)))


def _user_shown(tenant: str, user: str) -> dict[str, object]:
    found = context().factors.look(tenant, user)
    contact = found.contact
    shown: dict[str, object] = {
        "user": user,
        "factors": [_shown(each) for each in found.factors],
        "recovery_codes_left": found.recovery_codes_left,
        "checks_left": found.checks_left,
        "texts": found.texts,
        "contact": {"to": contact.to, "channel": contact.channel, "locale": contact.locale} if contact else None,
    }
    if found.retry_after is not None:
        shown["retry_after"] = found.retry_after
    return shown


@native.delete("/users/<user>/factors/<factor_id>")
@native.guarded("verify")
def remove(tenant: str, user: str, factor_id: str) -> Response:
    by = caller(tenant, application=True)
    context().factors.remove(tenant, parameters.user(user), _id(factor_id), by)
    return Response(status=204)


@native.post("/users/<user>/recovery-codes")
@native.guarded("verify")
def renew_recovery_codes(tenant: str, user: str) -> Response:
    if bodies.raw(MOST_BYTES).strip() not in (b"", b"{}"):
        raise InvalidRequest("", "this call takes no body")
    return json({"recovery_codes": context().factors.renew_recovery_codes(tenant, parameters.user(user))}, 201)


@native.delete("/users/<user>")
@native.guarded("verify")
def erase_user(tenant: str, user: str) -> Response:
    context().factors.erase(tenant, parameters.user(user), caller(tenant, application=True))
    return Response(status=204)


def _id(factor_id: str) -> str:
    if not _ID.fullmatch(factor_id):
        raise NotFound(NO_SUCH_FACTOR)
    return factor_id


def _shown(factor: FactorState) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": factor.id,
        "kind": factor.kind,
        "status": factor.status,
        "label": factor.label,
        "issuer": factor.issuer,
        "digits": factor.digits,
        "algorithm": factor.algorithm,
        "created_at": rfc3339(factor.created_at),
        "used_at": rfc3339(factor.used_at) if factor.used_at else None,
    }
    return shown | ({"period": factor.period} if factor.kind == "totp" else {})


def _checked(found: FactorCheck) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": found.id,
        "status": found.status,
        "approved": found.approved,
        "factor": found.factor,
        "kind": found.kind,
        "checks_left": found.checks_left,
    }
    if found.approved:
        shown["approved_at"] = rfc3339(found.at)
    if found.kind == "recovery-code":
        shown["recovery_codes_left"] = found.recovery_codes_left
    if found.receipt:
        shown["receipt"] = found.receipt
    return shown
