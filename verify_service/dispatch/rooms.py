"""Room for messages on their way, for each way its own: what waits for one provider takes nothing from another."""

import threading
from collections import Counter
from collections.abc import Callable

from verify_service.dispatch.outages import Outages
from verify_service.dispatch.ways import Way

# Messages on their way at once by one provider and sender; and so many with those that wait for the sender's turn.
ROOM = 1024
IN_LINE = 4 * ROOM


class Rooms:
    """How many messages each way has taken in. Thread-safe."""

    def __init__(self, outages: Outages, queued: Callable[[str], int]) -> None:
        """`queued` counts what stands in a provider's lane."""
        self._outages = outages
        self._queued = queued
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()
        self._lined: Counter[str] = Counter()

    def enter(self, way: Way) -> bool:
        """Takes a place, where there is one and the provider may be asked."""
        with self._lock:
            most = min(ROOM + self._lined[way.room], IN_LINE)
            if (
                self._held[way.room] >= most
                or self._queued(way.provider) >= most
                or not self._outages.may_be_asked(way)
            ):
                return False
            self._held[way.room] += 1
            return True

    def leave(self, room: str) -> None:
        """Gives a place back; nothing for ''."""
        if room:
            with self._lock:
                self._held[room] -= 1

    def line_up(self, way: Way, number: int) -> None:
        """So many more (or, below 0, fewer) wait for their sender's turn."""
        with self._lock:
            self._lined[way.room] += number
