"""What the security team does by HTTP: look at the live policy, and push another."""

import re
from contextlib import suppress

import msgspec
from flask import Response, request

from verify_service.errors import ConfigError, InvalidRequest, NotFound, StoreUnavailable
from verify_service.insight.policy import shown
from verify_service.model import Revision
from verify_service.policy.bounds import MOST_BYTES
from verify_service.policy.faults import fault
from verify_service.web import bodies
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.native import schemas
from verify_service.web.native.surface import native

_policy = msgspec.json.Decoder(schemas.PolicyBody)
_IF_MATCH = re.compile(r'\*|"([1-9][0-9]{0,8})"')


@native.get("/admin/policy")
@native.guarded("admin")
def policy(_tenant: str) -> Response:
    try:
        found = context().live.history.current()
    except ConfigError as error:
        raise StoreUnavailable(str(error)) from None
    if found is None:
        raise NotFound("No policy was pushed yet.")
    return _shown(found)


@native.put("/admin/policy")
@native.guarded("admin")
def push(tenant: str) -> Response:
    """A push that names the revision it replaces, so that no push undoes one that its author has not seen."""
    expected = _if_match()
    if bodies.media_type() == "application/json":
        body = bodies.read(_policy, MOST_BYTES)
    else:
        body = schemas.PolicyBody(policy=bodies.text(("application/toml", "text/plain"), MOST_BYTES))
    live = context().live
    try:
        pushed = live.push(context().clock.now(), caller(tenant), body.note, body.policy, expected=expected)
    except ConfigError as error:
        found = fault(str(error), body.policy)
        raise InvalidRequest(found.key, found.message) from None
    with suppress(StoreUnavailable):  # It is pushed; this process may follow like the others.
        live.refresh()
    return _shown(pushed)


def _shown(revision: Revision) -> Response:
    answer = json(shown(revision))
    answer.set_etag(str(revision.revision))
    return answer


def _if_match() -> int | None:
    """The revision that must be in force; None where any may be (`*`). Raises InvalidRequest."""
    value = request.headers.get("If-Match")
    if value is None:
        raise InvalidRequest("If-Match", "is required: the ETag that GET /admin/policy answered")
    match = _IF_MATCH.fullmatch(value)
    if not match:
        raise InvalidRequest("If-Match", 'is one ETag of this address, such as "3", or *')
    return int(match[1]) if match[1] else None
