"""Texts as SMPP carries them: an octet a septet for the GSM 7-bit alphabet, UTF-16 for UCS-2, long ones in segments."""

import re
import secrets
from collections.abc import Sequence
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

_UTF_16 = ("utf-16-be",)
_OCTETS = ("latin-1",)
# SMPP 3.4, 5.2.19. The Japanese sets come in whatever encoding carries them, and so does the Korean one.
_SMPP: dict[int, tuple[str | int, ...]] = {
    DEFAULT: (DEFAULT,),
    1: _OCTETS,  # IA5, which is ASCII
    2: _OCTETS,
    LATIN_1: _OCTETS,
    4: _OCTETS,
    5: ("iso2022_jp", "euc_jp", "shift_jis"),  # JIS X 0208
    6: ("iso8859_5",),
    7: ("iso8859_8",),
    UCS_2: _UTF_16,
    10: ("iso2022_jp_2", "euc_jp", "shift_jis"),  # ISO 2022-JP
    13: ("iso2022_jp_2", "euc_jp", "shift_jis"),  # JIS X 0212
    14: ("iso2022_kr", "cp949"),  # KS C 5601
}
# 3GPP TS 23.038, 4: bits 3 and 2 of a general data coding, and bit 2 of one with a message class (1111).
_BY_BITS: tuple[tuple[str | int, ...], ...] = ((DEFAULT,), _OCTETS, _UTF_16, ())
# Groups of indications that messages wait.
_WAITING: dict[int, tuple[str | int, ...]] = {0xC: (DEFAULT,), 0xD: (DEFAULT,), 0xE: _UTF_16}
# Controls, which no text in Latin-1 has.
_NOT_LATIN_1 = re.compile(rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# What begins the characters of a script in UCS-2: Greek, Cyrillic, Hebrew, Arabic, Devanagari, Thai. Latin's 0x01 and
# 0x1E are left to stand for the pound sign and for ß.
_SCRIPTS = frozenset({0x03, 0x04, 0x05, 0x06, 0x09, 0x0E})


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


def decode(text: bytes, coding: int, has_header: bool, alphabet: Alphabet) -> str | None:
    """A text from a phone; None where its coding is of none that can be read, such as a compressed one. What is no
    character of its alphabet becomes U+FFFD. `has_header`: it begins with a user data header, whose length its first
    octet says."""
    if has_header and text:
        text = text[1 + text[0] :]
    codecs = _codecs(coding)
    if DEFAULT not in codecs:
        return _read(text, codecs) if codecs else None
    if _is_mislabelled(text):
        return text.decode("utf-16-be")
    if alphabet == "latin-1" or not text.isascii():  # Its octets are septets, or it is in another alphabet.
        return text.decode("latin-1")
    return _of_gsm7(text)


def _codecs(coding: int) -> Sequence[str | int]:
    """How a data_coding may be read, the strictest way first; DEFAULT for the SMSC's own alphabet."""
    if coding < 0x10:
        return _SMPP.get(coding, ())
    group, low = coding >> 4, coding & 0x0F
    if group < 0x8:  # General data coding, and that for automatic deletion: compressed, or by bits 3 and 2.
        return () if group & 0x2 else _BY_BITS[low >> 2]
    if group == 0xF:
        return _BY_BITS[low >> 2 & 1]
    return _WAITING.get(group, ())


def _read(text: bytes, codecs: Sequence[str | int]) -> str:
    names = [str(codec) for codec in codecs]
    for name in names:
        try:
            return text.decode(name)
        except UnicodeDecodeError:
            continue
    return text.decode(names[-1], "replace")


def _is_mislabelled(text: bytes) -> bool:
    """Whether a text is UCS-2 that was said to be in the default alphabet, and makes letters and signs as such.

    One that could be GSM-7 by its octets is so where each second one is the same that begins the characters of a
    script, but for zeros: nobody writes `@S@T@O@P`. One that could not is so where it could not be Latin-1 either.
    """
    highs = set(text[::2]) - {0}
    alike = len(text) >= 4 and len(highs) <= 1 and highs <= _SCRIPTS
    if not text or len(text) % 2 or not (alike if text.isascii() else alike or _NOT_LATIN_1.search(text)):
        return False
    try:
        found = text.decode("utf-16-be")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in found)


def _of_gsm7(text: bytes) -> str:
    found, escaped = "", False
    for octet in text:
        if octet == 0x1B:
            escaped = True
            continue
        found += (_ESCAPED.get(octet) if escaped else None) or _BASIC[octet]
        escaped = False
    return found


def _characters(body: str, alphabet: Alphabet) -> tuple[int, list[bytes]]:
    try:
        if alphabet == "latin-1":
            return DEFAULT, [char.encode("latin-1") for char in body]
        return DEFAULT, [_GSM7[char] for char in body]
    except (KeyError, UnicodeEncodeError):
        return UCS_2, [char.encode("utf-16-be") for char in body]
