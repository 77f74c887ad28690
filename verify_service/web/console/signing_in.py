"""Signing in to the console by a key, and out."""

import re
from typing import Final
from urllib.parse import urlsplit

from flask import Response, request

from verify_service.codes import api_key_digest
from verify_service.errors import Forbidden, RateLimited
from verify_service.model import Actor
from verify_service.operators import Operator
from verify_service.web.console import forms, sessions
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console
from verify_service.web.context import context

_NEXT: Final = re.compile(r"(?=.{0,1500}\Z)/console((?:/|(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+)(?:\?[!-~]*)?)")
"""Without `..` or `//`, which lead elsewhere. What names somebody who was looked up is long, and has capitals."""


@console.get("")
@console.get("/sign-in")
def ask() -> Response:
    if sessions.signed_in():
        return forms.redirect(wanted())
    return page()


@console.post("/sign-in")
def sign_in() -> Response:
    form = forms.read()
    try:
        forms.judge_origin()
    except Forbidden as error:
        refused(error.detail)
        raise
    # Keys are 256 random bits looked up by their SHA-256, so neither guessing nor timing helps a stranger.
    found = context().config.operators.get(api_key_digest(form.get("key", "").strip()))
    if found is None:
        refused(wrong := "This key is not an operator's.")
        return page(401, wrong=wrong)
    response = forms.redirect(wanted())
    sessions.begin(found, "key", response)
    return response


@console.post("/sign-out")
@operator("read")
def sign_out(who: Operator) -> Response:
    response = forms.redirect("/sign-in")
    sessions.end(who, response)
    return response


@console.post("/sign-out/everywhere")
@operator("read")
def sign_out_everywhere(who: Operator) -> Response:
    """The sessions of a browser that was lost, too."""
    response = forms.redirect("/sign-in")
    sessions.end(who, response, everywhere=True)
    return response


@console.get("/you")
@operator("read")
def you(who: Operator) -> Response:
    ends = context().config.console
    by_provider = who.proof not in context().config.operators
    return show("you", who, title="You", oidc=by_provider, idle=ends.idle.text, life=ends.life.text)


def page(status: int = 200, *, wrong: str = "", trouble: str = "") -> Response:
    """The page that asks for a key, or leads to the provider: `wrong` is said of the key, `trouble` of the provider."""
    oidc = context().config.console.oidc
    return show(
        "sign_in",
        None,
        status=status,
        title="Sign in",
        next=_asked(),
        wrong=wrong,
        trouble=trouble,
        provider=urlsplit(oidc.issuer).hostname if oidc else "",
    )


def wanted() -> str:
    """The page that was wanted: a path of the console, whatever the address says."""
    found = _NEXT.fullmatch(_asked())
    return found[1] if found else "/"


def refused(why: str) -> None:
    """Counts a sign-in that is refused, and writes it down, as long as a flood does not. Raises RateLimited where too
    many come from this address."""
    here, address = context(), request.remote_addr or ""
    wait = here.failures.hit(address)
    if (unwritten := here.failures.noted()) is not None:
        words = f"{why} ({unwritten} before it were not written down)" if unwritten else why
        stranger = Actor("nobody", address)
        here.audit.refused(here.clock.now(), stranger, "sign-in", "console", words, stranger=True)
    if wait:
        words = "Too many sign-ins from this address were refused."
        raise RateLimited(words, limit="failed-authentications", retry_after=wait)


def _asked() -> str:
    return request.args.get("next") or (forms.read().get("next", "") if request.method == "POST" else "")
