"""Counts and money over time by HTTP."""

from flask import Response, request

from verify_service.insight import counts
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.native.surface import native


@native.get("/admin/stats")
@native.guarded("read")
def stats(_tenant: str) -> Response:
    """Of all tenants, as `insight.counts.asked` reads the query."""
    ask = counts.asked(request.args, context().clock.now())
    return json(counts.shown(counts.stats(context().store, *ask)))
