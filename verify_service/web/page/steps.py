"""What the views of all pages share: the form that a browser sends, a start of the person's, and where that leads."""

import re
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from verify_service.asking import StartFields
from verify_service.errors import (
    Blocked,
    Forbidden,
    InvalidNumber,
    InvalidRequest,
    OptedOut,
    RateLimited,
    SendsExhausted,
)
from verify_service.factors import UserState
from verify_service.model import Verification
from verify_service.web import bodies
from verify_service.web.context import context
from verify_service.web.page import links, showing
from verify_service.web.page.links import Link

FORM = "application/x-www-form-urlencoded"
MOST_BYTES = 4096


def form() -> Mapping[str, str]:
    """The fields of the form. Raises InvalidRequest, Forbidden, and 413 and 415 by their own exceptions."""
    if bodies.media_type() != FORM:
        raise UnsupportedMediaType(f"Send a form, with the header `Content-Type: {FORM}`.")
    body = bodies.raw(MOST_BYTES).decode("latin-1")
    # The token is all that a form needs to be ours. Who sends a browser here with a token of their own makes it act for
    # them, though, so one that says that another site's page posted the form is not heard.
    if request.environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none"):
        raise Forbidden("This form was not sent by the page itself.")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=8))
    except ValueError:
        raise InvalidRequest("", "the form has more fields than the page has") from None


def channels(link: Link, to: str) -> list[str]:
    """The channel of the link, and those that its route falls back to."""
    config = context().config
    country = context().service.parse_start(StartFields(to=to)).number.country
    first = config.route(country, link.channel)
    return [link.channel, *(each for each in (first.fallback if first else ()) if config.route(country, each))]


def started(
    link: Link, to: str, purpose: str, channel: str, click: str, only: str | None = None
) -> Verification | Response:
    """The verification of a start or resend, with what the link says, or the way to the page where it is refused. The
    same `click` again is the same start. Raises RateLimited, VerificationNotFound."""
    said = {name: getattr(link.options, name) for name in link.options.__struct_fields__}
    once, service = f"page {sha256(click.encode()).hexdigest()}", context().service
    try:
        ask = service.parse_start(StartFields(to=to, channel=channel, purpose=purpose, **said))
        return service.start(link.tenant, ask, once, only=only)
    except OptedOut:
        return here("opted_out")
    except (Blocked, InvalidNumber, InvalidRequest):
        return here("refused")
    except SendsExhausted as problem:
        return here("limited", problem.members["retry_after"])


def limited(problem: RateLimited, by: showing.By | None = None) -> Response:
    """To the page, which says in what time it can."""
    early = problem.members["limit"] == "cooldown"
    return here("wait" if early else "limited", problem.members["retry_after"], by)


def notice() -> tuple[showing.Notice | None, int]:
    """What the address says that has happened, and for how many seconds; whatever else it says is nothing."""
    said, wait = request.args.get("said", ""), request.args.get("wait", "")
    seconds = int(wait) if re.fullmatch("[0-9]{1,7}", wait) else 0
    return next((each for each in showing.NOTICES if each == said), None), seconds


def kinds(state: UserState) -> list[showing.By]:
    """The ways to sign in that no message is sent for."""
    verified = any(each.status == "verified" for each in state.factors)
    found: dict[showing.By, bool] = {"app": verified, "recovery": verified and state.recovery_codes_left > 0}
    return [by for by, there in found.items() if there]


def here(said: showing.Notice | None = None, wait: int | None = None, by: showing.By | None = None) -> Response:
    """To the page again; `by` is the way that it asks by, where it has several."""
    told = {name: value for name, value in (("by", by), ("said", said), ("wait", wait)) if value is not None}
    return redirect(f"{request.path.rpartition('/')[2]}{'?' if told else ''}{urlencode(told)}")


def onward(link: Link, status: str, receipt: str | None = None) -> Response:
    """To the caller."""
    return redirect(links.onward(link, status, receipt))


def redirect(where: str) -> Response:
    response = Response(status=303)
    response.headers["Location"] = where
    response.headers.update(showing.HEADERS)
    return response
