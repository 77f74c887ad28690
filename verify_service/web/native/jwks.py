"""The public keys that receipts are verified with: for anybody, and good to be cached."""

from flask import Response, request

from verify_service.errors import NotFound
from verify_service.web.context import context
from verify_service.web.native.surface import native

FRESH_S = 300
"""How long a copy may be used. A key that joins the ring is not signed with for longer than that: docs/receipts.md."""


@native.get("/.well-known/jwks.json")
def jwks() -> Response:
    keys = context().service.approvals.keys
    if keys is None:
        raise NotFound("This service signs no receipts: VERIFY_SIGNING_KEYS is not set.")
    answer = Response(keys.jwks, mimetype="application/jwk-set+json")
    answer.cache_control.public = True
    answer.cache_control.max_age = FRESH_S
    answer.add_etag()
    answer.make_conditional(request)
    return answer
