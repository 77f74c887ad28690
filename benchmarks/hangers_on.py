"""Callers that cost a server patience: so many silent connections, and so many that send a body a byte a second.

One that is sent away comes again. Run with the port to call, one to listen on once all are there, and the two counts.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from verify_service.process import die_with_parent

OPENED_A_SECOND = 400  # all at once would time the kernel's queue, and nothing else
_HEAD = b"POST /providers/vendor/receipts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
_KEYLESS = b"POST /start HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_KEYLESS if id(writer) // 64 % 2 else _HEAD)
    answered = asyncio.ensure_future(reader.read(65_536))
    while not answered.done():
        writer.write(b"{")
        await asyncio.wait([answered], timeout=1)


async def main() -> None:
    """Until it is killed."""
    die_with_parent()
    port, ready, idle, dribbling = map(int, sys.argv[1:])
    turn, there = asyncio.Lock(), asyncio.Semaphore(0)

    async def again(way: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        while True:
            async with turn:
                await asyncio.sleep(1 / OPENED_A_SECOND)
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                there.release()
                try:
                    await way(reader, writer)
                finally:
                    writer.close()
            except OSError:
                await asyncio.sleep(1)

    ways = [asyncio.ensure_future(again(way)) for way in [slow] * dribbling + [silent] * idle]
    for _ in ways:
        await there.acquire()
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", ready):
        await asyncio.gather(*ways)


if __name__ == "__main__":
    asyncio.run(main())
