"""Those that were put aside: they go on as room comes, and end when their time is over."""

import time
from collections import defaultdict
from collections.abc import Sequence

from verify_service.dispatch.journey import Journeys
from verify_service.dispatch.parking import Parked
from verify_service.errors import StoreUnavailable
from verify_service.model import Clock
from verify_service.store.entries import Entry
from verify_service.store.outbox import Outbox

READ_MOST = 64
EXPIRE_MOST = 500
EXPIRE_S = 0.5
# A provider that is spared is tried so often (`Outages`), and nobody calls for that.
LOOK_S = 0.05
IDLE_S = 1.0


class Waiting:
    """The waiting messages of one dispatcher. Only one thread may use it."""

    def __init__(self, outbox: Outbox, clock: Clock, name: str, journeys: Journeys) -> None:
        self._outbox = outbox
        self._clock = clock
        self._name = name
        self._journeys = journeys
        self._held = journeys.held
        self._next_expiry = 0.0

    def go_on(self) -> None:
        """Waits for room, and fills it. Raises StoreUnavailable: then all who were to go wait on."""
        parking, called = self._held.parking, self._held.called
        called.wait(LOOK_S if len(parking) else IDLE_S)
        called.clear()
        if len(parking) and time.monotonic() >= self._next_expiry:
            self._next_expiry = time.monotonic() + EXPIRE_S
            self._expire()
        while self._fill() == READ_MOST:
            pass

    def _fill(self) -> int:
        picked = self._held.parking.pick(READ_MOST, self._journeys.enter)
        try:
            found = self._read([parked for parked, _ in picked])
        except StoreUnavailable:
            for parked, way in reversed(picked):
                self._held.rooms.leave(way.room)
                self._held.parking.put_back(parked)
            raise
        for parked, way in picked:
            if entry := found.get((parked.partition, parked.position)):
                self._journeys.resume(parked, way, entry)
            else:
                self._held.rooms.leave(way.room)
                self._held.resume(parked, None)
        return len(picked)

    def _expire(self) -> None:
        dead = self._held.parking.take_expired(self._clock.now())
        for place in range(0, len(dead), EXPIRE_MOST):
            batch = dead[place : place + EXPIRE_MOST]
            try:
                found = self._read(batch)
            except StoreUnavailable:
                for parked in dead[place:]:
                    self._held.parking.put_back(parked)
                raise
            for parked in batch:
                self._held.resume(parked, None)
            for entry in found.values():
                self._journeys.expire(entry)

    def _read(self, parked: Sequence[Parked]) -> dict[tuple[int, str], Entry]:
        """The entries of those that are not settled and are still ours."""
        found = {(each.partition, each.position): each.entry for each in parked if each.entry}
        left: defaultdict[int, list[str]] = defaultdict(list)
        for each in parked:
            if not each.entry:
                left[each.partition].append(each.position)
        for part, positions in left.items():
            for entry in self._outbox.reread(part, self._name, positions):
                found[part, entry.entry] = entry
        return found
