"""Recorded traffic: the events streams of all partitions as one list, in the form that a backtest reads."""

import heapq
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from verify_service.store.connection import Link, prefix
from verify_service.store.event_types import read
from verify_service.store.unreadable import passed_over

_PAGE = 1000
# A dispatcher writes what it tried when it settles; by then later events may stand in the stream. It gives up well
# before this.
_LATE_S = 600.0


class Events:
    """The recorded events of a store, pseudonymised where they were written."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, since: int, page: int = _PAGE) -> Iterator[dict[str, Any]]:
        """Events from `since` (milliseconds) on, ordered by time, so many asked for at once. Raises
        StoreUnavailable."""
        streams = (_in_order(self._partition(part, since, page)) for part in range(self._link.partitions))
        yield from heapq.merge(*streams, key=lambda event: event["at"])

    def follow(self, since: int, pause: float = 0.5) -> Iterator[dict[str, Any] | None]:
        """`read`, then what is written afterwards, for ever; None after each look, so that a caller can flush."""
        positions = ["-"] * self._link.partitions
        while True:
            batch = []
            for part in range(self._link.partitions):
                for position, event in self._entries(part, positions[part]):
                    positions[part] = f"({position}"
                    if event and event["at"] * 1000 >= since:
                        batch.append(event)
            yield from sorted(batch, key=lambda event: event["at"])
            yield None
            time.sleep(pause)

    def behind(self, reader: str) -> int:
        """How many events there are that a reader has not seen yet, whose place each partition keeps in a hash of that
        name; 0 where nobody has begun to read. What is trimmed away before it is read is counted as well."""
        behind = 0
        for part in range(self._link.partitions):
            stream = f"{prefix(part)}events"
            seen = self._link.command(part, ["HGET", f"{prefix(part)}{reader}", "read"])
            if seen is not None and self._link.command(part, ["EXISTS", stream]):
                flat = self._link.command(part, ["XINFO", "STREAM", stream])
                behind += max(0, dict(zip(flat[::2], flat[1::2], strict=True))[b"entries-added"] - int(seen))
        return behind

    def _partition(self, part: int, since: int, page: int = _PAGE) -> Iterator[dict[str, Any]]:
        for _, event in self._entries(part, "-", page):
            if event and event["at"] * 1000 >= since:
                yield event

    def _entries(self, part: int, start: str, most: int = _PAGE) -> Iterator[tuple[str, dict[str, Any] | None]]:
        """The events from a position on, each with its own; None for one that cannot be read."""
        while True:
            page = self._link.command(part, ["XRANGE", f"{prefix(part)}events", start, "+", "COUNT", most])
            for position, flat in page:
                yield position.decode(), readable(position, flat)
            if len(page) < most:
                return
            start = f"({page[-1][0].decode()}"


def _in_order(events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The events by time, where none comes more than `_LATE_S` after its place."""
    waiting: list[tuple[float, int, dict[str, Any]]] = []
    newest = 0.0
    for arrived, event in enumerate(events):
        newest = max(newest, event["at"])
        heapq.heappush(waiting, (event["at"], arrived, event))
        while waiting[0][0] < newest - _LATE_S:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def readable(position: bytes, flat: list[bytes]) -> dict[str, Any] | None:
    """An entry of the stream as an export has it; None, and a word in the log, for one that cannot be read."""
    try:
        return read(flat)
    except (ValueError, msgspec.DecodeError) as error:
        passed_over("event", type(error).__name__, position=position.decode())
        return None
