"""Between the HTTP server and the WSGI app: a request takes a thread when its body is there, not before.

A body is collected by the server while no thread waits. One that is not there at once lets the app decide by the head
alone; where the app asks for the body, it is waited for until the deadline, and then answered 408.
"""

import threading
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable
from functools import partial
from io import BytesIO
from queue import SimpleQueue
from typing import Any
from wsgiref.types import WSGIApplication

from verify_service.errors import NotHere, TooSlow
from verify_service.wsgi import Exchange, Missing, Unread, answer

DEADLINE_S = 5.0
"""A caller is a backend or a vendor with a body of a few hundred bytes: what takes longer than this is no slow line."""
GRACE_S = 0.2
"""A body that is not there by then lets the app decide by the head: long enough for one that comes in two packets."""
MOST_BYTES = 1_048_577
"""One more than the largest body that a path takes, so that the app sees that one is too large."""
MOST_BODIES = 1024
"""So many are waited for; the oldest go first. Each costs the server about 2 KB."""
MOST_PIECES = 2048
"""Of a body that comes in chunks: each piece costs a turn of a thread, whatever its size."""
MOST_WAITING_BYTES = 64 * 1_048_576
"""What the bodies that are waited for may come to, by what their heads announce; the oldest go first."""
AT_ONCE = frozenset({"/healthz", "/readyz"})
"""Each of these has a thread of its own, so that it answers whatever the rest does, the other one included."""
SPARE_THREADS = len(AT_ONCE)

_TICK_S = 0.05
_JUDGES = 2  # threads that let the app decide by the head, and answer 408: neither takes long
_PIECE = 16_384  # what a body in chunks counts for until it has come to more


class _Room:
    """Runs jobs in the threads that bring them, so many at once; the others wait in turn, and no thread with them."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[Callable[[], object]] = deque()
        self._lock = threading.Lock()

    def run(self, job: Callable[[], object]) -> None:
        with self._lock:
            if not self._free:
                self._waiting.append(job)
                return
            self._free -= 1
        while True:
            job()
            with self._lock:
                if not self._waiting:
                    self._free += 1
                    return
                job = self._waiting.popleft()


class _Body:
    """A body on its way. Whoever takes it out of the gateway's table answers the request."""

    __slots__ = ("announced", "asked", "began", "exchange", "future", "held", "judging", "pieces", "size")

    def __init__(self, exchange: Exchange, announced: int, began: float) -> None:
        self.exchange = exchange
        self.announced = announced
        self.began = began
        self.asked = False  # the app was asked to decide by the head
        self.judging = False  # and is deciding now
        self.held: bytes | None = None  # what came meanwhile
        self.future: Any = None  # the server's, of what comes next
        self.pieces: list[bytes] = []
        self.size = 0

    def expect(self, future: Any, call: Callable[[Any], object]) -> None:
        self.future = future
        future.add_done_callback(call, context=None)

    def received(self) -> bytes:
        """What came; b'' where the caller broke off, which the app tells by the Content-Length."""
        future, self.future = self.future, None  # It holds the one that is called, and so this.
        try:
            came: bytes = future.result()
        except (Exception, CancelledError):
            return b""
        return came

    def forget(self) -> None:
        """The server keeps a connection for as long as somebody waits for its body."""
        future, self.future = self.future, None
        if future is not None:
            future.cancel()


class Gateway:
    """Gives whole requests to `app`, in at most `threads` of the server's threads at once."""

    def __init__(self, app: WSGIApplication, threads: int) -> None:
        self._app = app
        self._room = _Room(threads)
        self._spare = {path: _Room(1) for path in AT_ONCE}
        self._late: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._bodies: dict[_Body, None] = {}  # in the order of their heads
        self._lock = threading.Lock()
        self._rests = False  # the thread that watches them, until there is one
        self._wake = threading.Event()
        for _ in range(_JUDGES):
            threading.Thread(target=self._judge, name="late bodies", daemon=True).start()
        threading.Thread(target=self._watch, name="bodies", daemon=True).start()

    def arrive(self, exchange: Exchange) -> None:
        """Takes a request whose head is there. In a thread of the server, which it holds only while the app runs."""
        began = time.monotonic()
        headers = exchange.scope.headers
        length = headers.get("content-length")
        if length in (None, "0") and "transfer-encoding" not in headers:
            self._spare.get(exchange.scope.path, self._room).run(partial(answer, self._app, exchange, BytesIO(), began))
            return
        body = _Body(exchange, _PIECE if length is None else int(length), began)
        if body.announced > MOST_BYTES:  # Nobody takes it: it is not read.
            self._room.run(partial(answer, self._app, exchange, Unread(), began))
            return
        with self._lock:
            self._bodies[body] = None
            if self._rests:
                self._rests = False
                self._wake.set()
        if length is None:
            self._next(body, aiter(exchange.proto))
        else:
            body.expect(exchange.proto(), partial(self._whole, body))

    def _next(self, body: _Body, chunks: Any) -> None:
        body.expect(chunks.__anext__(), partial(self._piece, body, chunks))

    def _piece(self, body: _Body, chunks: Any, _future: Any) -> None:
        piece = body.received()
        body.pieces.append(piece)
        body.size += len(piece)
        body.announced = max(body.announced, body.size)
        if not piece or body.size >= MOST_BYTES:
            self._came(body, b"".join(body.pieces))
        elif len(body.pieces) < MOST_PIECES:
            self._next(body, chunks)
            if body not in self._bodies:
                body.forget()

    def _whole(self, body: _Body, _future: Any) -> None:
        self._came(body, body.received())

    def _came(self, body: _Body, data: bytes) -> None:
        with self._lock:
            if body.judging:
                body.held = data
                return
            if body not in self._bodies:
                return
            del self._bodies[body]
        self._room.run(partial(answer, self._app, body.exchange, BytesIO(data), body.began))

    def _watch(self) -> None:
        """Sees to it that no body is waited for too long, and that all of them do not come to too much."""
        while True:
            with self._lock:
                rests = self._rests = not self._bodies
            if rests:
                self._wake.wait()
                self._wake.clear()
            time.sleep(_TICK_S)
            self._look(time.monotonic())

    def _look(self, now: float) -> None:
        with self._lock:
            waiting = [body for body in self._bodies if not body.judging]
            count, size = len(waiting), sum(body.announced for body in waiting)
            for body in waiting:
                age = now - body.began
                if age < GRACE_S and count <= MOST_BODIES and size <= MOST_WAITING_BYTES:
                    break
                if age >= DEADLINE_S or count > MOST_BODIES or size > MOST_WAITING_BYTES:
                    del self._bodies[body]
                    count, size = count - 1, size - body.announced
                    self._late.put(partial(self._too_slow, body))
                elif not body.asked:
                    body.asked = body.judging = True
                    self._late.put(partial(self._by_head, body))

    def _judge(self) -> None:
        while True:
            self._late.get()()

    def _by_head(self, body: _Body) -> None:
        """Lets the app answer without the body; where it asks for that, the body is waited for further."""
        answered = answer(self._app, body.exchange, Missing(NotHere), body.began)
        with self._lock:
            body.judging = False
            if answered or body.held is not None:
                del self._bodies[body]
        if answered:
            body.forget()
        elif body.held is not None:
            answer(self._app, body.exchange, BytesIO(body.held), body.began)

    def _too_slow(self, body: _Body) -> None:
        answer(self._app, body.exchange, Missing(TooSlow), body.began)
        body.forget()
