"""Signing in to the console, and out."""

import re
from typing import Final

from flask import Response, request

from verify_service.codes import api_key_digest
from verify_service.errors import RateLimited
from verify_service.operators import Operator
from verify_service.web.console import forms, sessions
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console
from verify_service.web.context import context

_NEXT: Final = re.compile(r"/console(/[a-z0-9/_.-]*(\?[!-~]*)?)")


@console.get("")
@console.get("/sign-in")
def ask() -> Response:
    if sessions.signed_in():
        return forms.redirect(_next())
    return show("sign_in", None, title="Sign in", next=request.args.get("next", ""))


@console.post("/sign-in")
def sign_in() -> Response:
    form = forms.read()
    forms.judge_origin()
    # Keys are 256 random bits looked up by their SHA-256, so neither guessing nor timing helps a stranger.
    found = context().config.operators.get(api_key_digest(form.get("key", "").strip()))
    if found is None:
        wait = context().failures.hit(request.remote_addr or "")
        if wait:
            raise RateLimited(
                "Too many wrong keys came from this address.", limit="failed-authentications", retry_after=wait
            )
        words = {"next": form.get("next", ""), "wrong": True}
        return show("sign_in", None, status=401, title="Sign in", **words)
    response = forms.redirect(_next())
    sessions.begin(found, response)
    return response


@console.post("/sign-out")
@operator("read")
def sign_out(_who: Operator) -> Response:
    response = forms.redirect("/sign-in")
    sessions.end()
    sessions.forget(response)
    return response


def _next() -> str:
    """The page that was wanted: a path of the console, whatever the address says."""
    wanted = request.args.get("next") or (forms.read().get("next", "") if request.method == "POST" else "")
    found = _NEXT.fullmatch(wanted)
    return found[1] if found else "/"
