"""The vendor's side: accepts every message at once and remembers when it came. One thread; run with the port.

`GET /arrivals` answers {number: monotonic seconds} of all that came since the last such call; Linux' monotonic clock is
the same for every process. `GET /messages` answers a list of what came since the last such call, as it was sent, and
`GET /sends` a list of [the message's id, monotonic seconds].
"""

import asyncio
import sys
import time

import msgspec

from verify_service.process import die_with_parent


class _Message(msgspec.Struct):
    to: str
    id: str = ""


class _Vendor(asyncio.Protocol):
    arrivals: dict[str, float] = {}  # noqa: RUF012 - shared by all connections
    messages: list[bytes] = []  # noqa: RUF012
    sends: list[tuple[str, float]] = []  # noqa: RUF012

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._received = transport, b""

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        if head.startswith(b"GET /messages"):
            self._answer(b"[%s]" % b",".join(self.messages))
            self.messages.clear()
            return
        if head.startswith(b"GET /sends"):
            self._answer(msgspec.json.encode(self.sends))
            self.sends.clear()
            return
        if head.startswith(b"GET"):
            self._answer(msgspec.json.encode(self.arrivals))
            self.arrivals.clear()
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
        if len(body) >= length:
            self.messages.append(body)
            message = msgspec.json.decode(body, type=_Message)
            self.arrivals[message.to] = now
            self.sends.append((message.id, now))
            self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self._received = b""
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def main() -> None:
    """Listens until it is killed."""
    die_with_parent()
    server = await asyncio.get_running_loop().create_server(_Vendor, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
