"""Providers that fail whatever they are given: said once in the log, and asked just often enough to see them come back.

What is asked of them in vain costs the processor as much as what is sent, at the expense of all others.
"""

import threading
import time
from dataclasses import dataclass

from verify_service.dispatch.ways import Way
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

    def failed(self, way: Way, verification: str, reason: str) -> None:
        """A provider could not send this one."""
        with self._lock:
            outage = self._down.setdefault(way.health, _Outage(0, time.monotonic()))
            outage.failures += 1
            failures = outage.failures
        if failures < TOLD:
            _log.warning("a try failed", verification=verification, provider=way.provider, reason=reason)
        elif failures == TOLD:
            _log.warning("provider is down", provider=way.provider, channel=way.channel, reason=reason)

    def answered(self, way: Way) -> None:
        """It took a message, or refused one for its number."""
        if not self._down:
            return
        with self._lock:
            outage = self._down.pop(way.health, None)
        if outage and outage.failures >= TOLD:
            seconds = round(time.monotonic() - outage.since, 1)
            about = {"failures": outage.failures, "seconds": seconds}
            _log.info("provider is back", provider=way.provider, channel=way.channel, **about)

    def spares(self, way: Way) -> bool:
        """Whether the provider fails whatever it is asked."""
        outage = self._down.get(way.health)
        return outage is not None and outage.failures >= SPARED

    def may_be_asked(self, way: Way) -> bool:
        """Whether another message may try it now; one that fails all is tried by one now and then."""
        if not self._down:
            return True
        with self._lock:
            outage = self._down.get(way.health)
            if outage is None or outage.failures < SPARED:
                return True
            now = time.monotonic()
            if now < outage.probe_at:
                return False
            outage.probe_at = now + PROBE_S
            return True
