"""What `limits` says of a window's traffic: an oracle for limits and budgets."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from threading import Timer
from types import SimpleNamespace
from unittest.mock import patch

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter, SlidingWindowCounterRateLimiter

EPOCH = 1_800_000_000_000
LOG_MAX = 32
"""The largest amount that is kept as an exact log of hits; above it, hits are counted in buckets."""
Window = tuple[int, int]
"""(hits, seconds)."""


class _NoSweep(Timer):
    """The storage's own sweep runs by the real clock, in a thread; ours is the only time there is."""

    def __init__(self) -> None:
        super().__init__(3600, lambda: None)

    def is_alive(self) -> bool:
        return True


class Oracle:
    """Windows of `limits`, all or nothing, at times of our choosing; exact fractions, so that no rounding decides."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self._storage = MemoryStorage()
        self._storage.timer.cancel()
        self._storage.timer = _NoSweep()
        strategies = (MovingWindowRateLimiter(self._storage), SlidingWindowCounterRateLimiter(self._storage))
        self._windows: list[tuple[MovingWindowRateLimiter | SlidingWindowCounterRateLimiter, RateLimitItem, str]] = [
            (strategies[amount > LOG_MAX], RateLimitItemPerSecond(amount, seconds), str(place))
            for place, (amount, seconds) in enumerate(windows)
        ]

    def hit(self, at: int, *, keep: bool = True, cost: int = 1) -> bool:
        """Whether a hit passes every window at `at` (milliseconds); it counts in all of them, or in none."""
        storage = self._storage
        before = ({key: list(hits) for key, hits in storage.events.items()}, Counter(storage.storage))
        expirations = dict(storage.expirations)
        with patch("limits.storage.memory.time", SimpleNamespace(time=lambda: Fraction(at, 1000))):
            passed = all(strategy.hit(item, place, cost=cost) for strategy, item, place in self._windows)
        if not (passed and keep):
            storage.events, storage.storage = before
            storage.expirations = expirations
        return passed
