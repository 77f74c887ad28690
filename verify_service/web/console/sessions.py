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
            who = found.operator
            try:
                if request.method == "POST":
                    forms.judge(form, form_token(found.token))
                if not who.may(scope):
                    needs = f"You may look, but this needs the scope `{scope}`"
                    raise Forbidden(f"{needs}; ask whoever keeps `verify.toml`.")
            except Forbidden as error:
                here, asked = context(), f"{request.method} {request.url_rule}"
                here.audit.refused(here.clock.now(), who.actor, "call", asked, error.detail)
                raise
            return view(who, *args, **kwargs)

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
    return SignedIn(replace(known, address=request.remote_addr or ""), token) if known else None


def begin(who: Operator, by: str, response: Response) -> None:
    """A new session of whoever has signed in `by` a key or OpenID; its cookie goes with the response. Raises
    StoreUnavailable."""
    here, token = context(), secrets.token_urlsafe(32)
    now, life = here.clock.now(), here.config.console.life.ms
    actor = replace(who, address=request.remote_addr or "").actor
    with here.audit.act(now, actor, "sign-in", "console", method=by):
        if old := request.cookies.get(named(_COOKIE), ""):
            here.store.sessions.end(old)
        here.store.sessions.begin(now, token, who.proof, actor.name, life)
    set_cookie(response, _COOKIE, token, life, "Strict")


def end(who: Operator, response: Response, *, everywhere: bool = False) -> None:
    """Ends the session of the request, or all of its operator's; the browser forgets its cookie. Raises
    StoreUnavailable."""
    here = context()
    with here.audit.act(here.clock.now(), who.actor, "sign-out", "everywhere" if everywhere else "console"):
        if everywhere:
            here.store.sessions.end_all(who.actor.name)
        else:
            here.store.sessions.end(request.cookies.get(named(_COOKIE), ""))
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
