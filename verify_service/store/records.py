"""A verification's record as the scripts keep it: one string, read here without them."""

import struct
from typing import Any

from verify_service.store.unreadable import passed_over

# The same as in lua/common.lua.
_NUMBERS = struct.Struct("<diiBBBB")
_FIELDS = (
    *("created_at", "expires_at", "resend_at", "sends", "wrong", "checks_max", "sends_max"),
    *("tenant", "number", "purpose", "channel", "status", "binding", "nonce", "kid", "digest", "outbox", "credits"),
    *("excused", "test", "timeline"),
)


def readable_record(packed: bytes | None) -> dict[str, Any] | None:
    """The same; None where there is none, or none that this version can read."""
    try:
        return unpack_record(packed) if packed else None
    except (struct.error, ValueError) as error:
        passed_over("record", type(error).__name__)
        return None


def unpack_record(packed: bytes) -> dict[str, Any]:
    """The record's fields: times in milliseconds and counts are int, all else is str; those of the timeline's lines are
    from `created_at` on. Raises struct.error or ValueError for what is no record."""
    created_at, expires_at, resend_at, *counts = map(int, _NUMBERS.unpack_from(packed))
    numbers = (created_at, created_at + expires_at, created_at + resend_at, *counts)
    # A version that comes after this one may have more of them, behind these.
    *texts, _ = packed[_NUMBERS.size :].split(b"\0", len(_FIELDS) - len(numbers))
    return dict(zip(_FIELDS, (*numbers, *(each.decode() for each in texts)), strict=True))
