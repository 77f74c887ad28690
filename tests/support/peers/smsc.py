"""An SMSC for tests: SMPP 3.4 on a real socket, its PDUs written by hand, that answers as a test says."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.support.live import until

BIND, BIND_RESP = 0x00000009, 0x80000009
SUBMIT, SUBMIT_RESP = 0x00000004, 0x80000004
DELIVER, DELIVER_RESP = 0x00000005, 0x80000005
ENQUIRE, ENQUIRE_RESP = 0x00000015, 0x80000015
UNBIND, UNBIND_RESP = 0x00000006, 0x80000006
NACK = 0x80000000


@dataclass(frozen=True)
class Submit:
    """A submit_sm as it came over the wire."""

    source: tuple[int, int, str]
    to: tuple[int, int, str]
    esm_class: int
    validity: str
    registered: int
    coding: int
    text: bytes
    tlvs: dict[int, bytes]


@dataclass
class Smsc:
    """Listens on `port`. `answer` says of a submit its status and id; None in place of both: it stays silent."""

    port: int = 0
    bind_status: int = 0
    answers_enquiries: bool = True
    answer: Callable[[Submit], tuple[int, str] | None] = lambda _: (0, "m1")
    binds: list[tuple[str, str, str]] = field(default_factory=list)
    submits: list[Submit] = field(default_factory=list)
    seen: list[tuple[int, int, int]] = field(default_factory=list)
    stopped: bool = False
    connections: list[socket.socket] = field(default_factory=list)
    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))

    def __post_init__(self) -> None:
        self.port = self.listener.getsockname()[1]

    def write(self, command: int, status: int = 0, sequence: int = 1, body: bytes = b"") -> None:
        """Sends a PDU over the newest connection."""
        self.connections[-1].sendall(struct.pack(">LLLL", 16 + len(body), command, status, sequence) + body)

    def tell(
        self,
        text: bytes,
        *,
        esm_class: int = 0,
        coding: int = 0,
        tlvs: bytes = b"",
        sequence: int = 7,
        ton: int = 1,
        source: bytes = b"14155550123",
    ) -> None:
        """Delivers a text from +14155550123 to 43721."""
        mandatory = bytes([0, ton, 1]) + source + b"\0" + b"\x03\0" + b"43721\0"
        flags = bytes([esm_class, 0, 0]) + b"\0\0" + bytes([0, 0, coding, 0])
        self.write(DELIVER, 0, sequence, mandatory + flags + bytes([len(text)]) + text + tlvs)

    def deliver(self, text: bytes, *, sequence: int = 7, **fields: Any) -> None:
        """The same, and waits until it is acknowledged."""
        before = self.seen.count((DELIVER_RESP, 0, sequence))
        self.tell(text, sequence=sequence, **fields)
        until(lambda: self.seen.count((DELIVER_RESP, 0, sequence)) > before)

    def hang_up(self) -> None:
        """Breaks the newest connection."""
        self.connections[-1].shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Hangs up everywhere and listens no more."""
        self.stopped = True
        for shut in (self.listener, *self.connections):
            with suppress(OSError):
                shut.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as stream:
            self.connections.append(connection)
            while not self.stopped and (header := stream.read(16)):
                length, command, status, sequence = struct.unpack(">LLLL", header)
                body = stream.read(length - 16)
                self.seen.append((command, status, sequence))
                self._take(command, sequence, body)

    def _take(self, command: int, sequence: int, body: bytes) -> None:
        if command == BIND:
            system_id, password, system_type = (part.decode() for part in body.split(b"\0")[:3])
            self.write(BIND_RESP, self.bind_status, sequence, b"" if self.bind_status else b"smsc\0")
            self.binds.append((system_id, password, system_type))  # Who waits for it may deliver then.
        elif command == SUBMIT:
            submit = _submit(body)
            self.submits.append(submit)
            if answer := self.answer(submit):
                status, message_id = answer
                self.write(SUBMIT_RESP, status, sequence, b"" if status else message_id.encode() + b"\0")
        elif command == ENQUIRE and self.answers_enquiries:
            self.write(ENQUIRE_RESP, 0, sequence)
        elif command == UNBIND:
            self.write(UNBIND_RESP, 0, sequence)


def tlv(tag: int, value: bytes) -> bytes:
    return struct.pack(">HH", tag, len(value)) + value


@contextmanager
def smsc_at_work(tls: ssl.SSLContext | None = None, smsc: Smsc | None = None) -> Iterator[Smsc]:
    made = smsc or Smsc()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = made.listener.accept()
                connection.settimeout(30)
                with suppress(OSError):
                    served = tls.wrap_socket(connection, server_side=True) if tls else connection
                    threading.Thread(target=made.serve, args=(served,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.stop()
        thread.join()


def _submit(body: bytes) -> Submit:
    at = 0

    def text() -> str:
        nonlocal at
        end = body.index(b"\0", at)
        found, at = body[at:end].decode("latin-1"), end + 1
        return found

    def octet() -> int:
        nonlocal at
        at += 1
        return body[at - 1]

    assert text() == ""  # service_type
    source = (octet(), octet(), text())
    to = (octet(), octet(), text())
    esm_class, _protocol, _priority = octet(), octet(), octet()
    assert text() == ""  # schedule_delivery_time
    validity = text()
    registered, _replace, coding, _default = octet(), octet(), octet(), octet()
    length = octet()
    short, tlvs, at = body[at : at + length], {}, at + length
    while at < len(body):
        tag, size = struct.unpack_from(">HH", body, at)
        tlvs[tag] = body[at + 4 : at + 4 + size]
        at += 4 + size
    return Submit(source, to, esm_class, validity, registered, coding, short, tlvs)
