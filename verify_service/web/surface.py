"""What a surface is: one way of calling the service by HTTP, with its own paths, callers, bodies and errors."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from flask import Blueprint, Flask, Request, Response
from flask import request as current
from werkzeug.exceptions import HTTPException

from verify_service import tracing
from verify_service.config import Principal
from verify_service.errors import Forbidden, NotHere, Problem, Unauthorized
from verify_service.telemetry import PROBLEMS, log
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.problems import MOST_BYTES, UNFORESEEN, ProblemDetails, details
from verify_service.web.traced import begin

P = ParamSpec("P")
View = Callable[Concatenate[str, P], Response]
_BODILESS = frozenset({"GET", "HEAD", "DELETE"})

_log = log("web")


def _nobody(_request: Request) -> Principal:
    raise Unauthorized("No key opens this.")


class Surface(Blueprint):
    """A package here declares one and hangs its views on it; `create_app` mounts it with one line.

    `authenticate` says who calls a guarded view, and raises Unauthorized or RateLimited. `refuse` writes an error, also
    of a path under `url_prefix` that there is none of; what HTTP has to say of it is added in `install`. Views read
    their bodies with `bodies.raw`, and take them apart in whatever form their callers write.
    """

    def __init__(
        self,
        name: str,
        import_name: str,
        *,
        refuse: Callable[[ProblemDetails], Response],
        authenticate: Callable[[Request], Principal] = _nobody,
        **options: Any,
    ) -> None:
        super().__init__(name, import_name, **options)
        self.refuse = refuse
        self.authenticate = authenticate

    def guarded(self, scope: str, *also: str) -> Callable[[View[P]], Callable[P, Response]]:
        """Lets a view run for keys with the scope, or one of `also`; it gets the tenant first. `admin` includes
        `read`."""
        enough = {scope, *also, *(["admin"] if scope == "read" else [])}

        def decorate(view: View[P]) -> Callable[P, Response]:
            @wraps(view)
            def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
                request: Request = current._get_current_object()  # type: ignore[attr-defined]
                principal = self.authenticate(request)
                if tracing.is_on() and scope == "verify":  # The rest is monitoring, and people at work on the service.
                    begin(request, principal.tenant)
                if not enough & principal.scopes:
                    if scope == "admin":
                        _audit_refused(request, principal.tenant)
                    raise Forbidden(f"This API key lacks the scope `{scope}`.")
                if request.method in _BODILESS:  # The others read it before they do anything; see `gateway.py`.
                    request.environ["wsgi.input"].read(0)
                return view(principal.tenant, *args, **kwargs)

            return checked

        return decorate


def _audit_refused(request: Request, tenant: str) -> None:
    here, rule = context(), request.url_rule
    asked = f"{request.method} {rule.rule if rule else ''}"
    here.audit.refused(here.clock.now(), caller(tenant), "call", asked, "this key lacks the scope `admin`")


def install(app: Flask, fallback: Surface) -> None:
    """Every error becomes an answer of the surface whose path it is, `fallback` where it is nobody's. What nobody
    foresaw is logged and says nothing of itself."""

    @app.errorhandler(Exception)
    def refused(error: Exception) -> Response:
        path = current.url_rule and current.url_rule.rule
        problem = UNFORESEEN
        if isinstance(error, Problem | HTTPException):
            problem = details(error)
            PROBLEMS.labels(problem.slug).inc()
            tracing.note(verify_problem=str(problem.slug))
            if problem.status == 503:
                _log.error("store unavailable", path=path, reason=getattr(error, "reason", ""))
        else:
            _log.error("unforeseen error", path=path, exc_info=error)
        answer = (_surface(app) or fallback).refuse(problem)
        if problem.slug and not _drained(current):
            answer.headers["Connection"] = "close"
        if "retry_after" in problem.members:
            answer.headers["Retry-After"] = str(problem.members["retry_after"])
        if allowed := getattr(error, "valid_methods", None):
            answer.headers["Allow"] = ", ".join(sorted(allowed))
        return answer


def _surface(app: Flask) -> Surface | None:
    """Whose view was asked for; where there is none, whose prefix the path begins with."""
    matched = app.blueprints.get(current.blueprint or "")
    if isinstance(matched, Surface):
        return matched
    mounted = (each for each in app.blueprints.values() if isinstance(each, Surface) and each.url_prefix)
    return next((each for each in mounted if f"{current.path}/".startswith(f"{each.url_prefix}/")), None)


def _drained(request: Request) -> bool:
    """Reads what a refusal left of a small body that is here; whether that was all. The server closes a connection
    whose request was not read to its end: a caller that is not told so sends its next request there, in vain."""
    try:
        return len(request.environ["wsgi.input"].read(MOST_BYTES + 1)) <= MOST_BYTES
    except (OSError, Problem, NotHere):
        return False
