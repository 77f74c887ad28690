"""One request and its answer on a kept connection, HTTP/1.1. urllib3 opens it, so addresses and TLS are its affair;
then httptools reads what comes, in a tenth of the CPU time that a request through urllib3 takes."""

import select
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

MOST_BYTES = 16_384
"""No vendor's answer to one message is longer; what goes on beyond is left unread."""
_MOST_HEAD_BYTES = 65_536

BROKEN = (OSError, HttpParserError, HttpParserUpgrade)
"""What ends an exchange."""


class Answer(NamedTuple):
    """What the vendor said. `body` is what came of it in time; names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def accepts(self) -> bool:
        return 200 <= self.status < 300


def request(method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """A request as it goes out. Raises ValueError for a header that would end its line."""
    if not all(map(str.isprintable, headers.values())):
        raise ValueError("a header with a line break in it")
    lines = [f"{method} {path} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + (body or b"")


class Connection:
    """A connection that urllib3 has `opened`; one caller at a time."""

    def __init__(self, opened: Any, timeout: float, most_bytes: int = MOST_BYTES) -> None:
        """Connects. Raises what urllib3 and `ssl` raise."""
        opened.connect()
        self._opened = opened
        self._socket = opened.sock
        self._timeout = timeout
        self._most_bytes = most_bytes
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        # The parser and this know each other; made for each answer, they would be the garbage collector's work.
        self._parser = HttpResponseParser(self)
        # A vendor that is careless of the form has taken the message all the same.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_chunked_length=True,
            lenient_transfer_encoding=True,
            lenient_spaces_after_chunk_size=True,
        )
        self.is_reusable = True

    def is_clean(self) -> bool:
        """False where the peer has closed it, or has said what nobody asked for."""
        return not self._poll.poll(0)

    def ask(self, request: bytes) -> Answer:
        """Sends, and reads the answer: its head, and of the body as much as comes in time, within bounds.

        A socket's own timeout starts anew with each byte that drips in; here one length of time is for all of it.
        Raises TimeoutError, or another of BROKEN, where no whole head came; then, and where the answer was not read to
        its end, the connection is not reusable.
        """
        self._headers: dict[str, str] = {}
        self._parts: list[bytes] = []
        self._status, self._is_whole, self._size = 0, False, 0
        self.is_reusable = False
        until = time.monotonic() + self._timeout
        self._socket.settimeout(self._timeout)
        with suppress(BrokenPipeError, ConnectionResetError):  # There may be an answer still, to a part of it.
            self._socket.sendall(request)
        try:
            self._read(until)
        except BROKEN:  # The head has said what matters, where there is one.
            if not self._status:
                raise
        else:
            self.is_reusable = self._is_whole and self._is_kept
        return Answer(self._status, self._headers, b"".join(self._parts))

    def close(self) -> None:
        self._opened.close()

    def _read(self, until: float) -> None:
        received = 0
        while not self._is_whole and self._size < self._most_bytes:
            if received:
                self._socket.settimeout(max(until - time.monotonic(), 1e-6))
            data = self._socket.recv(MOST_BYTES)
            if not data:
                raise ConnectionResetError("the connection ended")
            received += len(data)
            if not self._status and received > _MOST_HEAD_BYTES:
                raise ConnectionAbortedError("a head without end")
            self._parser.feed_data(data)

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise ValueError("more than one answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
        else:  # An answer before the answer, such as 100.
            self._headers.clear()

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)

    def on_message_complete(self) -> None:
        self._is_whole = self._status != 0
        self._is_kept = self._parser.should_keep_alive()
