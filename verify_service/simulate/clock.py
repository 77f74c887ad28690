"""When things happen: the daily and weekly rhythm of a country, and arrivals at a rate that changes."""

from collections.abc import Callable, Iterator
from random import Random

HOUR = 3600.0
DAY = 86400.0
MONDAY = 1789948800  # 2026-09-21 00:00 UTC; a simulation begins in the seven days from it.

_BY_HOUR = [22, 13, 8, 6, 6, 9, 18, 34, 50, 60, 64, 66, 68, 66, 64, 64, 66, 70, 76, 82, 84, 76, 58, 38]
_BY_DAY = [1.04, 1.02, 1.02, 1.03, 1.05, 0.94, 0.90]  # Monday first.
_MEAN = sum(_BY_HOUR) / 24
_SLOT = 600.0  # A rate is taken as constant for so long.


def activity(at: float, utc_offset: float) -> float:
    """How busy a country is at that time, 1 being its average of a week; `utc_offset` in hours."""
    local = at - MONDAY + utc_offset * HOUR
    return _BY_HOUR[int(local % DAY // HOUR)] / _MEAN * _BY_DAY[int(local // DAY) % 7]


def arrivals(rng: Random, per_day: Callable[[float], float], begin: float, end: float) -> Iterator[float]:
    """Random times of events that come independently of each other, `per_day(at)` of them a day; in order."""
    slot = begin
    while slot < end:
        until = min(slot + _SLOT, end)
        rate = per_day(slot) / DAY
        at = slot + rng.expovariate(rate) if rate > 0 else until
        while at < until:
            yield at
            at += rng.expovariate(rate)
        slot = until
