"""Who is signed in: the cookie of a browser, the session behind it, and the operator whose that is.

The cookie holds 256 random bits. Each form carries a token that is made of them, so that a page of another origin,
or of another session, has none that fits.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, NamedTuple, ParamSpec
from urllib.parse import quote, urlsplit

from flask import Response, g, request
from msgspec.structs import replace

from verify_service.errors import Forbidden, Unauthorized
from verify_service.operators import Operator, OperatorScope
from verify_service.web.console import forms
from verify_service.web.context import context

_COOKIE: Final = "verify-console"
P = ParamSpec("P")
Page = Callable[Concatenate[Operator, P], Response]


class SignedIn(NamedTuple):
    """An operator, and the token of their session."""

    operator: Operator
    token: str


def operator(scope: OperatorScope) -> Callable[[Page[P]], Callable[P, Response]]:
    """Lets a page run for whoever is signed in and may: it gets the operator first. Others are led to the sign-in. A
    form must come from a page of the same session; see `forms.judge`."""

    def decorate(view: Page[P]) -> Callable[P, Response]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
            if request.method == "POST":
                form = forms.read()  # Before anything else: a body that is still on its way runs all of it again.
            found = signed_in()
            if found is None:
                return _to_sign_in()
            if request.method == "POST":
                forms.judge(form, form_token(found.token))
            if not found.operator.may(scope):
                raise Forbidden(f"You may look, but this needs the scope `{scope}`; ask whoever keeps `verify.toml`.")
            return view(replace(found.operator, address=request.remote_addr or ""), *args, **kwargs)

        return checked

    return decorate


def signed_in() -> SignedIn | None:
    """Whose session the request's cookie is, None where it is nobody's, or over, or its operator is not let in any
    more. Raises StoreUnavailable."""
    if "signed_in" not in g:
        g.signed_in = _signed_in()
    found: SignedIn | None = g.signed_in
    return found


def _signed_in() -> SignedIn | None:
    token = request.cookies.get(named(_COOKIE), "")
    if not token:
        return None
    # What a page asks for by itself, to be live, does not keep its session from being idle.
    active = request.headers.get("X-Live") is None
    ends, now = context().config.console, context().clock.now()
    session = context().store.sessions.use(now, token, ends.idle.ms, ends.life.ms, active=active)
    known = session and context().config.operator(session.proof)
    return SignedIn(known, token) if known else None


def begin(who: Operator, response: Response) -> None:
    """A new session, whose cookie goes with the response."""
    token = secrets.token_urlsafe(32)
    end()
    life = context().config.console.life.ms
    context().store.sessions.begin(context().clock.now(), token, who.proof, who.actor.name, life)
    set_cookie(response, _COOKIE, token, life, "Strict")


def end() -> None:
    """Ends the session of the request's cookie."""
    if token := request.cookies.get(named(_COOKIE), ""):
        context().store.sessions.end(token)


def forget(response: Response) -> None:
    """Has the browser forget its cookie."""
    set_cookie(response, _COOKIE, "", 0, "Strict")


def form_token(token: str) -> str:
    """What the forms of a session carry."""
    return hmac.new(token.encode(), b"verify_service console form", hashlib.sha256).hexdigest()


def named(name: str) -> str:
    """A cookie's whole name: behind https one that no other host or path can set (RFC 6265bis, 4.1.3.2)."""
    return f"__Host-{name}" if _behind_https() else name


def set_cookie(response: Response, name: str, value: str, life_ms: int, same_site: str) -> None:
    """Has the browser keep a cookie out of every script's reach, or forget it where `life_ms` is 0."""
    secure = _behind_https()
    response.set_cookie(named(name), value, max_age=life_ms // 1000, secure=secure, httponly=True, samesite=same_site)


def _behind_https() -> bool:
    return request.is_secure or urlsplit(context().config.public_url or "").scheme == "https"


def _to_sign_in() -> Response:
    if request.headers.get("X-Live") is not None:
        raise Unauthorized("You are signed out.")
    wanted = request.full_path.rstrip("?") if request.method == "GET" else "/console/"
    return forms.redirect(f"/sign-in?next={quote(wanted, safe='')}")
