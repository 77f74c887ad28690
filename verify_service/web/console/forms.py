"""The forms of the console: read, and held to be its own pages'."""

import hmac
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlencode

from flask import Response, g, request
from werkzeug.exceptions import UnsupportedMediaType

from verify_service.errors import Forbidden, InvalidRequest
from verify_service.web import bodies
from verify_service.web.context import context

FORM: Final = "application/x-www-form-urlencoded"
MOST_BYTES: Final = 1_048_576
"""As much as the server reads. A policy is longer in a form: quotes and the ends of lines are three bytes each."""
MOST_LINE: Final = 500
TOKEN: Final = "token"  # noqa: S105 (the field's name)
_SAID = "console said"
_SAID_MS: Final = 60_000
_LINE = re.compile("[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]*")


def read() -> Mapping[str, str]:
    """The fields of the form. Raises InvalidRequest, and 413 and 415 by their own exceptions."""
    if "form" not in g:
        if bodies.media_type() != FORM:
            raise UnsupportedMediaType(f"Send a form, with the header `Content-Type: {FORM}`.")
        try:
            body = bodies.raw(MOST_BYTES).decode("ascii")
            g.form = dict(parse_qsl(body, keep_blank_values=True, strict_parsing=bool(body), max_num_fields=20))
        except ValueError:
            raise InvalidRequest("", "the form cannot be read") from None
    found: Mapping[str, str] = g.form
    return found


def judge(form: Mapping[str, str], token: str) -> None:
    """Raises Forbidden for a form that no page of this session has posted."""
    judge_origin()
    if not hmac.compare_digest(form.get(TOKEN, "").encode(), token.encode()):
        raise Forbidden("This form is not of your session. Open the page again, and send it from there.")


def judge_origin() -> None:
    """Raises Forbidden for a form of another origin's page, as browsers say it: by Fetch Metadata, or by Origin where a
    page is no secure context."""
    site = request.environ.get("HTTP_SEC_FETCH_SITE", "none")
    origin = request.environ.get("HTTP_ORIGIN")
    if site not in ("same-origin", "none") or (origin and origin.partition("://")[2] != request.host):
        raise Forbidden("This form was sent by a page of another origin, so it was not heard.")


def fields(*names: str, optional: tuple[str, ...] = ()) -> list[str]:
    """What the form says under the names, each one line of at most `MOST_LINE` characters without blanks around it.
    Raises InvalidRequest naming each that is missing or is none."""
    form, faults = read(), []
    said = [form.get(name, "").strip() for name in names]
    for name, text in zip(names, said, strict=True):
        if not text and name not in optional:
            faults.append((name, "is required"))
        elif len(text) > MOST_LINE or not _LINE.fullmatch(text):
            faults.append((name, f"is one line of {MOST_LINE} characters at most"))
    if faults:
        raise InvalidRequest(*faults[0], faults[1:])
    return said


def onward(path: str, message: str = "") -> Response:
    """To a page of the console, under `/console`. It says the message, for a minute, where it is asked for by this
    address; nobody else can write one that it says."""
    if message:
        sealed = context().keys.token(f"{context().clock.now()} {message}".encode(), _SAID)
        said = urlencode({"said": sealed})
        path = f"{path}{'&' if '?' in path else '?'}{said}"
    return redirect(path)


def said() -> str:
    """The message that the address has been given by `onward`, '' where there is none, or no longer: of a page that is
    opened again it may be true no more."""
    try:
        when, _, message = context().keys.opened(request.args.get("said", ""), _SAID).decode().partition(" ")
        return message if context().clock.now() - int(when) <= _SAID_MS else ""
    except ValueError:
        return ""


def at(path: str) -> str:
    """The address of a path under `/console`, as the page that is asked for leads there: relative, for a proxy may have
    the service under a path of its own."""
    depth = request.path.count("/") - 2
    return f"./{'console/' if depth < 0 else '../' * depth}{path.removeprefix('/')}"


def redirect(path: str) -> Response:
    """To a path under `/console`."""
    response = Response(status=303)
    response.headers["Location"] = at(path)
    response.headers["Cache-Control"] = "no-store"
    return response
