"""The access log: a line for each request, where it is asked for."""

import time

from flask import Flask, Response, request

from verify_service.telemetry import log
from verify_service.wsgi import BEGAN

_log = log("access")


def install(app: Flask) -> None:
    """Logs method, route, status and the milliseconds since the head came. The route is the path's pattern, None where
    there is no such path: paths and queries hold numbers, and an address is personal data as well."""

    @app.after_request
    def line(answer: Response) -> Response:
        route = request.url_rule and request.url_rule.rule
        took = time.monotonic() - request.environ.get(BEGAN, time.monotonic())
        # A method may be any word; those that nobody has are not kept.
        method = request.method if request.method in _METHODS else None
        _log.info("request", method=method, route=route, status=answer.status_code, ms=round(1000 * took, 1))
        return answer


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
