"""What a browser asks of a user's page: to set up an authenticator app, or to sign in by one of the ways there are.

A GET changes nothing. A POST is answered with a redirect, as on the page of a verification, but for one: the answer to
the first right code of an app has the recovery codes, and no other has them.
"""

from hashlib import sha256

import msgspec
from flask import Response, request

from verify_service.errors import InvalidRequest, NotFound, RateLimited
from verify_service.model import Verification
from verify_service.web.context import context
from verify_service.web.page import factor_showing, links, showing, steps
from verify_service.web.page.links import Link, Person
from verify_service.web.page.surface import page


@page.get("/users/<token>")
def show_user(token: str) -> Response:
    link, person = links.read_of_user(context().config, context().keys, token)
    if _over(person):
        return _gone(link)
    if _enrols(link):
        return _enrolment(link, person)
    state = context().factors.look(link.tenant, person.user)
    kinds = steps.kinds(state)
    notice, wait = steps.notice()
    if notice is None and state.retry_after is not None:
        notice, wait = "limited", state.retry_after
    channels = _channels(link, person) if state.texts else []
    return factor_showing.asking(link, person, state, kinds, _by(kinds), channels, notice, wait)


@page.post("/users/<token>")
def act_for_user(token: str) -> Response:
    form = steps.form()
    link, person = links.read_of_user(context().config, context().keys, token)
    if _over(person):
        return steps.onward(link, "expired")
    if "cancel" in form:
        return steps.onward(link, "canceled")
    by: showing.By | None = "recovery" if request.args.get("by") == "recovery" else None
    try:
        if _enrols(link):
            return _verify(link, person, form.get("code"), form.get("renew", ""))
        if "send" in form:
            return _send(link, person, form["send"], f"{token} {form['send']} {form.get('once', '')}")
        return _check(link, person, form.get("code", ""), by)
    except NotFound:
        return steps.here()
    except InvalidRequest:
        return steps.here("wrong" if by else "unreadable", by=by)
    except RateLimited as problem:
        return steps.limited(problem, by)


def _enrolment(link: Link, person: Person) -> Response:
    """The secret is shown until the factor is verified, and then to nobody."""
    try:
        waiting = context().factors.waiting(link.tenant, person.user, link.id)
    except NotFound:
        return _gone(link)
    if waiting is None:
        return factor_showing.enrolled(link, person, *steps.notice())
    return factor_showing.enrolment(link, person, waiting, *steps.notice())


def _verify(link: Link, person: Person, code: str | None, renewing: str) -> Response:
    """The first code, or a later one of the same app, which gives new recovery codes to who has not kept the first."""
    factors = context().factors
    if code is not None:
        found = factors.verify(link.tenant, person.user, link.id, code)
    else:
        found = factors.check(link.tenant, person.user, renewing, factor=link.id)
    if not found.approved:
        return steps.here("used" if found.status == "used" else "wrong")
    codes = found.recovery_codes if code is not None else factors.renew_recovery_codes(link.tenant, person.user)
    return factor_showing.recovery_codes(link, codes) if codes else steps.onward(link, "verified")


def _check(link: Link, person: Person, typed: str, by: showing.By | None) -> Response:
    """Whatever they type: a code of any app of theirs, or a recovery code. The same again within a minute is the same
    check."""
    options = link.options
    once = f"page {sha256(f'{link.id} {options.binding} {typed}'.encode()).hexdigest()}"
    found = context().factors.check(
        link.tenant, person.user, typed, receipt=True, binding=options.binding, idempotency_key=once
    )
    if found.approved:
        return steps.onward(link, "approved", found.receipt)
    return steps.here("used" if found.status == "used" else "wrong", by=by)


def _send(link: Link, person: Person, channel: str, click: str) -> Response:
    """To the page of the code that was sent. Who comes back from there too early is led there again."""
    if channel not in _channels(link, person):
        return steps.here()
    try:
        sent = steps.started(link, person.to, person.purpose, channel, click)
    except RateLimited as problem:
        if link.id and problem.members.get("id") == link.id:
            return _to_code(link, f"?said=wait&wait={problem.members['retry_after']}")
        raise
    return _to_code(msgspec.structs.replace(link, id=sent.id)) if isinstance(sent, Verification) else sent


def _to_code(link: Link, query: str = "") -> Response:
    return steps.redirect(f"../{links.token(context().keys, link)}{query}")


def _channels(link: Link, person: Person) -> list[str]:
    return steps.channels(link, person.to) if person.to else []


def _by(kinds: list[showing.By]) -> showing.By | None:
    """What is asked for: what the address says, else the first that there is."""
    return next((each for each in kinds if each == request.args.get("by")), kinds[0] if kinds else None)


def _enrols(link: Link) -> bool:
    return link.id.startswith("fa_")


def _over(person: Person) -> bool:
    return context().clock.now() >= person.until


def _gone(link: Link) -> Response:
    return showing.ended(link, "expired", "gone")
