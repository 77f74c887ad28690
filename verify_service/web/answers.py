"""What several surfaces answer: JSON, and a verification as its caller may see it."""

import msgspec
from flask import Response

from verify_service.duration import rfc3339
from verify_service.model import Check, Verification
from verify_service.web.lean import Whole

_encode = msgspec.json.Encoder().encode


def json(body: object, status: int = 200) -> Response:
    """An answer in JSON, never to be cached."""
    return Whole(_encode(body), status, "application/json")


def verification(found: Verification) -> dict[str, object]:
    """Its times in RFC 3339; `test` is there where it is true."""
    shown: dict[str, object] = {
        "id": found.id,
        "status": found.status,
        "to": found.to,
        "channel": found.channel,
        "purpose": found.purpose,
        "created_at": rfc3339(found.created_at),
        "expires_at": rfc3339(found.expires_at),
        "resend_at": rfc3339(found.resend_at),
        "checks_left": found.checks_left,
        "sends_left": found.sends_left,
    }
    if found.test:
        shown["test"] = True
    return shown


def checked(found: Check) -> dict[str, object]:
    """`receipt` is there where the approval has one."""
    shown: dict[str, object] = {
        "id": found.id,
        "status": found.status,
        "approved": found.approved,
        "checks_left": found.checks_left,
    }
    if found.receipt:
        shown["receipt"] = found.receipt
    return shown


def timeline(found: Verification) -> list[dict[str, str]]:
    """Its own history, oldest first."""
    lines = []
    for line in found.timeline:
        shown: dict[str, str] = {"at": rfc3339(line.at), "event": line.event}
        if line.provider:
            shown["provider"] = line.provider
        if line.reason:
            shown["reason"] = line.reason
        lines.append(shown)
    return lines
