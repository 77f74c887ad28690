"""Problems on the wire: RFC 9457 `application/problem+json`."""

from typing import Any

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from verify_service.duration import rfc3339
from verify_service.errors import NotHere, Problem
from verify_service.telemetry import PROBLEMS as COUNTER
from verify_service.telemetry import log
from verify_service.web.catalogue import PROBLEMS

_log = log("web")
_BY_STATUS = {
    400: "invalid-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
}
MOST_BYTES = 16_384
_TIMES = ("resend_at", "expires_at")


def respond(slug: str, detail: str, members: dict[str, Any] | None = None) -> Response:
    """A problem answer with its status, its members and, where it says when to retry, `Retry-After`."""
    problem = PROBLEMS[slug]
    members = members or {}
    COUNTER.labels(slug).inc()
    body = {"type": f"/problems/{slug}", "title": problem.title, "status": problem.status, "detail": detail}
    body |= {name: rfc3339(value) if name in _TIMES else value for name, value in members.items()}
    answer = Response(msgspec.json.encode(body), problem.status, mimetype="application/problem+json")
    if not _drained():
        answer.headers["Connection"] = "close"
    if "retry_after" in members:
        answer.headers["Retry-After"] = str(members["retry_after"])
    if slug == "unauthorized":
        answer.headers["WWW-Authenticate"] = 'Bearer realm="verify_service"'
    return answer


def _drained() -> bool:
    """Reads what a refusal left of a small body that is here; whether that was all. The server closes a connection
    whose request was not read to its end: a caller that is not told so sends its next request there, in vain."""
    try:
        request.get_data(cache=False)
    except (HTTPException, OSError, Problem, NotHere):
        return False
    return True


def install(app: Flask) -> None:
    """Every error of the app becomes a problem answer; what nobody foresaw is logged and says nothing of itself."""

    @app.errorhandler(Problem)
    def refused(problem: Problem) -> Response:
        reason = getattr(problem, "reason", "")
        if problem.status == 503:
            _log.error("store unavailable", path=request.url_rule and request.url_rule.rule, reason=reason)
        return respond(problem.slug, problem.detail, problem.members)

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        most = (request.max_content_length or MOST_BYTES + 1) - 1
        slug = _BY_STATUS.get(error.code or 400, "invalid-request")
        detail = {
            404: "This server has no such path; /docs lists those it has.",
            405: f"This path has no {request.method}.",
            413: f"A body here may have {most} bytes at most.",
        }.get(error.code or 400, error.description or PROBLEMS[slug].title)
        members = {"errors": [{"field": "", "message": detail}]} if slug == "invalid-request" else {}
        answer = respond(slug, detail, members)
        allowed = getattr(error, "valid_methods", None)
        if allowed:
            answer.headers["Allow"] = ", ".join(sorted(allowed))
        return answer

    @app.errorhandler(Exception)
    def unforeseen(error: Exception) -> Response:
        _log.error("unforeseen error", path=request.url_rule and request.url_rule.rule, exc_info=error)
        body = {
            "type": "about:blank",
            "title": "Internal error",
            "status": 500,
            "detail": "This is a fault of the service.",
        }
        return Response(msgspec.json.encode(body), 500, mimetype="application/problem+json")
