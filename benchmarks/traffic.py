"""Synthetic callers: distinct valid numbers of several countries, distinct addresses, and the requests they make."""

from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

import msgspec

# Blocks of a million numbers, each of which may be texted.
_BLOCKS = (
    ("+14153", "US", "fixed-line-or-mobile"),
    ("+447400", "GB", "mobile"),
    ("+4915112", "DE", "mobile"),
    ("+33612", "FR", "mobile"),
    ("+919812", "IN", "mobile"),
    ("+5511912", "BR", "mobile"),
    ("+2348031", "NG", "mobile"),
)
# From one caller of a block to the next: prime to a million, so each number comes once, and far from its neighbours.
_STRIDE = 617_051


class Caller(NamedTuple):
    """Who asks for a code: the number in E.164, what is known of it, and an IP address of the caller's own."""

    to: str
    country: str
    line_type: str
    ip: str


class Callers:
    """Seven million callers, none twice: so no limit refuses the load, and no cache of numbers helps it."""

    def __init__(self, begin: int = 0) -> None:
        self._index = count(begin)

    def next(self) -> Caller:
        index = next(self._index)
        before, country, line_type = _BLOCKS[index % len(_BLOCKS)]
        # Each in a network of its own: the last octet counts slowest.
        ip = f"{20 + index % 80}.{index // 80 % 256}.{index // 20_480 % 256}.{index // 5_242_880}"
        number = index // len(_BLOCKS) * _STRIDE % 1_000_000
        return Caller(f"{before}{number:06d}", country, line_type, ip)


def post(path: str, body: object, api_key: str, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole HTTP/1.1 request, ready to send; `headers` are more of them."""
    data = msgspec.json.encode(body)
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n{more}\r\n"
    )
    return head.encode() + data
