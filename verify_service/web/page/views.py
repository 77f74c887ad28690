"""What a browser asks of a page: to see it, to check a code, to send it again, to give up.

A GET changes nothing. A POST is answered with a redirect, so that reload and back ask for a page again and not for its
deed: to the caller's return_url where it ended the verification or found it over, else to the page, which says what
became of it.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode

from flask import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from verify_service.asking import StartFields
from verify_service.errors import (
    Blocked,
    ChecksExhausted,
    Forbidden,
    InvalidNumber,
    InvalidRequest,
    OptedOut,
    RateLimited,
    SendsExhausted,
    VerificationNotFound,
)
from verify_service.model import Verification
from verify_service.return_urls import back
from verify_service.web import bodies
from verify_service.web.context import context
from verify_service.web.page import links, showing
from verify_service.web.page.links import Link
from verify_service.web.page.surface import page

FORM = "application/x-www-form-urlencoded"
MOST_BYTES = 4096


@page.get("/<token>")
def show(token: str) -> Response:
    link = links.read(context().config, context().keys, token)
    found = _found(link)
    if found is None:
        return showing.ended(link, "expired")
    if found.status != "pending":
        return showing.ended(link, found.status)
    return showing.pending(link, found, _channels(link, found), *_notice())


@page.post("/<token>")
def act(token: str) -> Response:
    form = _form()
    # The token is all that a form needs to be ours. Who sends a browser here with a token of their own makes it act for
    # them, though, so one that says that another site's page posted the form is not heard.
    if request.environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("same-origin", "none"):
        raise Forbidden("This form was not sent by the page itself.")
    link = links.read(context().config, context().keys, token)
    try:
        if "cancel" in form:
            return _cancel(link)
        if "send" in form:
            return _send(link, form["send"], f"{token} {form['send']} {form.get('sends', '')}")
        return _check(link, form.get("code", ""))
    except VerificationNotFound:
        found = _found(link)
        status = found.status if found else "expired"
        return _here() if status in ("pending", "approved") else _onward(link, status)
    except RateLimited as problem:
        early = problem.members["limit"] == "cooldown"
        return _here("wait" if early else "limited", problem.members["retry_after"])


def _check(link: Link, typed: str) -> Response:
    """The same code again within a minute is the same check: a double click approves once, and counts once."""
    try:
        code = bodies.code(typed)
    except InvalidRequest:
        return _here("unreadable")
    service, options = context().service, link.options
    once, receipt = f"page {link.id} {code}", service.approvals.missing is None
    try:
        found = service.check(link.tenant, link.id, code, options.binding, options.ip, once, receipt)
    except ChecksExhausted:
        return _onward(link, "exhausted")
    return _here("wrong") if found.status == "pending" else _onward(link, found.status, found.receipt)


def _send(link: Link, channel: str, click: str) -> Response:
    """Under the number that the verification has, with what its start said. A second click on the same page, which
    tells how many sends were left, is the first one again."""
    service = context().service
    found = _found(link)
    if found is None or found.to is None:
        raise VerificationNotFound
    if channel not in _channels(link, found):
        return _here()
    said = {name: getattr(link.options, name) for name in link.options.__struct_fields__}
    once = f"page {sha256(click.encode()).hexdigest()}"
    try:
        ask = service.parse_start(StartFields(to=found.to, channel=channel, purpose=found.purpose, **said))
        service.start(link.tenant, ask, once, only=link.id)
    except OptedOut:
        return _here("opted_out")
    except (Blocked, InvalidNumber, InvalidRequest):
        return _here("refused")
    except SendsExhausted as problem:
        return _here("limited", problem.members["retry_after"])
    return _here("sent_again")


def _cancel(link: Link) -> Response:
    context().service.cancel(link.tenant, link.id)
    return _onward(link, "canceled")


def _found(link: Link) -> Verification | None:
    """The verification as it stands, or None: nothing is known of it any more, an hour after its life. One whose number
    cannot be read was made with a key that has left the ring, so that its code is good no more: it has expired, too."""
    with suppress(VerificationNotFound):
        found = context().service.status(link.tenant, link.id)
        if found.status != "pending" or found.to:
            return found
    return None


def _channels(link: Link, found: Verification) -> list[str]:
    """The channel of the start, and those that its route falls back to."""
    config = context().config
    country = context().service.parse_start(StartFields(to=found.to or "")).number.country
    first = config.route(country, link.channel)
    return [link.channel, *(each for each in (first.fallback if first else ()) if config.route(country, each))]


def _notice() -> tuple[showing.Notice | None, int]:
    """What the address says that has happened, and for how many seconds; whatever else it says is nothing."""
    said, wait = request.args.get("said", ""), request.args.get("wait", "")
    seconds = int(wait) if re.fullmatch("[0-9]{1,7}", wait) else 0
    return next((each for each in showing.NOTICES if each == said), None), seconds


def _here(said: showing.Notice | None = None, wait: int | None = None) -> Response:
    """To the page again."""
    told = {name: value for name, value in (("said", said), ("wait", wait)) if value is not None}
    return _redirect(f"{request.path.rpartition('/')[2]}{'?' if told else ''}{urlencode(told)}")


def _onward(link: Link, status: str, receipt: str | None = None) -> Response:
    """To the caller."""
    told = {"verification": link.id, "status": status, "state": link.page.state, "receipt": receipt}
    return _redirect(back(link.page.return_url, **told))


def _redirect(where: str) -> Response:
    response = Response(status=303)
    response.headers["Location"] = where
    response.headers.update(showing.HEADERS)
    return response


def _form() -> Mapping[str, str]:
    """The fields of the form. Raises InvalidRequest, and 413 and 415 by their own exceptions."""
    if bodies.media_type() != FORM:
        raise UnsupportedMediaType(f"Send a form, with the header `Content-Type: {FORM}`.")
    body = bodies.raw(MOST_BYTES).decode("latin-1")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=8))
    except ValueError:
        raise InvalidRequest("", "the form has more fields than the page has") from None
