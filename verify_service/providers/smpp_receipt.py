"""What an SMSC says of a message that it took: in the words of SMPP 3.4's appendix B, in optional parameters (5.3.2),
or both, and in how many ways vendors spell them.

Words beside the seven letters of the specification: FAILED, NOCRED, SYSERR, BUFFRED
(https://www.smscentral.com.au/sms-api/smpp/receive-dlrs/), ACKED and BUFFRED (Kannel's smsc_smpp.c), and those of SMPP
3.4 that are written in full. States 0 and 9 are SMPP 5.0's (4.7.15).
"""

import re
from typing import Literal, NamedTuple

from verify_service.providers.smpp_pdu import Delivery

_TYPES, _IS_RECEIPT, _IS_INTERMEDIATE = 0x3C, 0x04, 0x20
_RECEIPTED_ID, _STATE, _NETWORK_ERROR = 0x001E, 0x0427, 0x0423

# message_state, 5.2.28.
_STATES = {
    0: "SCHEDULED",
    1: "ENROUTE",
    2: "DELIVRD",
    3: "EXPIRED",
    4: "DELETED",
    5: "UNDELIV",
    6: "ACCEPTD",
    7: "UNKNOWN",
    8: "REJECTD",
    9: "SKIPPED",
}
_DELIVERED = frozenset({"DELIVRD", "DELIVERED"})
_FAILED = frozenset(
    {"EXPIRED", "DELETED", "UNDELIV", "UNDELIVERABLE", "UNDELIVERED", "UNKNOWN", "REJECTD", "REJECTED"}
) | {"FAILED", "SKIPPED", "NOCRED", "SYSERR"}
_ON_ITS_WAY = frozenset({"SCHEDULED", "ENROUTE", "ACCEPTD", "ACCEPTED", "ACKED", "BUFFRED", "BUFFERED"})
_KEYS = "id|sub|dlvrd|submit date|done date|stat|err|text"
_PART = re.compile(rf"(?:^|[\s,;])(id|stat|err|text):[ \t]*((?!(?:{_KEYS}):)[^\s,;]*)", re.IGNORECASE)
_WORD = re.compile(r"[A-Z_]{1,16}")

Fate = Literal["delivered", "failed", "on its way", "unknown"]


class Told(NamedTuple):
    """A receipt: the SMSC's id of the message in its `canonical` form, "" where there is none; `word` is the SMSC's own
    for what became of it, "" where it is no word at all; `error` its own code."""

    message_id: str
    fate: Fate
    word: str
    error: str


def is_receipt(delivery: Delivery) -> bool:
    """Whether a delivery speaks of a message of ours. By its esm_class; where that says nothing, by a parameter that no
    phone can set."""
    kind = delivery.esm_class & _TYPES
    return kind in (_IS_RECEIPT, _IS_INTERMEDIATE) or (not kind and _RECEIPTED_ID in delivery.tlvs)


def is_from_phone(delivery: Delivery) -> bool:
    """Whether it is a text that a person wrote."""
    return not delivery.esm_class & _TYPES and not is_receipt(delivery)


def read(delivery: Delivery) -> Told:
    """A receipt, in whatever coding. An intermediate one is of a message on its way, whatever it says."""
    said: dict[str, str] = {}
    for key, value in _PART.findall(_text(delivery.text)):
        if key.lower() == "text":  # The receipt ends with the beginning of the message, which may say anything.
            break
        said.setdefault(key.lower(), value)
    tlvs = delivery.tlvs
    message_id = tlvs.get(_RECEIPTED_ID, b"").rstrip(b"\0").decode("latin-1") or said.get("id", "")
    state = tlvs.get(_STATE, b"")[:1]
    word = (_STATES.get(state[0]) if state else None) or said.get("stat", "").upper()
    error = said.get("err", "") or str(int.from_bytes(tlvs.get(_NETWORK_ERROR, b"")[1:3]) or "")
    intermediate = delivery.esm_class & _TYPES == _IS_INTERMEDIATE
    return Told(canonical(message_id), "on its way" if intermediate else _fate(word), word, error)


def canonical(message_id: str) -> str:
    """An id as answers and receipts both have it: SMSCs report it in another case and without its leading zeros."""
    bare = message_id.strip().lower()
    return bare.lstrip("0") or bare[:1]


def shown(word: str) -> str:
    """A word for the log; nothing that could be a number or a code."""
    return word if _WORD.fullmatch(word) else "(no word)"


def _fate(word: str) -> Fate:
    if word in _DELIVERED:
        return "delivered"
    if word in _FAILED:
        return "failed"
    return "on its way" if word in _ON_ITS_WAY else "unknown"


def _text(octets: bytes) -> str:
    """Receipts are ASCII in any coding: an octet each, or one beside a zero, before or after it."""
    octets = octets.removeprefix(b"\xfe\xff").removeprefix(b"\xff\xfe")
    if octets[1:2] == b"\0":
        octets = octets[::2]
    elif octets[:1] == b"\0":
        octets = octets[1::2]
    return octets.rstrip(b"\0").decode("latin-1")
