"""Alerts to the team by HTTP: what is open, what is over, what could not be told."""

from flask import Response

from verify_service.insight.alerts import overview
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.native.surface import native


@native.get("/admin/alerts")
@native.guarded("read")
def alerts(_tenant: str) -> Response:
    return json(overview(context().store, context().config.base_url))
