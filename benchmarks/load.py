"""The load generator: one thread, raw sockets kept alive, prebuilt requests, one under way per connection.

It does as little as it can, because it shares its cores with what it measures; each `Load` says how much that was.
"""

import select
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

Follow = Callable[[bytes], bytes | None]
"""From an answer's body, the next request of the same caller on the same connection; None where it is done."""


class Refused(RuntimeError):
    """An answer with another status than expected: the figures would be those of refusals."""


@dataclass
class Load:
    """What one stretch of load came to. Times in seconds; `latencies` in the order of the answers."""

    seconds: float = 0.0
    generator_cpu: float = 0.0
    latencies: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    done: int = 0

    @property
    def rate(self) -> float:
        """Callers served to the end, per second."""
        return self.done / self.seconds


def drive(
    port: int,
    requests: Iterable[bytes],
    connections: int,
    seconds: float,
    follow: Follow | None = None,
    *,
    statuses: bytes = b"2",
) -> Load:
    """Sends the requests over so many connections until they are used up or the time is over.

    `latencies` and `bodies` are of the answers that end a caller's way; with `follow`, from its first byte sent to the
    last answer. Raises Refused for any answer whose status begins with none of the digits in `statuses`.
    """
    source = iter(requests)
    load = Load()
    poll = select.poll()
    sockets: dict[int, socket.socket] = {}
    began_at: dict[int, float] = {}
    partial: dict[int, bytes] = {}
    cpu, clock = time.process_time(), time.perf_counter
    started = clock()
    until = started + seconds
    try:
        for _ in range(connections):
            request = next(source, None)
            if request is None:
                break
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = connection.fileno()
            sockets[number], partial[number], began_at[number] = connection, b"", clock()
            poll.register(number, select.POLLIN)
            connection.sendall(request)
        while sockets:
            ready = poll.poll(10_000)
            if not ready:
                raise Refused("no answer in 10 seconds")
            for number, _ in ready:
                connection = sockets[number]
                received = partial[number] + connection.recv(65_536)
                body = _body(received, statuses)
                if body is None:
                    partial[number] = received
                    continue
                partial[number] = b""
                request = follow(body) if follow else None
                if request is not None:
                    connection.sendall(request)
                    continue
                now = clock()
                load.latencies.append(now - began_at[number])
                load.bodies.append(body)
                request = next(source, None) if now < until else None
                if request is None:
                    poll.unregister(number)
                    sockets.pop(number).close()
                    continue
                began_at[number] = now
                connection.sendall(request)
    finally:
        for connection in sockets.values():
            connection.close()
    load.seconds = clock() - started
    load.generator_cpu = time.process_time() - cpu
    load.done = len(load.latencies)
    return load


def _body(received: bytes, statuses: bytes) -> bytes | None:
    """The body of a whole answer, as it was sent: in chunks perhaps; None while some is missing. Raises Refused."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        if not received:
            raise Refused("the connection was closed")
        return None
    head = received[:end].lower()
    at = head.find(b"content-length: ")
    body = received[end + 4 :]
    whole = body.endswith(b"0\r\n\r\n") if at < 0 else len(body) >= int(head[at + 16 : at + 26].split(b"\r", 1)[0])
    if not whole:
        return None
    if not (head.startswith(b"http/1.1 ") and head[9] in statuses):
        raise Refused(received[:400].decode(errors="replace"))
    return body


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of the others stay below, 0 to 1; no interpolation."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
