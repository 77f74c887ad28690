"""Who did what: the audit log, filtered."""

from urllib.parse import urlencode

from flask import Response, request

from verify_service.errors import InvalidRequest
from verify_service.insight import audit
from verify_service.operators import Operator
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console
from verify_service.web.context import context


@console.get("/audit")
@operator("read")
def acts(who: Operator) -> Response:
    said = {name: value.strip() for name, value in request.args.items() if value.strip() and name != "said"}
    answer, faults = None, {}
    try:
        answer = audit.answered(context().audit, audit.asked(said))
    except InvalidRequest as error:
        faults = {each["field"]: each["message"] for each in error.members["errors"]}
    filters = {name: value for name, value in said.items() if name not in ("before", "after")}
    return show(
        "audit",
        who,
        status=400 if faults else 200,
        title="Audit",
        said_of=said,
        faults=faults,
        filters=filters,
        rows=[(audit.number(kept), kept.entry) for kept in answer.entries] if answer else [],
        answer=answer,
        older=urlencode({**filters, "before": answer.on or ""}) if answer else "",
    )
