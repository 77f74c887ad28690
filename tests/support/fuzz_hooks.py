"""What schemathesis asks before each call of a run of `tests.support.fuzz`; it reads this in a process of its own."""

from typing import Any

import schemathesis

LONGEST_WAIT_S = 0.05


@schemathesis.hook
def before_call(_context: object, case: Any, _kwargs: object) -> None:
    """Keeps runs short and deep: long polls end soon, the inbox is asked for JSON, and half of the fitting starts and
    checks are for numbers that exist and have not opted out."""
    if (case.method, case.path) == ("GET", "/fake/inbox"):
        case.headers["Accept"] = "application/json"
    try:
        if LONGEST_WAIT_S < float(case.query["wait"]) <= 30:
            case.query["wait"] = LONGEST_WAIT_S
    except (KeyError, TypeError, ValueError):
        pass
    body = case.body
    if case.path in {"/start", "/check"} and isinstance(body, dict) and isinstance(body.get("to"), str):
        dice = sum(map(ord, repr(body)))
        if 1 <= len(body["to"]) <= 32 and dice % 2:
            body["to"] = f"+1415556{dice % 10_000:04d}"
            if body.get("region"):
                body["region"] = "US"
