"""Who uses the service of the demonstration, and when: the simulation's people, and its pumpers at a moment of ours."""

import heapq
import itertools
from collections.abc import Iterator

from verify_service.simulate.clock import DAY
from verify_service.simulate.normal import Service
from verify_service.simulate.pumping import sequential_many_ips
from verify_service.simulate.recording import Attempt, Event
from verify_service.simulate.world import EXPENSIVE


class Source:
    """Attempts by the time of their first event, given out as that comes."""

    def __init__(self, attempts: Iterator[Attempt]) -> None:
        self._attempts = attempts

    def until(self, end: float) -> Iterator[Attempt]:
        """Those that begin before `end` and were not given out yet."""
        for attempt in self._attempts:
            if attempt[0].at >= end:
                self._attempts = itertools.chain([attempt], self._attempts)
                return
            yield attempt


class Traffic:
    """What real users do from `begin` (seconds of the epoch) on, and what may happen to the service."""

    def __init__(self, seed: int, begin: float, days: int, per_day: float) -> None:
        self._service = Service(seed, days + 1, per_day)
        # By whole days, so that people sleep when it is night with them.
        shift = (begin - self._service.begin) // DAY * DAY
        moved = (_moved(attempt, shift) for attempt in self._service.traffic())
        self.people = Source(attempt for attempt in moved if attempt[0].at >= begin)

    def attack(self, at: float) -> tuple[Source, str]:
        """Pumping from `at` on, for some hours: numbers in a row, each start from another address, none approved; and
        the country that they are of."""
        attempts = sequential_many_ips(self._service)
        first = next(attempts)
        shift, to = at - first[0].at, first[0].to or ""
        country = next(country.iso for country in EXPENSIVE if to.startswith(f"+{country.calling_code}"))
        return Source(_moved(attempt, shift) for attempt in itertools.chain([first], attempts)), country


class Coming:
    """What is to happen, by time, of attempts that have begun."""

    def __init__(self, *sources: Source) -> None:
        self._sources = list(sources)
        self._waiting: list[tuple[float, int, Event]] = []
        self._numbers = itertools.count()

    def join(self, source: Source) -> None:
        self._sources.append(source)

    def until(self, at: float) -> Iterator[Event]:
        """The events up to then that were not given out yet."""
        for source in self._sources:
            for event in itertools.chain.from_iterable(source.until(at)):
                heapq.heappush(self._waiting, (event.at, next(self._numbers), event))
        while self._waiting and self._waiting[0][0] <= at:
            yield heapq.heappop(self._waiting)[2]


def _moved(attempt: Attempt, seconds: float) -> Attempt:
    return [event._replace(at=event.at + seconds) for event in attempt]
