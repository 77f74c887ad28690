"""Who calls: API keys by digest, scopes, and a limit on failed tries."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from flask import Response, request

from verify_service.codes import api_key_digest
from verify_service.config import Principal
from verify_service.errors import Forbidden, RateLimited, Unauthorized
from verify_service.web.parts import parts

P = ParamSpec("P")
View = Callable[Concatenate[str, P], Response]
_BODILESS = frozenset({"GET", "HEAD", "DELETE"})


def guarded(scope: str, *also: str) -> Callable[[View[P]], Callable[P, Response]]:
    """Lets a view run for keys with the scope, or one of `also`; it gets the tenant first. `admin` includes `read`."""
    enough = {scope, *also, *(["admin"] if scope == "read" else [])}

    def decorate(view: View[P]) -> Callable[P, Response]:
        @wraps(view)
        def checked(*args: P.args, **kwargs: P.kwargs) -> Response:
            principal = _principal()
            if not enough & principal.scopes:
                raise Forbidden(f"This API key lacks the scope `{scope}`.")
            if request.method in _BODILESS:  # The others read it before they do anything; see `gateway.py`.
                request.environ["wsgi.input"].read(0)
            return view(principal.tenant, *args, **kwargs)

        return checked

    return decorate


def _principal() -> Principal:
    """Raises Unauthorized, or RateLimited where too many wrong keys came from this address."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Unauthorized("Send the API key as `Authorization: Bearer <api key>`.")
    # Keys are 256 random bits looked up by their SHA-256, so neither guessing nor timing helps a stranger.
    known = parts().config.principals.get(api_key_digest(key.strip()))
    if known is None:
        wait = parts().failures.hit(request.remote_addr or "")
        if wait:
            raise RateLimited(
                "Too many wrong API keys came from this address.", limit="failed-authentications", retry_after=wait
            )
        raise Unauthorized("This API key is not known here.")
    return known
