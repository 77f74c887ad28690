"""The text of a message, and what it costs to send."""

from typing import Literal

# The GSM 7-bit default alphabet and its extension table, 3GPP TS 23.038, section 6.2.1.
_GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM7_EXTENSION = frozenset("\f^{}\\[~]|€")

Encoding = Literal["GSM-7", "UCS-2"]


def render(code: str, brand: str, minutes: int, app_hash: str | None, origin: str | None) -> str:
    """The text of one code.

    `app_hash` (11 characters) ends the text as Android's SMS Retriever wants it; `origin` (a host) adds the last line
    `@host #code` of origin-bound one-time codes (WICG). With both, the host line comes last and the hash before it.
    """
    unit = "minute" if minutes == 1 else "minutes"
    lines = [f"{code} is your {brand} code. It expires in {minutes} {unit}. Do not share it with anyone."]
    if app_hash:
        lines.append(app_hash)
    if origin:
        lines.append(f"@{origin} #{code}")
    return "\n".join(lines)


def measure(body: str) -> tuple[Encoding, int]:
    """The encoding and the number of segments billed: 160 or 153 septets (GSM-7), 70 or 67 code units (UCS-2)."""
    if all(char in _GSM7 or char in _GSM7_EXTENSION for char in body):
        return "GSM-7", _segments([2 if char in _GSM7_EXTENSION else 1 for char in body], 160, 153)
    return "UCS-2", _segments([2 if ord(char) > 0xFFFF else 1 for char in body], 70, 67)


def _segments(widths: list[int], alone: int, joined: int) -> int:
    """How many segments the characters fill; an escape or surrogate pair is never cut in two."""
    if sum(widths) <= alone:
        return 1
    count, room = 1, joined
    for width in widths:
        if width > room:
            count, room = count + 1, joined
        room -= width
    return count
