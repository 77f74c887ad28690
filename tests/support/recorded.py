"""Recorded traffic, as tests write it down."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

NUMBERS = ("+14155550101", "+14155550102", "+447400123456", "+992901234567", "+18005550100")


def write(path: Path, events: Iterable[dict[str, Any]]) -> Path:
    """The events as JSON lines."""
    path.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    return path


def start(at: float, name: str, number: int = 0, **fields: Any) -> dict[str, Any]:
    """A recorded start in clear."""
    return {"at": 1_790_000_000 + at, "event": "start", "id": name, "to": NUMBERS[number], "price": 0.01, **fields}


def after(at: float, event: str, name: str) -> dict[str, Any]:
    """A recorded check."""
    return {"at": 1_790_000_000 + at, "event": event, "id": name}
