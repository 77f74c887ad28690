"""Attempts: each message of a verification and whether its code was entered, told from the recorded events."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from flask import Response, request

from verify_service.errors import InvalidRequest, NotFound, RateLimited
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.twilio import answers
from verify_service.web.twilio.surface import root, twilio

_DAY_MS = 86_400_000
_LONGEST_MS = 30 * _DAY_MS
_PAGE = {"Page", "PageSize", "PageToken"}
_FILTERS = {
    *("DateCreatedAfter", "DateCreatedBefore", "Country", "Channel", "VerifyServiceSid", "VerificationSid", "Status"),
}
# One reads all events of a store: no caller is to keep a process busy with several at once.
_reading = threading.Lock()


@twilio.get("/Attempts")
@twilio.guarded("read")
def attempts(tenant: str) -> Response:
    """The newest first."""
    return answers.page("attempts", _asked(tenant, _FILTERS | _PAGE))


@twilio.get("/Attempts/Summary")
@twilio.guarded("read")
def attempts_summary(tenant: str) -> Response:
    found = _asked(tenant, _FILTERS - {"Status"})
    converted = sum(each["conversion_status"] == "converted" for each in found)
    return json(
        {
            "total_attempts": len(found),
            "total_converted": converted,
            "total_unconverted": len(found) - converted,
            "conversion_rate_percentage": f"{100 * converted / len(found) if found else 0:.2f}",
            "url": f"{root()}/Attempts/Summary",
        }
    )


@twilio.get("/Attempts/<sid>")
@twilio.guarded("read")
def attempt(tenant: str, sid: str) -> Response:
    since = context().clock.now() - _LONGEST_MS
    for found in _attempts(tenant, since, None):
        if found["sid"] == sid:
            return json(found)
    raise NotFound("there is no such attempt")


def _asked(tenant: str, known: set[str]) -> list[dict[str, Any]]:
    """What the query asks for; of the last day, where it does not say since when. Raises InvalidRequest."""
    for name in request.args:
        if name not in known:
            raise InvalidRequest(name[:64], "is no parameter of this call")
    now = context().clock.now()
    since, till = _moment("DateCreatedAfter", now - _DAY_MS), _moment("DateCreatedBefore", now)
    if since < now - _LONGEST_MS:
        raise InvalidRequest("DateCreatedAfter", "is not more than 30 days ago")
    said = {name: request.args.get(name) for name in ("Channel", "Status", "VerifyServiceSid", "VerificationSid")}
    wanted = {
        "channel": said["Channel"],
        "conversion_status": said["Status"],
        "service_sid": said["VerifyServiceSid"],
        "verification_sid": said["VerificationSid"],
    }
    country = request.args.get("Country")
    return [
        found
        for found in _attempts(tenant, since, till)
        if all(value is None or found[name] == value for name, value in wanted.items())
        and (country is None or found["channel_data"]["country"] == country)
    ]


def _attempts(tenant: str, since: int, till: int | None) -> list[dict[str, Any]]:
    """Every message that a start or resend of the tenant's services brought, the newest first."""
    # A verification's first message may have gone out before that.
    begin = since - context().service.policy.code.life.ms
    found: dict[str, list[dict[str, Any]]] = {}
    services = {each.purpose: each.sid for each in context().config.services.get(tenant, ())}
    services |= {each.purpose: each.sid for each in context().store.services.all(tenant)}
    with alone():
        for event in context().store.events.read(begin):
            if till is not None and event["at"] * 1000 > till:
                break
            if event.get("tenant") != tenant:
                continue
            attempts = found.get(event["id"], [])
            if event["event"] == "approved" and attempts:
                attempts[-1] |= {"conversion_status": "converted", "date_updated": _at(event)}
            elif event["event"] == "start" and "refused" not in event and event["purpose"] in services:
                attempt = _attempt(tenant, services[event["purpose"]], event, len(attempts) + 1)
                found.setdefault(event["id"], []).append(attempt)
    made = [each for attempts in found.values() for each in attempts if each["date_created"] >= answers.at(since)]
    return sorted(made, key=lambda attempt: (attempt["date_created"], attempt["sid"]), reverse=True)


def _attempt(tenant: str, service_sid: str, event: dict[str, Any], send: int) -> dict[str, Any]:
    """Of whom it went to, no more than an export has is known: the number without its last three digits."""
    sid = answers.attempt_sid(event["id"], send)
    return {
        "sid": sid,
        "account_sid": context().config.accounts[tenant],
        "service_sid": service_sid,
        "verification_sid": answers.verification_sid(event["id"]),
        "date_created": _at(event),
        "date_updated": _at(event),
        "conversion_status": "unconverted",
        "channel": answers.channel(event["channel"]),
        "price": {"value": f"{event.get('price', 0):.6f}", "currency": "USD"},
        "channel_data": {
            "to": event["range"] + "XXX" * event["range"].startswith("+"),
            "country": event.get("country"),
        },
        "url": f"{root()}/Attempts/{sid}",
    }


def _at(event: dict[str, Any]) -> str:
    return answers.at(round(event["at"] * 1000))


def _moment(name: str, default: int) -> int:
    text = request.args.get(name)
    if text is None:
        return default
    try:
        found = datetime.fromisoformat(text)
        return round(found.replace(tzinfo=found.tzinfo or UTC).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidRequest(name, "is a moment such as 2026-01-31T12:00:00Z") from None


@contextmanager
def alone() -> Iterator[None]:
    """Raises RateLimited while another list is being made in this process."""
    if not _reading.acquire(blocking=False):
        raise RateLimited("another list of attempts is being made", limit="attempts", retry_after=1)
    try:
        yield
    finally:
        _reading.release()
