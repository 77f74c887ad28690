"""The latest decisions on starts by HTTP."""

from flask import Response, request

from verify_service.insight import decisions
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.native.surface import native


@native.get("/admin/decisions")
@native.guarded("admin")
def latest(_tenant: str) -> Response:
    """Of all tenants, as `insight.decisions.asked` reads the query."""
    ask = decisions.asked(request.args)
    return json(decisions.shown(decisions.decided(context().store, context().clock.now(), ask)))
