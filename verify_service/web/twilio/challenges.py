"""Challenges: a code of an entity's factor, asked for now or brought along."""

import re
from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from verify_service.errors import InvalidRequest, NotFound
from verify_service.factors.challenges import Answered, Challenge
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.twilio import answers
from verify_service.web.twilio.entities import (
    ENTITY,
    Person,
    attempts_of,
    challenges_here,
    factor_id,
    factor_sid,
    payload,
    person,
)
from verify_service.web.twilio.surface import Refused, form, not_offered, twilio

_CHALLENGES = f"{ENTITY}/Challenges"
_CHALLENGE = f"{_CHALLENGES}/<sid>"
_SID = re.compile(r"YC([0-9a-f]{32})")
_LIFE_MS, _LONGEST_MS = 300_000, 3_600_000
# What is shown to a person on a device, and the caller's own notes: a code has neither.
_PASSED_OVER = {"Details.Message", "Details.Fields", "HiddenDetails", "Metadata"}
_STATUSES = ("pending", "expired", "approved", "denied")


@twilio.post(_CHALLENGES)
@twilio.guarded("verify")
def make_challenge(tenant: str, service_sid: str, identity: str) -> Response:
    """With a code it is answered at once."""
    given = form({"FactorSid", "AuthPayload", "ExpirationDate", *_PASSED_OVER})
    who, code = person(tenant, service_sid, identity), payload(given)
    if factor_id(given.get("FactorSid", "")) is None:
        raise InvalidRequest("FactorSid", "is required: YF and 32 hex digits")
    life = _life(given.get("ExpirationDate"))
    factor = who.factor(given["FactorSid"])
    if factor.status != "verified":
        raise Refused(60318, "verify it by its first code")
    with attempts_of(60308):
        found = challenges_here().begin(tenant, who.user, factor.id, life, code)
    return _answered(who, found, 201)


@twilio.get(_CHALLENGES)
@twilio.guarded("verify")
def challenges(tenant: str, service_sid: str, identity: str) -> Response:
    """Those of the last day, oldest first unless the query says otherwise."""
    who = person(tenant, service_sid, identity)
    status, order, factor = (request.args.get(name) for name in ("Status", "Order", "FactorSid"))
    if status and status not in _STATUSES:
        raise InvalidRequest("Status", f"is one of {', '.join(_STATUSES)}")
    if order and order not in ("asc", "desc"):
        raise InvalidRequest("Order", "is asc or desc")
    found = [
        each
        for each in challenges_here().all(tenant, who.user)
        if status in (None, "", each.status) and factor in (None, "", factor_sid(each.factor))
    ]
    return answers.page("challenges", [_shown(who, each) for each in (reversed(found) if order == "desc" else found)])


@twilio.get(_CHALLENGE)
@twilio.guarded("verify")
def challenge(tenant: str, service_sid: str, identity: str, sid: str) -> Response:
    who = person(tenant, service_sid, identity)
    return json(_shown(who, challenges_here().one(tenant, who.user, _id(sid))))


@twilio.post(_CHALLENGE)
@twilio.guarded("verify")
def answer_challenge(tenant: str, service_sid: str, identity: str, sid: str) -> Response:
    """A wrong code is an answer like another: the status stays pending."""
    given = form({"AuthPayload", "Metadata"})
    who, code = person(tenant, service_sid, identity), payload(given)
    if code is None:
        raise InvalidRequest("AuthPayload", "is required")
    with attempts_of(60308):
        found = challenges_here().answer(tenant, who.user, _id(sid), code)
    return _answered(who, found, 200)


@twilio.post(f"{_CHALLENGE}/Notifications")
@twilio.guarded("verify")
def notify(tenant: str, service_sid: str, identity: str, sid: str) -> Response:
    person(tenant, service_sid, identity)
    raise not_offered(f"a notification of the challenge {sid[:34]}")


def _answered(who: Person, found: Answered, status: int) -> Response:
    if found.word == "responded":
        raise Refused(60322, "begin another")
    if found.word == "expired":
        raise Refused(60323, "begin another")
    shown = _shown(who, found.challenge)
    return json(shown | {"receipt": found.receipt} if found.receipt else shown, status)


def _id(sid: str) -> str:
    match = _SID.fullmatch(sid)
    if match is None:
        raise NotFound("there is no such challenge")
    return match[1]


def _life(written: str | None) -> int:
    """For how long a challenge that ends at a moment can be answered, in milliseconds. Raises InvalidRequest."""
    if not written:
        return _LIFE_MS
    try:
        end = datetime.fromisoformat(written)
        found = round(end.replace(tzinfo=end.tzinfo or UTC).timestamp() * 1000) - context().clock.now()
    except (ValueError, OverflowError):
        found = 0
    if not 0 < found <= _LONGEST_MS:
        raise InvalidRequest("ExpirationDate", "is a moment within the next hour, such as 2026-01-31T12:00:00Z")
    return found


def _shown(who: Person, found: Challenge) -> dict[str, Any]:
    sid = f"YC{found.id}"
    url = f"{who.url}/Challenges/{sid}"
    return {
        "sid": sid,
        **who.common(),
        "entity_sid": who.sid,
        "factor_sid": factor_sid(found.factor),
        "date_created": answers.at(found.created_at),
        "date_updated": answers.at(found.responded_at or found.created_at),
        "date_responded": answers.at_or_none(found.responded_at),
        "expiration_date": answers.at(found.expires_at),
        "status": found.status,
        "responded_reason": "none",
        "details": None,
        "hidden_details": None,
        "metadata": None,
        "factor_type": "totp",
        "url": url,
        "links": {"notifications": f"{url}/Notifications"},
    }
