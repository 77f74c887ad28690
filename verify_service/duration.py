"""Lengths of time as people write them: "30 seconds", "10 minutes", "1 day"; moments as machines do."""

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec

_UNITS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
_TEXT = re.compile(r"(\d{1,6})\s*(second|minute|hour|day)s?")


class Duration:
    """A length of time above zero. Raises ValueError for anything but a number and a unit."""

    __slots__ = ("ms", "text")

    def __init__(self, text: str) -> None:
        match = _TEXT.fullmatch(text.strip())
        if not match or not int(match[1]):
            raise ValueError(f'{text!r} is not a length of time such as "30 seconds", "10 minutes" or "1 day"')
        self.text = text.strip()
        self.ms = int(match[1]) * _UNITS[match[2]]

    @property
    def seconds(self) -> float:
        return self.ms / 1000


def lasting(*texts: str) -> Any:
    """The default of a struct's field: a length of time, or a tuple of several. msgspec's JSON Schema knows no default
    of a type of ours, but leaves out what a factory makes."""
    lengths = tuple(map(Duration, texts))
    return msgspec.field(default_factory=lambda: lengths if len(lengths) > 1 else lengths[0])


def until_next(seconds: float) -> float:
    """Seconds until a machine's clock shows a whole number of so many: what all processes there do so often, they do at
    once, and the processor and the store wake up once for all."""
    return seconds - time.monotonic() % seconds


def rfc3339(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC; before the year 1 and after 9999, which it cannot write, the
    nearest moment that it can."""
    second, rest = divmod(min(max(ms, _FIRST_MS), _LAST_MS), 1000)
    return f"{_until_second(second)}.{rest:03d}Z"


@lru_cache(1024)  # Under load, thousands of answers name the same seconds.
def _until_second(second: int) -> str:
    return (_EPOCH + timedelta(seconds=second)).isoformat().removesuffix("+00:00")


def decode_hook(kind: type, value: Any) -> Any:
    """msgspec's hook for the types that are ours; what it raises becomes a ValidationError with the key's path."""
    if kind is Duration and isinstance(value, str):
        return Duration(value)
    raise TypeError(f'a length of time is written in quotes, such as "10 minutes", not {value!r}')
