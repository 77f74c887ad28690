"""What a text takes: alphabets, units and segments, by an oracle that counts one character at a time."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from verify_service.messages.measure import foreign, measure, size

# The table of 3GPP TS 23.038, section 6.2.1, by its rows 0x00 to 0x70; 0x1B leads to the extension table.
ROWS = [
    "@£$¥èéùìòÇ\nØø\rÅå",
    "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ",
    " !\"#¤%&'()*+,-./",
    "0123456789:;<=>?",
    "¡ABCDEFGHIJKLMNO",
    "PQRSTUVWXYZÄÖÑÜ§",
    "¿abcdefghijklmno",
    "pqrstuvwxyzäöñüà",
]
TABLE = "".join(ROWS)
EXTENSION = {
    0x0A: "\f",
    0x14: "^",
    0x28: "{",
    0x29: "}",
    0x2F: "\\",
    0x3C: "[",
    0x3D: "~",
    0x3E: "]",
    0x40: "|",
    0x65: "€",
}


def septets(char: str) -> bytes | None:
    """A character in seven bits, or None."""
    if char in TABLE.replace("\x1b", ""):
        return bytes([TABLE.index(char)])
    return next((bytes([0x1B, code]) for code, other in EXTENSION.items() if other == char), None)


def oracle(body: str) -> tuple[str, int, int]:
    """(encoding, units, segments), by putting each character whole into the segment that has room for it."""
    plain = [septets(char) for char in body]
    if None in plain:
        encoding, units, alone, joined = "UCS-2", [len(char.encode("utf-16-be")) // 2 for char in body], 70, 67
    else:
        encoding, units, alone, joined = "GSM-7", [len(part) for part in plain if part], 160, 153
    if sum(units) <= alone:
        return encoding, sum(units), 1
    segments = [0]
    for unit in units:
        if segments[-1] + unit > joined:
            segments.append(0)
        segments[-1] += unit
    return encoding, sum(units), len(segments)


LETTERS = some.one_of(
    some.sampled_from(TABLE.replace("\x1b", "") + "".join(EXTENSION.values())),
    some.sampled_from("ó“ş—€😀👍🏽ا你\u200d\u0301\x1b"),
)


@given(some.text(LETTERS, max_size=400) | some.text(max_size=200))
@example("€" * 77)
@example("a" * 152 + "€" + "a" * 20)
@example("a" * 66 + "😀" + "я" * 10)
def test_encoding_units_and_segments_are_an_oracles(body: str) -> None:
    """Whatever the text, it is measured as one who encodes it by the standard's table would."""
    assert (size(body).encoding, size(body).used, size(body).segments) == oracle(body)


def test_the_table_is_whole() -> None:
    """128 places, no character twice, all but the escape in seven bits."""
    assert (len(TABLE), len(set(TABLE))) == (128, 128)
    assert size(TABLE.replace("\x1b", "")) == ("GSM-7", 127, 160, 1)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("a" * 160, ("GSM-7", 1)),
        ("a" * 161, ("GSM-7", 2)),
        ("a" * 306, ("GSM-7", 2)),
        ("a" * 307, ("GSM-7", 3)),
        ("€" * 80, ("GSM-7", 1)),
        ("€" * 81, ("GSM-7", 2)),
        ("я" * 70, ("UCS-2", 1)),
        ("я" * 71, ("UCS-2", 2)),
        ("я" * 134, ("UCS-2", 2)),
        ("я" * 135, ("UCS-2", 3)),
        ("😀" * 35, ("UCS-2", 1)),
        ("😀" * 36, ("UCS-2", 2)),
        ("", ("GSM-7", 1)),
    ],
    ids=lambda value: f"{value[:1]}{len(value)}" if isinstance(value, str) else None,
)
def test_segments_at_their_edges(body: str, found: tuple[str, int]) -> None:
    """160 and 153 septets, 70 and 67 code units."""
    assert measure(body) == found


def test_an_escape_or_a_surrogate_pair_is_not_cut_in_two() -> None:
    """A character that needs two units goes to the next segment where one is left, and may so cost a segment more."""
    assert measure("a" * 152 + "€" + "a" * 151) == ("GSM-7", 2)
    assert measure("a" * 152 + "€" + "a" * 152) == ("GSM-7", 3)
    assert measure("я" * 66 + "😀" + "я" * 65) == ("UCS-2", 2)
    assert measure("я" * 66 + "😀" + "я" * 66) == ("UCS-2", 3)


def test_a_letter_with_its_accent_apart_is_another_text() -> None:
    """é in one character is in GSM-7; e and a combining accent are not."""
    assert measure("é")[0] == "GSM-7"
    assert measure(unicodedata.normalize("NFD", "é"))[0] == "UCS-2"


def test_what_forces_ucs2_is_named_with_its_replacement() -> None:
    """Each character once, in order; where GSM-7 has something in its place, that."""
    assert foreign("código “ok” — ş… я 😀 ó") == {
        "ó": "o",
        "“": '"',
        "”": '"',
        "—": "-",
        "ş": "s",
        "…": "...",
        "я": None,
        "😀": None,
    }
    assert foreign("Grüße: 10 € [ok] ~ ñ à") == {}
