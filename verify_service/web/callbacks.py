"""What vendors tell by calling us: receipts, and texts from phones. Without API key: the adapter knows its vendor."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from flask import Response, request

from verify_service.adapters import Callbacks
from verify_service.errors import (
    Forged,
    InvalidRequest,
    NotFound,
    StoreUnavailable,
    Unauthorized,
    Unavailable,
    Uncertain,
)
from verify_service.model import Callback
from verify_service.telemetry import CALLBACKS, log
from verify_service.web import bodies
from verify_service.web.context import context
from verify_service.web.problems import problem_json
from verify_service.web.surface import Surface

# Vendors tell of many messages in one call.
MOST_BYTES = 1_048_576

callbacks = Surface("callbacks", __name__, url_prefix="/providers", refuse=problem_json)

_log = log("web")
Told = TypeVar("Told")


@callbacks.route("/<name>/receipts", methods=["GET", "POST"])
def receipts(name: str) -> Response:
    """Receipts come late, twice and out of order: `all_received` knows how to take them."""
    told = _told(name, _callbacks(name).receipts)
    context().store.deliveries.all_received(context().clock.now(), name, told)
    return _taken(name)


@callbacks.route("/<name>/inbound", methods=["GET", "POST"])
def inbound(name: str) -> Response:
    for text in _told(name, _callbacks(name).inbound):
        context().consents.heard(text, name)
    return _taken(name)


def _callbacks(name: str) -> Callbacks:
    found = context().callbacks.get(name)
    if found is None:
        raise NotFound("There is no provider of this name here that calls back.")
    return found


def _told(name: str, read: Callable[[Callback], Sequence[Told]]) -> Sequence[Told]:
    """What the vendor tells. Raises Unauthorized for what it has not signed, InvalidRequest for what cannot be read."""
    # By the operator's word and not by the Host header: a signature over the URL must not hang on what a caller claims.
    query = request.query_string.decode("latin-1")
    url = f"{context().config.public_url or ''}{request.path}{'?' if query else ''}{query}"
    headers = {header.lower(): value for header, value in request.headers}
    call = Callback(method=request.method, url=url, headers=headers, body=bodies.raw(MOST_BYTES))
    try:
        return read(call)
    except Forged:
        CALLBACKS.labels(name, "forged").inc()
        raise Unauthorized("This call is not signed as this provider's are.") from None
    except (Unavailable, Uncertain) as error:
        # Whose signature it is can only be told by a certificate that cannot be had now: the vendor is to call again.
        CALLBACKS.labels(name, "unchecked").inc()
        raise StoreUnavailable(error.reason) from None
    except Exception as error:
        # An adapter takes strangers' bytes apart, so whatever it stumbles over is the bytes' fault. Its words may quote
        # them, so they are not logged.
        if not isinstance(error, ValueError):
            _log.error("adapter failed on a callback", provider=name, error=type(error).__name__)
        CALLBACKS.labels(name, "unreadable").inc()
        raise InvalidRequest("", "this is not what this provider's callbacks look like") from None


def _taken(name: str) -> Response:
    """Nothing but the status: some vendors send the person what they are answered."""
    CALLBACKS.labels(name, "taken").inc()
    return Response(status=200, mimetype="text/plain")
