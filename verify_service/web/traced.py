"""A span for each request whose caller is known. It goes around the app: who calls is only found out within."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING
from wsgiref.types import WSGIApplication

from flask import Request

from verify_service import tracing
from verify_service.wsgi import BEGAN

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Traced:
    """The app, with what is traced of a request exported once it is answered."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        status = 500

        def said(line: str, *more: object) -> object:
            nonlocal status
            status = int(line[:3])
            return start_response(line, *more)  # type: ignore[arg-type]

        request = tracing.Request()
        try:
            answer = self._app(environ, said)  # type: ignore[arg-type]
            request.end(status)
            return answer
        finally:
            request.leave()


def begin(request: Request, tenant: str) -> None:
    """A caller's key was right: its traceparent counts from here on. A stranger's never does."""
    rule = request.url_rule.rule if request.url_rule else ""
    began = request.environ.get(BEGAN, time.monotonic())
    tracing.begin(request.method, rule, request.environ.get("HTTP_TRACEPARENT", ""), began, verify_tenant=tenant)
