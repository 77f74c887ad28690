"""The policy: an editor that checks as one types, what a change would have done, and pushing it."""

from contextlib import suppress
from typing import Any, NamedTuple

from flask import Response, request

from verify_service.errors import ConfigError, InvalidRequest, NotFound, RevisionConflict, StoreUnavailable
from verify_service.insight.policy import NUMBER, in_force
from verify_service.model import Revision
from verify_service.operators import Operator
from verify_service.policy import file as policy_file
from verify_service.policy.changes import changes
from verify_service.policy.faults import Fault, fault
from verify_service.policy.live import SOURCE
from verify_service.policy.modes import observing, with_mode
from verify_service.policy.summary import named
from verify_service.store.backtests import HOURS
from verify_service.web.console.comparing import checked, diff, keys, line_of
from verify_service.web.console.forms import fields, onward
from verify_service.web.console.forms import read as read_form
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console
from verify_service.web.context import context


class Conflict(NamedTuple):
    """What somebody else has pushed meanwhile, and which keys both have changed."""

    theirs: Revision
    keys: list[str]
    diff: list[tuple[str, str]]
    both: list[str]


@console.get("/policy")
@operator("read")
def policy(who: Operator) -> Response:
    """The policy in force, and with `turn` and `to` the text with that limit or rule in another mode."""
    live = in_force(context().live.history)
    if live is None:
        return show("policy", who, title="Policy", live=None)
    turn, to = request.args.get("turn", ""), request.args.get("to", "")
    if to not in ("observe", "enforce"):
        return _page(who, live)
    return _page(who, live, with_mode(live.text, turn, "observe" if to == "observe" else "enforce"), typed=True)


@console.post("/policy")
@operator("admin")
def check(who: Operator) -> Response:
    """The page with the text that was typed, and what a check of it has found."""
    live = there()
    return _page(who, live, _text(), base=base_of(live), typed=True)


@console.post("/policy/check")
@operator("admin")
def as_typed(who: Operator) -> Response:
    """What a check has found, alone: for the script that asks while somebody types."""
    return show("policy_checked", who, title="", checked=checked(there().text, _text()))


@console.post("/policy/backtest")
@operator("admin")
def backtest(who: Operator) -> Response:
    """Begins a backtest over the last hours against the policy in force."""
    live, text = there(), _text()
    hours = read_form().get("hours", "")
    if hours not in map(str, HOURS):
        raise InvalidRequest("hours", f"is one of {', '.join(map(str, HOURS))}")
    if checked(live.text, text).fault:
        return _page(who, live, text, base=base_of(live), status=400, typed=True)
    now = context().clock.now()
    id, began = context().backtests.begin(now, who.actor, int(hours), text, (live.revision, live.text))
    if not began:
        return _page(who, live, text, base=base_of(live), status=409, typed=True, running=id)
    return onward(f"/policy/backtests/{id}")


@console.get("/policy/backtests/<id>")
@operator("admin")
def backtested(who: Operator, id: str) -> Response:
    """The page with the text that is judged, and how far it is or what came out."""
    found = context().backtests.get(id)
    if found is None:
        raise NotFound("There is no such backtest any more; they are kept for a day.")
    live = there()
    text = live.text if found.text is None else found.text
    return _page(who, live, text, base=found.revision, typed=True, backtest=found)


@console.get("/policy/backtests/<id>/live")
@operator("admin")
def progress(who: Operator, id: str) -> Response:
    return show("policy_backtest", who, title="", backtest=context().backtests.get(id))


@console.post("/policy/backtests/<id>/cancel")
@operator("admin")
def cancel(who: Operator, id: str) -> Response:
    canceled = context().backtests.cancel(context().clock.now(), id, who.actor)
    return onward(f"/policy/backtests/{id}", "Canceled." if canceled else "It had ended already.")


@console.post("/policy/push")
@operator("admin")
def push(who: Operator) -> Response:
    """Puts the text in force where nobody has pushed since its author began; else shows both."""
    live, text = there(), _text()
    base = base_of(live)
    names: list[str] = []
    try:
        [note] = fields("note")
        if read_form().get("as") == "observe" and not checked(live.text, text).fault:
            text, names = observing(text, live.text)
        pushed = context().live.push(context().clock.now(), who.actor, note, text, expected=base)
    except InvalidRequest as error:
        said = f"The reason {error.members['errors'][0]['message']}: it stands in the history for whoever comes later."
        return _page(who, live, text, base=base, status=400, typed=True, complaint=said)
    except RevisionConflict:
        return _page(who, there(), text, status=409, typed=True, conflict=_conflict(base, text))
    except ConfigError as error:
        return _page(who, live, text, base=base, status=400, typed=True, fault=fault(str(error), text))
    follow()
    watch = f" Only observed until you enforce it: {', '.join(names)}." if names else ""
    return onward("/policy", f"Revision {pushed.revision} is in force in every process within two seconds.{watch}")


def _page(
    who: Operator,
    live: Revision,
    text: str | None = None,
    *,
    base: int | None = None,
    status: int = 200,
    typed: bool = False,
    fault: Fault | None = None,
    **more: Any,
) -> Response:
    """The page with a text in its editor: what was typed, or else the one in force."""
    text = live.text if text is None else text
    found = checked(live.text, text) if typed else None
    if fault is not None and found is not None:
        found = found._replace(fault=fault, line=line_of(text, fault))
    rules: list[tuple[str, str, str]] = []
    with suppress(ConfigError):
        rules = [*named(policy_file.parse(live.text, SOURCE))]
    form = read_form() if request.method == "POST" else {}
    return show(
        "policy",
        who,
        status=status,
        title="Policy",
        live=live,
        in_force=rules,
        text=text,
        base=live.revision if base is None else base,
        checked=found,
        hours=HOURS,
        note=form.get("note", ""),
        **({"conflict": None, "running": None, "backtest": None, "complaint": ""} | more),
    )


def there() -> Revision:
    """The revision in force. Raises NotFound, StoreUnavailable."""
    live = in_force(context().live.history)
    if live is None:
        raise NotFound("No policy was pushed yet.")
    return live


def follow() -> None:
    """This process follows at once; it is pushed, so where it cannot it follows like the others."""
    with suppress(StoreUnavailable):
        context().live.refresh()


def _text() -> str:
    """The text of the form, with the ends of lines that files have: browsers send others."""
    return read_form().get("text", "").replace("\r\n", "\n")


def base_of(live: Revision) -> int:
    """The revision that the author of the form began with."""
    said = read_form().get("base", "")
    return int(said) if NUMBER.fullmatch(said) else live.revision


def _conflict(base: int, text: str) -> Conflict:
    """What was pushed since, against what its author has changed."""
    theirs, began = there(), None
    with suppress(ConfigError):
        began = context().live.history.get(base)
    if began is None:
        return Conflict(theirs, [], [], [])
    mine = {_key(each) for each in changes(began.text, text)}
    both = [key for each in changes(began.text, theirs.text) if (key := _key(each)) in mine]
    return Conflict(theirs, keys(began.text, theirs.text), diff(began.text, theirs.text), both)


def _key(change: str) -> str:
    return change.partition(": ")[0]
