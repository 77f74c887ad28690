"""Room for messages on their way, for each path its own, so that what waits for one provider takes nothing from
another; and none for a provider that fails whatever it is given.

What is asked of such a one in vain costs the processor as much as what is sent, at the expense of all others. So it is
said once in the log, and the provider is asked just often enough to see it come back.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from verify_service.dispatch.planner import DeliveryPath
from verify_service.telemetry import log

# Failures in a row: from then on an operator is told, or the provider is spared.
TOLD = 3
SPARED = 50
# One try in so many seconds, while a provider is spared.
PROBE_S = 0.05

_log = log("dispatch")


@dataclass
class _Outage:
    failures: int
    since: float
    probe_at: float = 0.0


class Outages:
    """What this dispatcher sees of providers that are down. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._down: dict[str, _Outage] = {}

    def failed(self, path: DeliveryPath, verification: str, reason: str) -> None:
        """A provider could not send this one."""
        with self._lock:
            outage = self._down.setdefault(path.health, _Outage(0, time.monotonic()))
            outage.failures += 1
            failures = outage.failures
        if failures < TOLD:
            _log.warning("a try failed", verification=verification, provider=path.provider, reason=reason)
        elif failures == TOLD:
            _log.warning("provider is down", provider=path.provider, channel=path.channel, reason=reason)

    def answered(self, path: DeliveryPath) -> None:
        """It took a message, or refused one for its number."""
        if not self._down:
            return
        with self._lock:
            outage = self._down.pop(path.health, None)
        if outage and outage.failures >= TOLD:
            seconds = round(time.monotonic() - outage.since, 1)
            about = {"failures": outage.failures, "seconds": seconds}
            _log.info("provider is back", provider=path.provider, channel=path.channel, **about)

    def spares(self, path: DeliveryPath) -> bool:
        """Whether the provider fails whatever it is asked."""
        outage = self._down.get(path.health)
        return outage is not None and outage.failures >= SPARED

    def may_be_asked(self, path: DeliveryPath) -> bool:
        """Whether another message may try it now; one that fails all is tried by one now and then."""
        if not self._down:
            return True
        with self._lock:
            outage = self._down.get(path.health)
            if outage is None or outage.failures < SPARED:
                return True
            now = time.monotonic()
            if now < outage.probe_at:
                return False
            outage.probe_at = now + PROBE_S
            return True


# Messages on their way at once by one provider and sender; and so many with those that wait for the sender's turn.
ROOM = 1024
IN_LINE = 4 * ROOM


class Rooms:
    """How many messages each path has taken in. Thread-safe."""

    def __init__(self, outages: Outages, queued: Callable[[str], int]) -> None:
        """`queued` counts what stands in a provider's pool."""
        self._outages = outages
        self._queued = queued
        self._lock = threading.Lock()
        self._in_flight: Counter[str] = Counter()
        self._lined: Counter[str] = Counter()

    def enter(self, path: DeliveryPath) -> bool:
        """Takes a place, where there is one and the provider may be asked."""
        with self._lock:
            most = min(ROOM + self._lined[path.room], IN_LINE)
            if (
                self._in_flight[path.room] >= most
                or self._queued(path.provider) >= most
                or not self._outages.may_be_asked(path)
            ):
                return False
            self._in_flight[path.room] += 1
            return True

    def leave(self, room: str) -> None:
        """Gives a place back; nothing for ''."""
        if room:
            with self._lock:
                self._in_flight[room] -= 1

    def line_up(self, path: DeliveryPath, number: int) -> None:
        """So many more (or, below 0, fewer) wait for their sender's turn."""
        with self._lock:
            self._lined[path.room] += number
