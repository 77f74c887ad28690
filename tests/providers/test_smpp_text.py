"""Texts over SMPP: whatever is sent can be read again, in as many segments as we say it takes."""

from hypothesis import assume, given
from hypothesis import strategies as st

from verify_service.messages import measure
from verify_service.providers.smpp_text import decode, encode

GSM7 = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§"
    "¿abcdefghijklmnopqrstuvwxyzäöñüà\f^{}\\[~]|€"
)
TEXTS = st.one_of(
    st.text(GSM7, max_size=400),
    st.text(st.sampled_from("€[a"), min_size=150, max_size=330),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.text(st.sampled_from("ж😀"), min_size=60, max_size=150),
)


@given(TEXTS)
def test_a_text_arrives_as_it_was_written_in_the_segments_we_count(body: str) -> None:
    """The encoding and the number of segments are those that the message says of itself."""
    coding, parts = encode(body, "gsm-7", "udh")
    encoding, segments = measure(body)
    assert ("GSM-7" if coding == 0 else "UCS-2", len(parts)) == (encoding, segments)
    for part in parts:  # Nobody writes a text whose every second letter is the same.
        octets = part["short_message"]
        assume(coding or len(octets) < 4 or len(set(octets[::2]) - {0}) > 1)
    read = [decode(part["short_message"], coding, "esm_class" in part, "gsm-7") for part in parts]
    assert "".join(each or "" for each in read) == body


@given(st.text(st.characters(max_codepoint=0xFF), max_size=300))
def test_a_latin_1_smsc_gets_latin_1(body: str) -> None:
    """Where data_coding 0 is taken for Latin-1, each character is its octet."""
    coding, parts = encode(body, "latin-1", "sar")
    assert coding == 0
    assert b"".join(part["short_message"] for part in parts) == body.encode("latin-1")


@given(st.binary(max_size=200), st.integers(0, 255), st.booleans())
def test_whatever_a_phone_sends_is_a_text(octets: bytes, coding: int, has_header: bool) -> None:
    """No bytes from outside raise anything; and only a coding that is none, or compressed, is no text."""
    readable = {*range(9), 10, 13, 14} | {0x10 * group + low for group in (1, 4, 5) for low in range(12)}
    readable |= {*range(0xC0, 0x100)}
    assert isinstance(decode(octets, coding, has_header, "gsm-7"), str) == (coding in readable)
