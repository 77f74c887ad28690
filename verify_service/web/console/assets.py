"""What the console's pages load beside themselves, from here and nowhere else."""

from functools import cache
from pathlib import Path

from flask import Response, request

from verify_service.errors import NotFound
from verify_service.web.console.surface import console

_KINDS = {"console.css": "text/css", "charts.css": "text/css", "console.js": "text/javascript"}


@console.get("/assets/<name>")
def asset(name: str) -> Response:
    """Asked for anew by each page, and answered by its hash: style and pages are of one version at any time."""
    if name not in _KINDS:
        raise NotFound("There is no such file.")
    response = Response(_bytes(name), mimetype=_KINDS[name])
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.add_etag()
    response.make_conditional(request)
    return response


@cache
def _bytes(name: str) -> bytes:
    return Path(__file__).with_name(name).read_bytes()
