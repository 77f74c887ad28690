"""Texts as SMPP carries them: an octet a septet for the GSM 7-bit alphabet, UTF-16 for UCS-2, long ones in segments."""

import secrets
from typing import Any, Literal

Alphabet = Literal["gsm-7", "latin-1"]

DEFAULT, LATIN_1, UCS_2 = 0, 3, 8
_UDHI = 0x40
# Octets alone and in a segment that shares its 140 octets with a header of 6; a character of GSM-7 takes 7 bits.
_ROOM = {DEFAULT: (160, 153), UCS_2: (140, 134)}

# 3GPP TS 23.038, 6.2.1: by position; and what follows an escape.
_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = {
    "\f": 0x0A, "^": 0x14, "{": 0x28, "}": 0x29, "\\": 0x2F, "[": 0x3C, "~": 0x3D, "]": 0x3E, "|": 0x40, "€": 0x65
}  # fmt: skip
_GSM7 = {char: bytes([code]) for code, char in enumerate(_BASIC) if char != "\x1b"} | {
    char: bytes([0x1B, code]) for char, code in _EXTENSION.items()
}
_ESCAPED = {code: char for char, code in _EXTENSION.items()}


def encode(body: str, alphabet: Alphabet, long_messages: Literal["udh", "sar"]) -> tuple[int, list[dict[str, Any]]]:
    """The data_coding, and for each segment the fields of its submit_sm that hold text. `alphabet` is what the SMSC
    takes data_coding 0 for; what has no place in it goes as UCS-2."""
    coding, chars = _characters(body, alphabet)
    alone, joined = _ROOM[coding]
    if sum(map(len, chars)) <= alone:
        return coding, [{"short_message": b"".join(chars)}]
    segments = [b""]
    for char in chars:  # An escape or a surrogate pair is never cut in two.
        if len(segments[-1]) + len(char) > joined:
            segments.append(b"")
        segments[-1] += char
    reference, total = secrets.randbelow(256), len(segments)
    if long_messages == "udh":
        header = bytes([5, 0, 3, reference, total])
        return coding, [
            {"short_message": header + bytes([number]) + text, "esm_class": _UDHI}
            for number, text in enumerate(segments, 1)
        ]
    return coding, [
        {
            "short_message": text,
            "sar_msg_ref_num": reference,
            "sar_total_segments": total,
            "sar_segment_seqnum": number,
        }
        for number, text in enumerate(segments, 1)
    ]


def decode(text: bytes, coding: int, has_header: bool, alphabet: Alphabet) -> str:
    """A text from a phone. `has_header`: it begins with a user data header, whose length its first octet says."""
    if has_header and text:
        text = text[1 + text[0] :]
    if coding == UCS_2:
        return text.decode("utf-16-be", "replace")
    if coding != DEFAULT or alphabet == "latin-1":
        return text.decode("latin-1")
    found, escaped = "", False
    for octet in text:
        if octet == 0x1B:
            escaped = True
            continue
        found += (_ESCAPED.get(octet) if escaped else None) or (_BASIC[octet] if octet < len(_BASIC) else "\ufffd")
        escaped = False
    return found


def _characters(body: str, alphabet: Alphabet) -> tuple[int, list[bytes]]:
    try:
        if alphabet == "latin-1":
            return DEFAULT, [char.encode("latin-1") for char in body]
        return DEFAULT, [_GSM7[char] for char in body]
    except (KeyError, UnicodeEncodeError):
        return UCS_2, [char.encode("utf-16-be") for char in body]
