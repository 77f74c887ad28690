"""The fake provider's side for tests and people; mounted only where a fake provider is configured."""

import secrets
from math import isfinite
from typing import cast

import msgspec
from flask import Response, request

from verify_service import phone
from verify_service.duration import rfc3339
from verify_service.errors import Forbidden, InvalidNumber, InvalidRequest
from verify_service.inbox import Inbox, InboxMessage
from verify_service.model import InboundText
from verify_service.store.clock import VirtualClock
from verify_service.web import bodies
from verify_service.web.answers import json
from verify_service.web.auth import bearer
from verify_service.web.context import context
from verify_service.web.docs import inbox_page
from verify_service.web.native import parameters, schemas
from verify_service.web.problems import problem_json
from verify_service.web.surface import Surface

fake = Surface("fake", __name__, url_prefix="/fake", authenticate=bearer, refuse=problem_json)

LONGEST_WAIT = 30.0
_behaviour = msgspec.json.Decoder(schemas.BehaviourBody)
_clock = msgspec.json.Decoder(schemas.ClockBody)
_inbound = msgspec.json.Decoder(schemas.InboundBody)


@fake.get("/inbox")
def page_or_all() -> Response:
    """The page for a person; for a client that asks for JSON, the messages to all of the tenant's numbers."""
    if request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html") == "text/html":
        return inbox_page()
    answer = _all()
    answer.vary.add("Accept")
    return answer


@fake.guarded("verify", "inbox")
def _all(tenant: str) -> Response:
    return _messages(tenant, None)


@fake.get("/inbox/<to>")
@fake.guarded("verify")
def messages(tenant: str, to: str) -> Response:
    return _messages(tenant, parameters.path_recipient(to))


@fake.delete("/inbox")
@fake.guarded("verify")
def empty(tenant: str) -> Response:
    _inbox().empty(tenant)
    return Response(status=204)


@fake.delete("/state/<to>")
@fake.guarded("verify")
def forget(tenant: str, to: str) -> Response:
    _inbox().forget(tenant, parameters.path_recipient(to))
    return Response(status=204)


@fake.get("/behaviour")
@fake.guarded("verify")
def behaviour(_tenant: str) -> Response:
    return json({"rules": _inbox().behaviour()})


@fake.put("/behaviour")
@fake.guarded("verify")
def set_behaviour(_tenant: str) -> Response:
    rules = bodies.read(_behaviour).rules
    _inbox().set_behaviour(rules)
    return json({"rules": rules})


@fake.get("/clock")
@fake.guarded("verify")
def clock(_tenant: str) -> Response:
    return json({"now": rfc3339(context().clock.now())})


@fake.post("/clock")
@fake.guarded("verify")
def advance(_tenant: str) -> Response:
    body = bodies.read(_clock)
    clock = context().clock
    if not isinstance(clock, VirtualClock):
        raise Forbidden("The clock moves only where VERIFY_CLOCK=virtual is set.")
    try:
        now = clock.advance(max(1, round(body.advance * 1000)))
    except ValueError as error:
        raise InvalidRequest("advance", str(error)) from None
    return json({"now": rfc3339(now)})


@fake.post("/inbound")
@fake.guarded("verify")
def inbound(tenant: str) -> Response:
    """A text from a phone: STOP and its kin opt the number out of the tenant's messages, START and its kin in again."""
    body = bodies.read(_inbound)
    number = phone.sender(body.from_)
    if number is None:
        raise InvalidNumber("not-a-number", "Write the number as vendors do, such as +14155550123.", "from")
    text = InboundText(id=secrets.token_hex(12), from_=body.from_, to=body.to, body=body.body)
    context().consents.heard(text, _first_fake(), [tenant])
    return json({"from": number.e164, "to": body.to, "body": body.body}, 202)


def _messages(tenant: str, to: str | None) -> Response:
    found = _inbox().messages(tenant, to, parameters.after(), _wait())
    return json({"messages": [_shown(message) for message in found]})


def _shown(message: InboxMessage) -> dict[str, object]:
    shown: dict[str, object] = msgspec.to_builtins(message)
    return shown | {"sent_at": rfc3339(message.sent_at)}


def _wait() -> float:
    text = request.args.get("wait", "0")
    try:
        wait = float(text)
    except ValueError:
        wait = float("nan")
    if not isfinite(wait) or not 0 <= wait <= LONGEST_WAIT:
        raise InvalidRequest("wait", f"is a number of seconds from 0 to {LONGEST_WAIT:g}")
    return wait


def _first_fake() -> str:
    """The name that a text comes by."""
    return next(name for name, provider in context().config.providers.items() if provider.adapter.fake)


def _inbox() -> Inbox:
    return cast(Inbox, context().inbox)  # These paths are mounted only where there is one.
