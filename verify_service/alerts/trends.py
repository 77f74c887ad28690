"""What was counted lately, by country, and what a day before had in as much time: read anew each minute."""

from collections.abc import Mapping
from typing import NamedTuple

from verify_service.insight.counts import Stats, stats
from verify_service.store import Store

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
WINDOW_MS = 30 * MINUTE_MS
# People take so long to enter a code, most of them less.
_LATER_MS = 2 * MINUTE_MS
_HOURS = 24
EVERYWHERE = ""


class Sums(NamedTuple):
    """Counts of some time."""

    starts: int = 0
    refused: int = 0
    sent: int = 0
    approved: int = 0


class Trend(NamedTuple):
    """Of the last half hour, and of the 24 hours that ended an hour or two ago."""

    lately: Sums = Sums()
    day: Sums = Sums()

    @property
    def usually_refused(self) -> float:
        """Starts that were refused in half an hour of that day."""
        return self.day.refused * WINDOW_MS / (_HOURS * HOUR_MS)


class Trends:
    """Of one store, as a dispatcher looks at it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._minute = -1
        self._known: Mapping[str, Trend] = {}

    def at(self, now: int) -> Mapping[str, Trend]:
        """By country, and EVERYWHERE. Raises StoreUnavailable."""
        if self._minute != now // MINUTE_MS:
            end, hour = (now - _LATER_MS) // MINUTE_MS * MINUTE_MS, (now // HOUR_MS - 1) * HOUR_MS
            lately = _sums(stats(self._store, end - WINDOW_MS, end, "minute", "country"))
            day = _sums(stats(self._store, hour - _HOURS * HOUR_MS, hour, "hour", "country"))
            found = {country: Trend(sums, day.get(country, Sums())) for country, sums in lately.items()}
            found[EVERYWHERE] = Trend(_of_all(lately), _of_all(day))
            self._minute, self._known = now // MINUTE_MS, found
        return self._known


def _sums(found: Stats) -> dict[str, Sums]:
    return {
        name: Sums(*(sum(counters.get(counter, ())) for counter in Sums._fields))
        for name, counters in found.groups.items()
    }


def _of_all(by_country: Mapping[str, Sums]) -> Sums:
    return Sums(*map(sum, zip(*by_country.values(), strict=True))) if by_country else Sums()
