"""Failed authentications: counted in the process, and told to all of them now and then. One window on one key, so
`limits` itself is enough there, with its Redis storage."""

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from verify_service import addresses
from verify_service.codes import Tagger
from verify_service.errors import StoreUnavailable
from verify_service.store.connection import Link, prefix

PER_MINUTE = 300
SHARE = 30
"""So many an address may fail in a process before the store hears of it, and again after each so many."""
MOST = 10_000
"""Addresses that a process remembers: some two megabytes."""
NOTED = 10
"""Refusals a minute of which a process says more than their number."""
_MINUTE_S = 60.0


@dataclass(slots=True)
class _Failing:
    """An address that fails: since when and how often within a minute, and until when it is refused."""

    since: float
    count: int = 0
    refused_until: float = 0.0


class FailedAuthentications:
    """Counts wrong API keys by address. One that fails seldom costs the store nothing, and one that fails all the time
    a write in `SHARE`. Of several processes each may let `SHARE` - 1 more pass than `PER_MINUTE`."""

    def __init__(self, link: Link, tagger: Tagger) -> None:
        self._link = link
        self._tagger = tagger
        self._item = RateLimitItemPerMinute(PER_MINUTE)
        self._failing: OrderedDict[str, _Failing] = OrderedDict()
        self._lock = Lock()
        self._minute, self._noted, self._passed = 0.0, 0, 0

    def hit(self, address: str) -> int:
        """Counts one failure; seconds to wait where there were too many, 0 otherwise (a wrong key is refused in any
        case). While the store is silent, the process's own count holds."""
        who, now = _counted(address), time.monotonic()
        with self._lock:
            found = self._of(who, now)
            if now < found.refused_until:
                return int(found.refused_until - now) + 1
            found.count += 1
            if found.count > PER_MINUTE:
                found.refused_until = found.since + _MINUTE_S
                return int(found.refused_until - now) + 1
            if found.count % SHARE:
                return 0
        wait = self._shared(who)
        if wait:
            with self._lock:
                found.refused_until = now + wait
        return wait

    def noted(self) -> int | None:
        """How many refusals have passed since the last that was noted, where this one is to be; None where a flood of
        them would fill what it is noted in."""
        with self._lock:
            if (now := time.monotonic()) >= self._minute + _MINUTE_S:
                self._minute, self._noted = now, 0
            if self._noted >= NOTED:
                self._passed += 1
                return None
            self._noted += 1
            passed, self._passed = self._passed, 0
            return passed

    @property
    def remembered(self) -> int:
        """How many addresses are remembered now."""
        return len(self._failing)

    def _of(self, who: str, now: float) -> _Failing:
        """The address's count of this minute; who failed longest ago is forgotten where there are too many."""
        found = self._failing.get(who)
        if found is None or (now >= found.since + _MINUTE_S and now >= found.refused_until):
            found = self._failing[who] = _Failing(now)
            if len(self._failing) > MOST:
                self._failing.popitem(last=False)
        self._failing.move_to_end(who)
        return found

    def _shared(self, who: str) -> int:
        """Tells the store of `SHARE` failures; seconds to wait where all processes together had too many."""
        tag = self._tagger.tag("ip", who)
        try:
            pool = self._link.client(0).connection_pool
            storage = RedisStorage(
                "redis://", connection_pool=pool, key_prefix=f"{prefix(0)}auth", wrap_exceptions=True
            )
            limiter = FixedWindowRateLimiter(storage)
            if limiter.hit(self._item, tag, cost=SHARE):
                return 0
            return max(1, int(limiter.get_window_stats(self._item, tag).reset_time - time.time()) + 1)
        except (StorageError, StoreUnavailable):
            return 0


def _counted(address: str) -> str:
    try:
        return addresses.counted(address)[0]
    except ValueError:  # A caller by a socket of the host's own has none.
        return address
