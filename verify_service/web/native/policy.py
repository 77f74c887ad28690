"""What the security team does by HTTP: look at the live policy and its history, check another, and push it."""

import re
from contextlib import suppress

import msgspec
from flask import Response, request

from verify_service.errors import ConfigError, InvalidRequest, NotFound, StoreUnavailable
from verify_service.insight.policy import NUMBER, entry, in_force, numbered, page, shown
from verify_service.model import Revision
from verify_service.policy.bounds import MOST_BYTES
from verify_service.policy.changes import changes
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
    return _shown(there())


@native.put("/admin/policy")
@native.guarded("admin")
def push(tenant: str) -> Response:
    """A push that names the revision it replaces, so that no push undoes one that its author has not seen."""
    expected = _if_match()
    body = _body()
    live = context().live
    try:
        pushed = live.push(context().clock.now(), caller(tenant), body.note, body.policy, expected=expected)
    except ConfigError as error:
        raise _refused(error, body.policy) from None
    with suppress(StoreUnavailable):  # It is pushed; this process may follow like the others.
        live.refresh()
    return _shown(pushed)


@native.post("/admin/policy/check")
@native.guarded("admin")
def check_policy(_tenant: str) -> Response:
    """What a push of the body would be answered for its text, and what it would change."""
    text = _body().policy
    judge(text)
    live = in_force(context().live.history)
    return json({"usable": True, "changes": [*changes(live.text if live else "", text)]})


@native.get("/admin/policy/revisions")
@native.guarded("admin")
def revisions(_tenant: str) -> Response:
    before = request.args.get("before")
    if before is not None and not NUMBER.fullmatch(before):
        raise InvalidRequest("before", "is the number of a revision")
    found, older = page(context().live.history, int(before) if before else None)
    return json({"revisions": [entry(each) for each in found], "before": older})


@native.get("/admin/policy/revisions/<number>")
@native.guarded("admin")
def revision(_tenant: str, number: str) -> Response:
    """Without an ETag: what `If-Match` names is the revision in force."""
    return json(shown(numbered(context().live.history, number)))


def there() -> Revision:
    """The revision in force. Raises NotFound, StoreUnavailable."""
    found = in_force(context().live.history)
    if found is None:
        raise NotFound("No policy was pushed yet.")
    return found


def judge(text: str) -> None:
    """Raises InvalidRequest for a text that a push would refuse, StoreUnavailable."""
    try:
        context().live.check(context().clock.now(), text)
    except ConfigError as error:
        raise _refused(error, text) from None


def _body() -> schemas.PolicyBody:
    if bodies.media_type() == "application/json":
        return bodies.read(_policy, MOST_BYTES)
    return schemas.PolicyBody(policy=bodies.text(("application/toml", "text/plain"), MOST_BYTES))


def _refused(error: ConfigError, text: str) -> InvalidRequest:
    """Why the text cannot be used, at its key and line."""
    found = fault(str(error), text)
    return InvalidRequest(found.key, found.message, line=found.line)


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
