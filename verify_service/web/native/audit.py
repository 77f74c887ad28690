"""The audit log by HTTP."""

from flask import Response, request

from verify_service.insight import audit
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.native.surface import native


@native.get("/admin/audit")
@native.guarded("admin")
def log(_tenant: str) -> Response:
    """As `insight.audit.asked` reads the query."""
    ask = audit.asked(request.args)
    answer = audit.answered(context().audit, ask)
    on = {"before": answer.on, "after": None} if ask.after is None else {"before": None, "after": answer.on}
    return json({"entries": [audit.shown(kept) for kept in answer.entries], **on})
