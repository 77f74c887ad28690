"""What a text takes: its alphabet, its units, its segments.

National shift tables (3GPP TS 23.038, annex A), which would carry Turkish or Portuguese in seven bits, are left out: a
vendor's API has no way to ask for them, few networks take them, and a phone that does not know one shows wrong letters.
"""

import unicodedata
from typing import Literal, NamedTuple

# The GSM 7-bit default alphabet and its extension table, 3GPP TS 23.038, section 6.2.1.
_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")
_SEVEN_BITS = _GSM7 | _GSM7_EXTENSION
_TYPOGRAPHIC = {"‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "…": "...", "\u00a0": " "}

Encoding = Literal["GSM-7", "UCS-2"]


class Size(NamedTuple):
    """`used` of the `room` that one segment has: septets (GSM-7) or 16-bit code units (UCS-2)."""

    encoding: Encoding
    used: int
    room: int
    segments: int


def measure(body: str) -> tuple[Encoding, int]:
    """The encoding and the number of segments billed: 160 or 153 septets (GSM-7), 70 or 67 code units (UCS-2)."""
    found = size(body)
    return found.encoding, found.segments


def size(body: str) -> Size:
    """What a text takes as an SMS."""
    if _SEVEN_BITS.issuperset(body):
        widths = [2 if char in _GSM7_EXTENSION else 1 for char in body]
        return _size("GSM-7", widths, 160, 153)
    return _size("UCS-2", [2 if ord(char) > 0xFFFF else 1 for char in body], 70, 67)


def share(body: str) -> float:
    """How much of one segment a text takes; above 1 it takes several."""
    found = size(body)
    return found.used / found.room


def foreign(text: str) -> dict[str, str | None]:
    """The characters that force UCS-2, in order, each with what GSM-7 has in its place; None where it has nothing."""
    found = dict.fromkeys(char for char in text if char not in _SEVEN_BITS)
    return {char: _plain(char) for char in found}


def _plain(char: str) -> str | None:
    bare = _TYPOGRAPHIC.get(char) or unicodedata.normalize("NFKD", char)[0]
    return bare if _GSM7.issuperset(bare) else None


def _size(encoding: Encoding, widths: list[int], alone: int, joined: int) -> Size:
    """Of characters of these widths; an escape or surrogate pair is never cut in two."""
    used = sum(widths)
    if used <= alone:
        return Size(encoding, used, alone, 1)
    count, room = 1, joined
    for width in widths:
        if width > room:
            count, room = count + 1, joined
        room -= width
    return Size(encoding, used, alone, count)
