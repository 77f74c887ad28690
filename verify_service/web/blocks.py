"""The live blocks of the detectors by HTTP: seen with their evidence, and lifted."""

import msgspec
from flask import Blueprint, Response, request

from verify_service.errors import InvalidRequest, NotFound
from verify_service.store.blocks import shown, under
from verify_service.web import bodies
from verify_service.web.auth import guarded
from verify_service.web.native import json
from verify_service.web.parts import parts

blocks = Blueprint("blocks", __name__, url_prefix="/admin/blocks")


@blocks.get("")
@guarded("admin")
def live(_tenant: str) -> Response:
    found = under(parts().live().watches.modes, parts().store.blocks.list(parts().clock.now()))
    return json({"blocks": [shown(block) for block in found]})


@blocks.delete("/<block_id>")
@guarded("admin")
def lift(tenant: str, block_id: str) -> Response:
    """The reason is in the query, since a DELETE's body gets lost on the way."""
    try:
        reason = msgspec.convert(request.args.get("reason"), bodies.Reason)
    except msgspec.ValidationError:
        raise InvalidRequest("reason", "is required in the query: one line of 1 to 500 characters") from None
    modes = parts().live().watches.modes
    lifted = parts().store.blocks.lift(parts().clock.now(), block_id, f"api:{tenant}", reason, modes)
    if lifted is None:
        raise NotFound("There is no such live block: it is unknown, has ended, or was lifted.")
    return json(shown(lifted))
