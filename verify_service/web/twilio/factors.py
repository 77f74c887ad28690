"""An entity's factors: the authenticator apps whose codes it may be asked for."""

import re
from typing import Any

import msgspec
from flask import Response

from verify_service import otpauth
from verify_service.errors import InvalidRequest
from verify_service.factors import FactorState, NewFactor
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.twilio import answers
from verify_service.web.twilio.entities import ENTITY, Person, attempts_of, factor_sid, payload, person
from verify_service.web.twilio.surface import Refused, form, not_offered, twilio

_FACTORS = f"{ENTITY}/Factors"
_FACTOR = f"{_FACTORS}/<sid>"
_LABEL = re.compile(r"[^:\x00-\x1f\x7f-\x9f]{1,64}")
_CONFIG = {"Config.TimeStep", "Config.Skew", "Config.CodeLength", "Config.Alg"}
_PUSH = {
    *("Binding.Alg", "Binding.PublicKey", "Config.AppId", "Config.NotificationPlatform"),
    *("Config.NotificationToken", "Config.SdkVersion"),
}
# `Metadata` is Twilio's own bookkeeping, and says nothing to us.
_NEW = {"FriendlyName", "FactorType", "Binding.Secret", "Metadata", *_CONFIG, *_PUSH}
_UPDATE = {"AuthPayload", "FriendlyName", *_CONFIG, *_PUSH}
_ALGORITHMS = {"sha1": "SHA1", "sha256": "SHA256", "sha512": "SHA512"}


@twilio.post(_FACTORS)
@twilio.guarded("verify")
def make_factor(tenant: str, service_sid: str, identity: str) -> Response:
    """The secret is in this answer alone; the first right code makes the factor good."""
    given = form(_NEW)
    who = person(tenant, service_sid, identity)
    new = _new(who, given)
    try:
        made = context().factors.enrol(tenant, who.user, new)
    except InvalidRequest as error:  # All that was given has been judged: there is no room for one more.
        raise Refused(60315, error.detail) from None
    binding = {"secret": made.secret, "uri": made.uri}
    return json(_factor(who, made.factor) | {"binding": binding, "options": None}, 201)


@twilio.get(_FACTORS)
@twilio.guarded("verify")
def factors(tenant: str, service_sid: str, identity: str) -> Response:
    who = person(tenant, service_sid, identity)
    return answers.page("factors", [_factor(who, each) for each in who.factors()])


@twilio.get(_FACTOR)
@twilio.guarded("verify")
def factor(tenant: str, service_sid: str, identity: str, sid: str) -> Response:
    who = person(tenant, service_sid, identity)
    return json(_factor(who, who.factor(sid)))


@twilio.post(_FACTOR)
@twilio.guarded("verify")
def verify_factor(tenant: str, service_sid: str, identity: str, sid: str) -> Response:
    """Verifies one by its first right code; a wrong code is an answer like another. One that is verified takes no code
    here: its status would say `verified` of any."""
    given = form(_UPDATE)
    if changed := next((name for name in given if name != "AuthPayload"), None):
        raise not_offered(f"changing the `{changed}` of a factor")
    code = payload(given)
    if code is None:
        raise InvalidRequest("AuthPayload", "is required")
    who = person(tenant, service_sid, identity)
    found = who.factor(sid)
    if found.status == "verified":
        raise Refused(60311, "the factor is verified; ask for its codes by a challenge")
    with attempts_of(60310):
        told = context().factors.verify(tenant, who.user, found.id, code, recovery_codes=False)
    verified = msgspec.structs.replace(found, status="verified", used_at=told.at)
    return json(_factor(who, verified if told.approved else found))


@twilio.delete(_FACTOR)
@twilio.guarded("verify")
def delete_factor(tenant: str, service_sid: str, identity: str, sid: str) -> Response:
    who = person(tenant, service_sid, identity)
    context().factors.remove(tenant, who.user, who.factor(sid).id, caller(tenant, application=True))
    return Response(status=204)


def _new(who: Person, given: dict[str, str]) -> NewFactor:
    """What the form asks for. Raises InvalidRequest, and Refused for what is not offered."""
    kind, label = given.get("FactorType", ""), given.get("FriendlyName", "")
    if kind in ("push", "passkeys"):
        raise not_offered(f"a factor of the type `{kind}`")
    if kind != "totp":
        raise InvalidRequest("FactorType", "is totp")
    if unused := next((name for name in given if name in _PUSH), None):
        raise InvalidRequest(unused, "is of a push factor alone")
    if not _LABEL.fullmatch(label):
        raise InvalidRequest("FriendlyName", "is 1 to 64 characters, no control characters and no colon among them")
    algorithm = given.get("Config.Alg") or "sha1"
    if algorithm not in _ALGORITHMS:
        raise InvalidRequest("Config.Alg", f"is one of {', '.join(_ALGORITHMS)}")
    if given.get("Config.Skew") not in (None, "", "1"):
        raise not_offered("a `Config.Skew` but 1")
    return NewFactor(
        kind="totp",
        label=label,
        issuer=who.service.name or context().config.tenants[who.tenant].brand,
        digits=_figure(given, "Config.CodeLength", 6, range(6, 9)),
        period=_figure(given, "Config.TimeStep", 30, range(20, 61)),
        algorithm=_ALGORITHMS[algorithm],  # type: ignore[arg-type]
        secret=_secret(given["Binding.Secret"]) if given.get("Binding.Secret") else None,
    )


def _figure(given: dict[str, str], name: str, default: int, among: range) -> int:
    text = given.get(name) or str(default)
    if text not in map(str, among):
        raise InvalidRequest(name, f"is a number from {among[0]} to {among[-1]}")
    return int(text)


def _secret(written: str) -> bytes:
    try:
        return otpauth.secret(written)
    except otpauth.Unreadable as error:
        raise InvalidRequest("Binding.Secret", str(error)) from None


def _factor(who: Person, found: FactorState) -> dict[str, Any]:
    sid = factor_sid(found.id)
    config = {"alg": found.algorithm.lower(), "skew": 1, "code_length": found.digits, "time_step": found.period}
    return {
        "sid": sid,
        **who.common(),
        "entity_sid": who.sid,
        "date_created": answers.at(found.created_at),
        "date_updated": answers.at(found.used_at or found.created_at),
        "friendly_name": found.label,
        "status": found.status,
        "factor_type": "totp",
        "config": config,
        "metadata": None,
        "url": f"{who.url}/Factors/{sid}",
    }
