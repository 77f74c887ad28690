"""Time: the system's, or in test lanes that plus an offset which the store keeps, so that all processes agree."""

import time

from verify_service.store.connection import Link

OFFSET_KEY = "vs:{0}:clock"
OFFSET_LIFE_S = 30 * 86_400
LATEST_MS = 4_102_444_800_000
"""2100-01-01. The store counts windows in 32 bits of seconds, which end in 2106."""


class SystemClock:
    """This machine's clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000


class VirtualClock:
    """The system's clock, moved forward by `advance`. Costs a round trip a reading; for test lanes only."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def now(self) -> int:
        offset = self._link.command(0, ["GET", OFFSET_KEY])
        return time.time_ns() // 1_000_000 + int(offset or 0)

    def advance(self, ms: int) -> int:
        """Moves every process's clock forward; answers the new time. Raises ValueError past 2100, and moves nothing."""
        offset = int(self._link.command(0, ["INCRBY", OFFSET_KEY, ms]))
        self._link.command(0, ["EXPIRE", OFFSET_KEY, OFFSET_LIFE_S])
        if time.time_ns() // 1_000_000 + offset > LATEST_MS:
            self._link.command(0, ["INCRBY", OFFSET_KEY, -ms])
            raise ValueError("would be after 2100-01-01; the store counts windows in 32 bits of seconds")
        return self.now()
