"""The safe list: numbers that no rule keeps from getting a code. It is the policy's allow-list, and each change of it a
revision of the policy, with who made it."""

from contextlib import suppress
from typing import Any

from flask import Response

from verify_service import recipient
from verify_service.errors import ConfigError, InvalidNumber, NotFound, RevisionConflict, StoreUnavailable
from verify_service.model import Revision
from verify_service.policy.listing import allowed, allowing
from verify_service.services import derived
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.twilio.surface import Refused, form, root, twilio

_TRIES = 5


@twilio.post("/SafeList/Numbers")
@twilio.guarded("admin")
def add_number(tenant: str) -> Response:
    number = recipient.parse(form({"PhoneNumber"}).get("PhoneNumber", ""), None).e164
    _change(tenant, number, listed=True)
    return json(_shown(number), 201)


@twilio.get("/SafeList/Numbers/<number>")
@twilio.guarded("read")
def listed_number(_tenant: str, number: str) -> Response:
    return json(_shown(_listed(number)))


@twilio.delete("/SafeList/Numbers/<number>")
@twilio.guarded("admin")
def remove_number(tenant: str, number: str) -> Response:
    _change(tenant, _listed(number), listed=False)
    return Response(status=204)


def _listed(written: str) -> str:
    """The number as the list has it. Raises NotFound where it is not there."""
    with suppress(InvalidNumber):
        number = recipient.parse(written, None).e164
        if number in allowed(_in_force().text):
            return number
    raise NotFound("this number is not on the list")


def _change(tenant: str, number: str, *, listed: bool) -> None:
    """Pushes the policy with the number on its allow-list, or without; again where another push came between."""
    live, now = context().live, context().clock.now()
    note = f"SafeList/Numbers: a number {'added' if listed else 'removed'}"
    for _ in range(_TRIES):
        found = _in_force()
        try:
            text = allowing(found.text, number, listed=listed)
            if text != found.text:
                live.push(now, caller(tenant), note, text, expected=found.revision)
        except RevisionConflict:
            continue
        except ConfigError as error:
            raise Refused(60204, f"the policy could not be changed so: {error}") from None
        with suppress(StoreUnavailable):  # It is pushed; this process may follow like the others.
            live.refresh()
        return
    raise Refused(60204, "the policy is being changed by others at this moment")


def _in_force() -> Revision:
    """The newest revision, whichever this process judges by. Raises StoreUnavailable."""
    try:
        return context().live.revision()
    except ConfigError as error:
        raise StoreUnavailable(str(error)) from None


def _shown(number: str) -> dict[str, Any]:
    return {"sid": derived("GN", number), "phone_number": number, "url": f"{root()}/SafeList/Numbers/{number}"}
