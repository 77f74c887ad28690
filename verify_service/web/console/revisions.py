"""The revisions of the policy: who pushed what, why, and the way back."""

from contextlib import suppress

from flask import Response, request

from verify_service.errors import ConfigError, InvalidRequest, RevisionConflict
from verify_service.insight.policy import NUMBER, numbered, page
from verify_service.operators import Operator
from verify_service.web.console.comparing import diff, keys
from verify_service.web.console.forms import fields, onward
from verify_service.web.console.policy import base_of, follow, there
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console
from verify_service.web.context import context


@console.get("/policy/history")
@operator("admin")
def history(who: Operator) -> Response:
    """The revisions, newest first, a page at a time."""
    before = request.args.get("before", "")
    found, older = page(context().live.history, int(before) if NUMBER.fullmatch(before) else None)
    return show("policy_history", who, title="Policy history", revisions=found, older=older)


@console.get("/policy/revisions/<number>")
@operator("admin")
def revision(who: Operator, number: str) -> Response:
    """One revision: what it changed, what it says otherwise than the one in force, and its text."""
    found, live = numbered(context().live.history, number), there()
    before = None
    with suppress(ConfigError):
        before = context().live.history.get(found.revision - 1) if found.revision > 1 else None
    old = before.text if before else ""
    return show(
        "policy_revision",
        who,
        title=f"Revision {found.revision}",
        found=found,
        live=live,
        keys=keys(old, found.text) if before else [],
        diff=diff(old, found.text) if before else [],
        back=keys(live.text, found.text),
    )


@console.post("/policy/revisions/<number>/rollback")
@operator("admin")
def rollback(who: Operator, number: str) -> Response:
    """Puts a revision's text in force again, where the one in force is still the one that was shown."""
    found, live = numbered(context().live.history, number), there()
    [reason] = fields("reason")
    now = context().clock.now()
    try:
        pushed = context().live.rollback(now, who.actor, reason, found.revision, expected=base_of(live))
    except RevisionConflict:
        said = "Somebody has pushed another revision meanwhile. Nothing was changed: look again."
        return onward(f"/policy/revisions/{found.revision}", said)
    except ConfigError as error:
        raise InvalidRequest("policy", str(error)) from None
    follow()
    return onward("/policy", f"Revision {pushed.revision} is in force, with the text of {found.revision}.")
