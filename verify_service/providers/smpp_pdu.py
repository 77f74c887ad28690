"""PDUs of SMPP 3.4 as smpplib packs and unpacks them, and the frames that they come in."""

import asyncio
import struct
from collections.abc import Mapping
from typing import NamedTuple

from smpplib import consts, smpp
from smpplib.command import DeliverSM

_HEADER = struct.Struct(">LLLL")
_MOST_BYTES = 65_536
_STATUSES = {
    value: name.removeprefix("SMPP_") for name, value in vars(consts).items() if name.startswith("SMPP_ESME_R")
}


def status_name(status: int) -> str:
    """As the specification calls it; one that is a vendor's own, in hexadecimal."""
    return _STATUSES.get(status, f"0x{status:08X}")


class Delivery(NamedTuple):
    """What an SMSC delivered: a receipt or a text. `tlvs` are the optional parameters by their tags."""

    esm_class: int
    source: str
    source_ton: int
    destination: str
    data_coding: int
    text: bytes
    tlvs: Mapping[int, bytes]


class _DeliverSM(DeliverSM):
    """A deliver_sm whose optional parameters are read whatever they are: vendors have their own."""

    def __init__(self) -> None:
        super().__init__("deliver_sm", need_sequence=False)
        self.tlvs: dict[int, bytes] = {}

    def _parse_string(self, field: str, data: bytes, pos: int, length: int | None = None) -> tuple[bytes, int]:
        if b"\0" not in data[pos:]:
            raise ValueError(f"{field} has no end")
        found: tuple[bytes, int] = super()._parse_string(field, data, pos, length)
        return found

    def parse_optional_params(self, data: bytes) -> None:
        while len(data) >= 4:
            tag, length = struct.unpack_from(">HH", data)
            self.tlvs[tag] = data[4 : 4 + length]
            data = data[4 + length :]


def delivery(data: bytes) -> Delivery:
    pdu = _DeliverSM()
    pdu.parse(data)
    return Delivery(
        esm_class=pdu.esm_class or 0,
        source=(pdu.source_addr or b"").decode("latin-1"),
        source_ton=pdu.source_addr_ton or 0,
        destination=(pdu.destination_addr or b"").decode("latin-1"),
        data_coding=pdu.data_coding or 0,
        text=pdu.short_message or pdu.tlvs.get(consts.OPTIONAL_PARAMS["message_payload"], b""),
        tlvs=pdu.tlvs,
    )


async def read(reader: asyncio.StreamReader) -> tuple[int, int, int, bytes]:
    """The next PDU: command, status, sequence, and all its bytes."""
    header = await reader.readexactly(_HEADER.size)
    length, command, status, sequence = _HEADER.unpack(header)
    if not _HEADER.size <= length <= _MOST_BYTES:
        raise ValueError("a PDU of a length that none has")
    return command, status, sequence, header + await reader.readexactly(length - _HEADER.size)


def response(command: str, sequence: int, status: int = consts.SMPP_ESME_ROK) -> bytes:
    pdu = smpp.make_pdu(command, status=status)
    pdu.sequence = sequence
    return bytes(pdu.generate())
