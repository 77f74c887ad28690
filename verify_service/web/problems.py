"""An error as the caller is told of it, RFC 9457's problem details, and how they are written as JSON."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from flask import Response, request
from werkzeug.exceptions import HTTPException

from verify_service.duration import rfc3339
from verify_service.errors import Problem
from verify_service.web.catalogue import PROBLEM_TYPES

MOST_BYTES = 16_384
_BY_STATUS = {
    400: "invalid-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
}
_TIMES = ("resend_at", "expires_at")


class ProblemDetails(NamedTuple):
    """One error: its kind, a sentence, and what else there is to say of it. The slug is None of what nobody foresaw."""

    slug: str | None
    status: int
    detail: str
    members: Mapping[str, Any]


UNFORESEEN = ProblemDetails(None, 500, "This is a fault of the service.", {})


def details(error: Problem | HTTPException) -> ProblemDetails:
    """What the caller is told of an error of ours, or of one that the framework raised."""
    if isinstance(error, Problem):
        return ProblemDetails(error.slug, error.status, error.detail, error.members)
    slug = _BY_STATUS.get(error.code or 400, "invalid-request")
    detail = {
        404: "This server has no such path; /docs lists those it has.",
        405: f"This path has no {request.method}.",
    }.get(error.code or 400, error.description or PROBLEM_TYPES[slug].title)
    members = {"errors": [{"field": "", "message": detail}]} if slug == "invalid-request" else {}
    return ProblemDetails(slug, PROBLEM_TYPES[slug].status, detail, members)


def problem_json(problem: ProblemDetails) -> Response:
    """`application/problem+json`, its times in RFC 3339."""
    type_, title = "about:blank", "Internal error"
    if problem.slug:
        type_, title = f"/problems/{problem.slug}", PROBLEM_TYPES[problem.slug].title
    body = {"type": type_, "title": title, "status": problem.status, "detail": problem.detail}
    body |= {name: rfc3339(value) if name in _TIMES else value for name, value in problem.members.items()}
    answer = Response(msgspec.json.encode(body), problem.status, mimetype="application/problem+json")
    if problem.slug == "unauthorized":
        answer.headers["WWW-Authenticate"] = 'Bearer realm="verify_service"'
    return answer
