"""Synthetic callers: distinct valid numbers of several countries, distinct addresses, and the requests they make."""

from itertools import count

import msgspec

# (before, how many digits follow): every number of these blocks is a mobile number that may be texted.
_BLOCKS = (("+1415", 7), ("+447400", 6), ("+49151", 8), ("+336", 8), ("+9198", 8), ("+55119", 8), ("+2348031", 6))
_COUNTRIES = ("US", "GB", "DE", "FR", "IN", "BR", "NG")


class Callers:
    """Number after number, none twice; each with an IP address of its own, so that no limit but its own counts it."""

    def __init__(self) -> None:
        self._index = count()

    def next(self) -> tuple[str, str, str]:
        """(E.164, country, IP address)."""
        index = next(self._index)
        block = index % len(_BLOCKS)
        before, digits = _BLOCKS[block]
        rest = _scattered(index // len(_BLOCKS), digits)
        address = ".".join(str(0x14000000 + index >> shift & 255) for shift in (24, 16, 8, 0))
        return f"{before}{rest}", _COUNTRIES[block], address


def _scattered(index: int, digits: int) -> str:
    """Different digits for each index, spread over the block instead of in sequence."""
    return f"{index:0{digits}d}"


def request(method: str, path: str, body: object, api_key: str) -> bytes:
    """A whole HTTP/1.1 request, ready to send."""
    data = msgspec.json.encode(body)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data
