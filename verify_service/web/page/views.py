"""What a browser asks of the page of a verification: to see it, to check a code, to send it again, to give up.

A GET changes nothing. A POST is answered with a redirect, so that reload and back ask for a page again and not for its
deed: to the caller's return_url where it ended the verification or found it over, else to the page, which says what
became of it.
"""

from contextlib import suppress

from flask import Response

from verify_service.errors import ChecksExhausted, InvalidRequest, RateLimited, VerificationNotFound
from verify_service.model import Verification
from verify_service.web import bodies
from verify_service.web.context import context
from verify_service.web.page import links, showing, steps
from verify_service.web.page.links import Link
from verify_service.web.page.surface import page


@page.get("/<token>")
def show(token: str) -> Response:
    link = links.read(context().config, context().keys, token)
    found = _found(link)
    if found is None:
        return showing.ended(link, "expired")
    if found.status != "pending":
        return showing.ended(link, found.status)
    return showing.pending(link, found, steps.channels(link, found.to or ""), _others(link), *steps.notice())


@page.post("/<token>")
def act(token: str) -> Response:
    form = steps.form()
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
        return steps.here() if status in ("pending", "approved") else steps.onward(link, status)
    except RateLimited as problem:
        return steps.limited(problem)


def _check(link: Link, typed: str) -> Response:
    """The same code again within a minute is the same check: a double click approves once, and counts once."""
    try:
        code = bodies.code(typed)
    except InvalidRequest:
        return steps.here("unreadable")
    service, options = context().service, link.options
    once, receipt = f"page {link.id} {code}", service.approvals.missing is None
    try:
        found = service.check(link.tenant, link.id, code, options.binding, options.ip, once, receipt)
    except ChecksExhausted:
        return steps.onward(link, "exhausted")
    return steps.here("wrong") if found.status == "pending" else steps.onward(link, found.status, found.receipt)


def _send(link: Link, channel: str, click: str) -> Response:
    """Under the number that the verification has, with what its start said. A second click on the same page, which
    tells how many sends were left, is the first one again."""
    found = _found(link)
    if found is None or found.to is None:
        raise VerificationNotFound
    if channel not in steps.channels(link, found.to):
        return steps.here()
    sent = steps.started(link, found.to, found.purpose, channel, click, only=link.id)
    return steps.here("sent_again") if isinstance(sent, Verification) else sent


def _others(link: Link) -> list[showing.By]:
    """The other ways to sign in, of a user's page that has sent this code."""
    person = link.person
    if person is None or context().clock.now() >= person.until:
        return []
    return steps.kinds(context().factors.look(link.tenant, person.user))


def _cancel(link: Link) -> Response:
    context().service.cancel(link.tenant, link.id)
    return steps.onward(link, "canceled")


def _found(link: Link) -> Verification | None:
    """The verification as it stands, or None: nothing is known of it any more, an hour after its life. One whose number
    cannot be read was made with a key that has left the ring, so that its code is good no more: it has expired, too."""
    with suppress(VerificationNotFound):
        found = context().service.status(link.tenant, link.id)
        if found.status != "pending" or found.to:
            return found
    return None
