"""A verification's record as the scripts keep it: one string, read here without them."""

from typing import Any

import msgspec

# The same as in lua/common.lua.
_FIELDS = (
    *("tenant", "number", "purpose", "channel", "status", "binding", "nonce", "kid", "digest", "created_at"),
    *("expires_at", "resend_at", "sends", "wrong", "checks_max", "sends_max", "outbox", "credits", "excused", "test"),
    "timeline",
)


def unpack_record(packed: bytes) -> dict[str, Any]:
    """The record's fields: times in milliseconds and counts are int, all else is str."""
    return dict(zip(_FIELDS, msgspec.msgpack.decode(packed), strict=True))
