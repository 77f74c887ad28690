"""Signing in to the console by an OpenID provider: the way there, and back."""

import re
from typing import Final

import msgspec
from flask import Response, request

from verify_service.errors import NotFound, ProviderSilent, SignInRefused, VerifyError
from verify_service.model import Frozen
from verify_service.openid import PENDING_MS, OpenId, Pending
from verify_service.web.console import sessions, signing_in
from verify_service.web.console.showing import HEADERS, show
from verify_service.web.console.surface import console
from verify_service.web.context import context

_SEALED: Final = "console signing in"
_COOKIE: Final = "verify-signing-in"


class _Begun(Frozen, frozen=True):
    """What the browser keeps while its person is at the provider, and the page that was wanted."""

    pending: Pending
    next: str


@console.get("/sign-in/openid")
def leave() -> Response:
    """To the provider. What this browser began is in a cookie of its own, which a link that leads back here may bring
    along; the session's cookie may not."""
    try:
        at, pending = _openid().begin()
    except (ProviderSilent, SignInRefused) as error:
        return _out_of_order(error)
    begun = msgspec.json.encode(_Begun(pending, signing_in.wanted()))
    response = Response(status=303)
    response.headers.update({**HEADERS, "Location": at, "Referrer-Policy": "no-referrer"})
    sessions.set_cookie(response, _COOKIE, context().keys.token(begun, _SEALED), PENDING_MS, "Lax")
    return response


@console.get("/sign-in/back")
def come_back() -> Response:
    """From the provider. The browser comes by a link of another site, so it has not shown the session's cookie, and
    would not show a new one on a redirect: a page of ours leads on."""
    openid = _openid()
    try:
        begun = _begun()
        openid.answered(begun.pending, request.args.get("state", ""), request.args.get("iss"))
        if not re.fullmatch(r"[!-~]{1,2048}", code := request.args.get("code", "")):
            raise SignInRefused("the provider has not signed you in")
        person = openid.finish(begun.pending, code)
        # Last: the store hears of nobody whom the provider does not know.
        if not context().store.sessions.first(begun.pending.state, PENDING_MS):
            raise SignInRefused("it was answered before")
    except ProviderSilent as error:
        signing_in.refused(str(error))
        return _out_of_order(error)
    except SignInRefused as error:
        return _refused(f"You are not signed in: {error}. Begin again.", str(error))
    who = context().config.operator(person.proof)
    if who is None:
        known = f"{person.subject}, {person.email}" if person.email else f"{person.subject}, without a verified email"
        words = f"Your provider knows you ({known}), but nobody has let you in here: see [console.oidc]."
        return _refused(words, "the provider knows them, and neither `admins` nor `readers` names them")
    response = show("signed_in", None, title="Signed in", next=begun.next)
    sessions.begin(who, "openid", response)
    sessions.set_cookie(response, _COOKIE, "", 0, "Lax")
    return response


def _out_of_order(error: VerifyError) -> Response:
    return signing_in.page(503, trouble=f"Nobody can sign in there now: {error}. Try again in a moment, or use a key.")


def _refused(words: str, why: str) -> Response:
    signing_in.refused(why)
    return signing_in.page(403, trouble=words)


def _begun() -> _Begun:
    """Raises SignInRefused where this browser has begun no sign-in."""
    try:
        sealed = context().keys.opened(request.cookies.get(sessions.named(_COOKIE), ""), _SEALED)
    except ValueError:
        raise SignInRefused("it was not begun in this browser, or too long ago") from None
    return msgspec.json.decode(sealed, type=_Begun)


def _openid() -> OpenId:
    found = context().openid
    if found is None:
        raise NotFound("No OpenID provider is configured here.")
    return found
