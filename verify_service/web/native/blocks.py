"""The live blocks of the detectors by HTTP: seen with their evidence, and lifted."""

import msgspec
from flask import Response, request

from verify_service.errors import InvalidRequest, NotFound
from verify_service.insight import blocks
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.native import schemas
from verify_service.web.native.surface import native


@native.get("/admin/blocks")
@native.guarded("admin")
def live(_tenant: str) -> Response:
    found = blocks.live(context().store, context().live, context().clock.now())
    return json({"blocks": [blocks.shown(block) for block in found]})


@native.delete("/admin/blocks/<block_id>")
@native.guarded("admin")
def lift(tenant: str, block_id: str) -> Response:
    """The reason is in the query, since a DELETE's body gets lost on the way."""
    try:
        reason = msgspec.convert(request.args.get("reason"), schemas.Reason)
    except msgspec.ValidationError:
        raise InvalidRequest("reason", "is required in the query: one line of 1 to 500 characters") from None
    lifted = context().relief.lift(block_id, caller(tenant), reason)
    if lifted is None:
        raise NotFound("There is no such live block: it is unknown, has ended, or was lifted.")
    return json(blocks.shown(lifted))
