"""Twilio's callers, bodies and errors: HTTP Basic, forms, and a number for everything that may go wrong."""

import binascii
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import unquote_plus

from flask import Request, Response, request
from werkzeug.exceptions import UnsupportedMediaType

from verify_service.config import Principal
from verify_service.errors import InvalidRequest, NotFound, Unauthorized
from verify_service.services import VerifyService
from verify_service.web import auth, bodies
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.problems import MOST_BYTES, ProblemDetails
from verify_service.web.surface import Surface

PREFIX = "/v2"
_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 50
_USER = re.compile(r"(?:AC|SK)[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"VA[0-9a-f]{32}")
# Our fields by what Twilio calls them.
_CALLED = {
    "to": "To",
    "channel": "Channel",
    "locale": "Locale",
    "ip": "DeviceIp",
    "app_hash": "AppHash",
    "binding": "Amount",
    "binding.amount": "Amount",
    "binding.payee": "Payee",
    "keys": "RateLimits",
    "code": "Code",
}
# What Twilio's list of errors says of a number. Where it has none, it is 20000 and the HTTP status.
_MEANS = {
    20003: "Authenticate",
    20404: "The requested resource was not found",
    20429: "Too many requests",
    21610: "Attempt to send to unsubscribed recipient",
    60200: "Invalid parameter",
    60202: "Max check attempts reached",
    60203: "Max send attempts reached",
    60204: "Service does not support this feature",
    60205: "SMS is not supported by landline phone number",
    60206: "'Amount' & 'Payee' params are required",
    60301: "Entity already exists",
    60308: "Challenge verification attempts limit reached",
    60310: "Factor verification attempts reached",
    60311: "Factor verification failed",
    60315: "Reached max limit of Factors associated per Entity",
    60318: "Factor is unverified",
    60322: "Challenge already responded",
    60323: "Challenge expired",
    60410: "Verification delivery attempt blocked",
    60605: "Verification delivery attempt blocked by geo permissions",
}
_STATUS = {21610: 400, 60200: 400, 60205: 403, 60301: 409, 60311: 403, 60318: 403, 60322: 403, 60323: 403}
_TOLD = ("retry_after", "limit", "rule", "decision")


class Refused(InvalidRequest):
    """A request that is refused under one of Twilio's own numbers."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__("", message)
        self.members["code"] = code


def not_offered(what: str) -> Refused:
    """What Twilio has and this service has not."""
    return Refused(60204, f"{what} is not offered here")


def basic(request: Request) -> Principal:
    """Who calls: an account SID or the SID of any API key as user, an API key of ours as password. Raises as
    `auth.principal` does."""
    scheme, _, given = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    try:
        user, _, key = binascii.a2b_base64(given.strip(), strict_mode=True).decode().partition(":")
    except ValueError:
        user = key = ""
    if scheme.lower() != "basic" or not key or not _USER.fullmatch(user):
        raise Unauthorized("send the account SID (AC…), or the SID of a key (SK…), and an API key as the password")
    found = auth.principal(key, request.remote_addr)
    if user.startswith("AC") and user != context().config.accounts.get(found.tenant):
        raise Unauthorized("this is another account's SID; `verify-service twilio` prints yours")
    return found


def refuse(problem: ProblemDetails) -> Response:
    """`code`, `message`, `more_info` and `status`, and in `details` what a caller may act on."""
    code = _code(problem)
    status = _STATUS.get(code, problem.status)
    body: dict[str, Any] = {
        "code": code,
        "message": _message(code, problem),
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    if details := {name: problem.members[name] for name in _TOLD if name in problem.members}:
        body["details"] = details
    answer = json(body, status)
    if code == 20003:
        answer.headers["WWW-Authenticate"] = 'Basic realm="verify_service"'
    return answer


twilio = Surface("twilio", __name__, url_prefix=PREFIX, authenticate=basic, refuse=refuse)


def form(names: Collection[str]) -> dict[str, str]:
    """The request's form, whose parameters are among `names`, each there once. Raises InvalidRequest, 413 and 415."""
    body = bodies.raw(MOST_BYTES)
    if body and bodies.media_type() != _FORM:
        raise UnsupportedMediaType(f"send a form, with the header `Content-Type: {_FORM}`")
    try:
        if body.count(b"&") >= _MOST_FIELDS:
            raise ValueError
        parts = [part.partition("=") for part in body.decode().split("&") if part]
        pairs = [(_unquoted(name), _unquoted(value)) for name, _, value in parts]
    except ValueError:
        raise InvalidRequest("", f"the body is no form of {_MOST_FIELDS} parameters at most, in UTF-8") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        given = [name for name, _ in pairs]
        raise InvalidRequest(next(name for name in given if given.count(name) > 1), "stands twice")
    if unknown := next((name for name in found if name not in names), None):
        raise InvalidRequest(unknown[:64], "is no parameter of this call")
    return found


def _unquoted(text: str) -> str:
    """Raises ValueError for what is no UTF-8. Most has nothing to be taken apart: this costs a third of `parse_qsl`."""
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text


def service_of(tenant: str, sid: str) -> VerifyService:
    """The tenant's service, of its table or made by this API. Raises NotFound."""
    found = next((each for each in context().config.services.get(tenant, ()) if each.sid == sid), None)
    if found is None and _SERVICE.fullmatch(sid):
        found = context().store.services.get(tenant, sid)
    if found is None:
        raise NotFound("there is no such service")
    return found


def root() -> str:
    """Where callers find this API: the public URL, else where this very one has found it."""
    public = context().config.public_url
    return (public or f"{request.scheme}://{request.environ.get('HTTP_HOST', 'localhost')}") + PREFIX


def _code(problem: ProblemDetails) -> int:
    members = problem.members
    match problem.slug:
        case "invalid-request":
            return int(members.get("code", 60200))
        case "invalid-number":
            return 60205 if members["reason"] == "line-type" else 60200
        case "unauthorized":
            return 20003
        case "rate-limited":
            return int(members.get("code") or _code_of_limit(members["limit"]))
        case "sends-exhausted":
            return 60203
        case "checks-exhausted":
            return 60202
        case "opted-out":
            return 21610
        case "blocked":
            return {"countries": 60605, "unreachable": 60205}.get(members["rule"], 60410)
    return 20004 if problem.status == 405 else 20000 + problem.status


def _code_of_limit(name: str) -> int:
    """A limit of one recipient is Twilio's budget of sends or of checks; any other, and the cooldown, is that its API
    is called too often."""
    if name in ("cooldown", "failed-authentications"):
        return 20429
    limit = next((each for each in context().service.policy.limit if each.name == name), None)
    if limit is None or not {"number", "mailbox"}.intersection(limit.of):
        return 20429
    return 60202 if limit.counts == "wrong-codes" else 60203


def _message(code: int, problem: ProblemDetails) -> str:
    if code == 20404:
        return f"The requested resource {request.path.removeprefix(PREFIX)[:200]} was not found"
    said = problem.detail
    if problem.slug in ("invalid-request", "invalid-number") and "errors" in problem.members:
        faults = [(_CALLED.get(each["field"], each["field"]), each["message"]) for each in problem.members["errors"]]
        said = "; ".join(f"`{field}` {message}" if field else message for field, message in faults)
    return f"{_MEANS[code]}: {said}" if code in _MEANS else said
