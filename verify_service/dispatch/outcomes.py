"""Writes down what became of entries, in batches: one round trip for all that finished during the last one."""

import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from verify_service.errors import StoreUnavailable
from verify_service.store.entries import Settlement
from verify_service.store.outbox import Outbox
from verify_service.telemetry import SETTLED, log

MOST = 64
# A round trip and a change of threads cost more than a settlement's share of them; one that comes alone is not kept.
GATHER_S = 0.02
BUSY_S = 0.05
AGAIN_S = 0.2
LAST_TRIES_S = 5.0

_log = log("dispatch")


class OutcomeWriter:
    """A thread that settles; `done` is told each batch once it is in the store."""

    def __init__(self, outbox: Outbox, done: Callable[[Sequence[Settlement]], None]) -> None:
        self._outbox = outbox
        self._done = done
        self._queue: queue.SimpleQueue[Settlement | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._busy_at = 0.0
        self._thread = threading.Thread(target=self._loop, name="settle", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def settle(self, settlement: Settlement) -> None:
        """Settles an entry soon."""
        if settlement.late:
            settlement = settlement._replace(mark=secrets.token_hex(8))
        else:
            SETTLED.labels("sent" if any(event.event == "sent" for event in settlement.events) else "failed").inc()
        self._queue.put(settlement)

    def close(self, seconds: float) -> None:
        """Waits until all is settled, at most so many seconds."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join(seconds)

    def _loop(self) -> None:
        late: list[Settlement] = []
        again = 0.0
        give_up: float | None = None
        while give_up is None or (late and time.monotonic() < give_up):
            batch, closed = self._next(AGAIN_S if late else None)
            if closed:
                give_up = time.monotonic() + LAST_TRIES_S
            if late and time.monotonic() >= again:
                batch, late = late + batch, []
            failed = [item for some in _batches(batch) for item in self._write(some)]
            if failed and not late:
                again = time.monotonic() + AGAIN_S
            late += failed
        # Whoever claims what is late by now sends it again, with the same code.

    def _next(self, patience: float | None) -> tuple[list[Settlement], bool]:
        """A batch, empty where nothing comes in so many seconds, and whether it was the last one."""
        batch: list[Settlement] = []
        with suppress(queue.Empty):
            item = self._queue.get(timeout=patience)
            now = time.monotonic()
            if now - self._busy_at < BUSY_S:
                self._closing.wait(GATHER_S)
            self._busy_at = now
            while item is not None:
                batch.append(item)
                if len(batch) == MOST:
                    return batch, False
                item = self._queue.get_nowait()
            return batch, True
        return batch, False

    def _write(self, batch: list[Settlement]) -> list[Settlement]:
        """Settles what can be; answers the rest: nothing waits for a partition that is silent, or for one settlement
        that the store refuses."""
        if not batch:
            return []
        parts: dict[int, list[Settlement]] = {}
        for item in batch:
            parts.setdefault(item.entry.partition, []).append(item)
        try:
            self._outbox.settle(batch)
        except StoreUnavailable as error:
            if len(parts) > 1:
                return [item for own in parts.values() for item in self._write(own)]
            if error.answered and len(batch) > 1:
                return [item for each in batch for item in self._write([each])]
            _log.warning("cannot settle yet", entries=len(batch), reason=error.reason)
            return batch
        except Exception:
            # What was sent and is not settled would be sent again: nothing may end this thread.
            _log.exception("cannot settle yet", entries=len(batch))
            return batch
        self._done(batch)
        return []


def _batches(items: Sequence[Settlement]) -> Iterator[list[Settlement]]:
    for place in range(0, len(items), MOST):
        yield [*items[place : place + MOST]]
