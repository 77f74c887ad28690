"""What pages load beside themselves, from here and nowhere else."""

from functools import cache
from pathlib import Path

from flask import Response

from verify_service.errors import NotFound
from verify_service.web.context import context
from verify_service.web.page.surface import page

_KINDS = {"page.css": "text/css", "page.js": "text/javascript"}


@page.get("/assets/<name>")
def asset(name: str) -> Response:
    if name not in _KINDS:
        raise NotFound("There is no such file.")
    return _kept(_bytes(name), _KINDS[name])


@cache
def _bytes(name: str) -> bytes:
    return Path(__file__).with_name(name).read_bytes()


@page.get("/brands/<tenant>/<name>")
def brand(tenant: str, name: str) -> Response:
    """A tenant's colour and logo."""
    colour, logo = context().config.colours.get(tenant), context().logos.get(tenant)
    if name == "colour.css" and colour:
        return _kept(f":root {{ --brand: {colour}; }}\n".encode(), "text/css")
    if name == "logo" and logo:
        answer = _kept(*logo)
        # A picture may be a document of its own, which a browser opens by its address: it runs nothing then.
        answer.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        return answer
    raise NotFound("There is no such file.")


def _kept(data: bytes, mimetype: str) -> Response:
    """A file that browsers keep for ten minutes: as long as most verifications live, and no longer than an upgrade."""
    response = Response(data, mimetype=mimetype)
    response.headers["Cache-Control"] = "public, max-age=600"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
