"""Until when a server may still run a call: a caller that was told 503 must not find its start admitted later.

A server that was stopped for a while still runs what lies in its buffers, long after the caller has gone. So each call
carries a deadline in the server's own time, and the functions refuse what comes late (`loader.lua`). What the server's
clock shows is learned in passing: a `TIME` rides in a pipeline now and then.
"""

import time
from typing import Any

from verify_service.store.url import PATIENCE

LEARN_S = 30.0


class ServerClocks:
    """The clocks of the servers, by connection pool, against this process's monotonic one."""

    def __init__(self) -> None:
        self._ahead: dict[Any, tuple[float, float]] = {}

    def deadline(self, pool: Any) -> str:
        """Milliseconds since the epoch on the server's clock, a caller's patience from now; '' while it is unknown."""
        known = self._ahead.get(pool)
        return str(int((known[0] + time.monotonic() + PATIENCE) * 1000)) if known else ""

    def is_stale(self, pool: Any) -> bool:
        """Whether it is time to ask again: clocks are set, and drift."""
        known = self._ahead.get(pool)
        return known is None or time.monotonic() - known[1] > LEARN_S

    def learn(self, pool: Any, answer: Any) -> None:
        """Takes the answer to TIME, [seconds, microseconds], just read. Its way here makes the deadline earlier."""
        now = time.monotonic()
        self._ahead[pool] = (int(answer[0]) + int(answer[1]) / 1e6 - now, now)

    def forget(self, pool: Any) -> None:
        """The server's clock was set, or another server took its place."""
        self._ahead.pop(pool, None)
