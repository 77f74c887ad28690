"""What a simulation gives out: events in the form of recorded traffic, each start with the truth about it."""

import heapq
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One event. `to`, `ip`, `device` and `price` (USD) are those of a start; `fraud` and `who` are the truth, which no
    recording holds."""

    at: float  # Seconds since the epoch, whole milliseconds.
    event: str  # start, approved or wrong
    id: str
    fraud: bool
    who: str
    to: str | None = None
    ip: str | None = None
    device: str | None = None
    price: float | None = None

    def recorded(self) -> dict[str, Any]:
        """The line of recorded traffic."""
        line: dict[str, Any] = {"at": self.at, "event": self.event, "id": self.id}
        if self.event == "start":
            line |= {"to": self.to, "ip": self.ip, "device": self.device, "price": self.price}
        return line

    def label(self, scenario: str) -> dict[str, Any]:
        """The line of labels; for starts."""
        truth = "fraud" if self.fraud else "legitimate"
        return {"id": self.id, "at": self.at, "label": truth, "scenario": scenario, "who": self.who}


# What belongs to one decision of one person: the first event is the earliest, the others may come in any order.
Attempt = list[Event]


def new_id(rng: Random) -> str:
    """An id that says nothing about who started."""
    return f"{rng.getrandbits(48):012x}"


def together(sources: Iterable[Iterator[Attempt]]) -> Iterator[Attempt]:
    """Several sources as one."""
    return heapq.merge(*sources, key=lambda events: events[0].at)


def ordered(attempts: Iterator[Attempt]) -> Iterator[Event]:
    """All events by time. The attempts come by the time of their first event; no more is held than what is still to
    happen of attempts that began."""
    waiting: list[tuple[float, int, Event]] = []
    count = 0
    for attempt in attempts:
        now = attempt[0].at
        while waiting and waiting[0][0] < now:
            yield heapq.heappop(waiting)[2]
        for event in attempt:
            count += 1
            at = round(event.at, 3)
            heapq.heappush(waiting, (at, count, event._replace(at=at)))
    while waiting:
        yield heapq.heappop(waiting)[2]
