"""A verification's record as the scripts keep it: one string, read here without them."""

import struct
from typing import Any

# The same as in lua/common.lua.
_NUMBERS = struct.Struct("<diiBBBB")
_FIELDS = (
    *("created_at", "expires_at", "resend_at", "sends", "wrong", "checks_max", "sends_max"),
    *("tenant", "number", "purpose", "channel", "status", "binding", "nonce", "kid", "digest", "outbox", "credits"),
    *("excused", "test", "timeline"),
)


def unpack_record(packed: bytes) -> dict[str, Any]:
    """The record's fields: times in milliseconds and counts are int, all else is str; those of the timeline's lines are
    from `created_at` on."""
    created_at, expires_at, resend_at, *counts = map(int, _NUMBERS.unpack_from(packed))
    numbers = (created_at, created_at + expires_at, created_at + resend_at, *counts)
    texts = packed[_NUMBERS.size : -1].decode().split("\0")
    return dict(zip(_FIELDS, (*numbers, *texts), strict=True))
