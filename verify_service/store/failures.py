"""Failed authentications: one window on one key, so `limits` itself is enough, with its Redis storage."""

import time

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter

from verify_service.codes import Tagger
from verify_service.errors import StoreUnavailable
from verify_service.store.connection import Link, prefix

PER_MINUTE = 300


class FailedAuthentications:
    """Counts wrong API keys by address."""

    def __init__(self, link: Link, tagger: Tagger) -> None:
        self._link = link
        self._tagger = tagger
        self._item = RateLimitItemPerMinute(PER_MINUTE)

    def hit(self, address: str) -> int:
        """Counts one failure; seconds to wait where there were too many, 0 otherwise and where the store is silent
        (a wrong key is refused in any case)."""
        tag = self._tagger.tag("ip", address)
        try:
            pool = self._link.client(0).connection_pool
            storage = RedisStorage(
                "redis://", connection_pool=pool, key_prefix=f"{prefix(0)}auth", wrap_exceptions=True
            )
            limiter = FixedWindowRateLimiter(storage)
            if limiter.hit(self._item, tag):
                return 0
            return max(1, int(limiter.get_window_stats(self._item, tag).reset_time - time.time()) + 1)
        except (StorageError, StoreUnavailable):
            return 0
