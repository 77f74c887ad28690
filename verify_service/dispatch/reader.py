"""Reads the queue: what is new, what was put aside and may go on now, what the dead have left, and what was given to
this dispatcher without its knowing.

It reads on however much waits: what has no room is put aside, so nothing stands behind it. What is read is this
dispatcher's own as long as its lease is renewed.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from verify_service.dispatch.attempts import Attempts
from verify_service.dispatch.backlog import MOST, Parked
from verify_service.errors import StoreUnavailable
from verify_service.model import Clock
from verify_service.store.entries import Entry
from verify_service.store.outbox import ALIVE_MS, Outbox
from verify_service.telemetry import log

READ_MOST = 64
# A round trip and a change of threads cost more than a message's share of them: those right after it are taken at once.
GATHER_S = 0.002
BLOCK_MS = 1_000
# How long a lease lasts; and how many entries of the dead are taken over in one step, and of our own looked up.
IDLE_MS = 3_000
CLAIM_MOST = 500
LOOKED_THROUGH_A_SECOND = 5_000
SWEEP_S = 60.0
FORGET_MS = 3_600_000
EXPIRE_MOST = 500
EXPIRE_S = 0.5
# A provider that is spared is tried so often (`Outages`), and nobody calls for that.
LOOK_S = 0.05

_log = log("dispatch")


class QueueReader:
    """The queue as one dispatcher reads it. Each method is for one thread, but `take`: that is for one a partition."""

    def __init__(
        self, outbox: Outbox, clock: Clock, name: str, attempts: Attempts, is_over: Callable[[], bool]
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._name = name
        self._attempts = attempts
        self._in_flight = attempts.in_flight
        self._is_over = is_over
        self._next_expiry = 0.0
        self._next_sweep = 0.0
        self._claims_from = 0.0
        self._next_look_up = 0.0
        self.lives_until = 0
        """When the last of the codes ends that were read here, in milliseconds."""

    def take(self, part: int) -> None:
        """Reads what is new in a partition, and waits for it."""
        taken = self._outbox.take(part, self._name, READ_MOST, BLOCK_MS)
        for entry in taken:
            self._begin(entry, fresh=True)
        if 0 < len(taken) < READ_MOST:
            time.sleep(GATHER_S)

    def go_on(self) -> None:
        """Waits for room, and fills it. Raises StoreUnavailable: then all who were to go wait on."""
        backlog, called = self._in_flight.backlog, self._in_flight.called
        called.wait(LOOK_S if len(backlog) else None)
        called.clear()
        if len(backlog) and time.monotonic() >= self._next_expiry:
            self._next_expiry = time.monotonic() + EXPIRE_S
            self._expire()
        while self._fill() == READ_MOST:
            pass

    def keep(self) -> None:
        """Keeps what is held here from others, and takes over what the dead have left; the former to the very end."""
        going_on = not self._is_over()
        now = time.monotonic()
        sweep = now > self._next_sweep

        def keep_in(part: int) -> None:
            self._outbox.refresh(part, self._name, self._in_flight.on_its_way(part))
            self._outbox.leave(part, left := self._in_flight.take_left(part))
            if left:
                self._claims_from = now + 2 * IDLE_MS / 1000  # So that another can.
            claimed = None
            while claimed is None or len(claimed) == CLAIM_MOST:
                most = CLAIM_MOST if going_on and now >= self._claims_from else 0
                claimed = self._outbox.claim(part, self._name, IDLE_MS, most, ALIVE_MS if going_on else 0)
                for entry in claimed:
                    if self._begin(entry, fresh=False):
                        _log.info("claimed what nobody refreshed", verification=entry.id)
            if sweep:
                self._outbox.forget_idle_consumers(part, FORGET_MS)

        everywhere(self._outbox.partitions, keep_in)
        if sweep:
            self._next_sweep = now + SWEEP_S

    def _begin(self, entry: Entry, *, fresh: bool) -> bool:
        self.lives_until = max(self.lives_until, entry.expires_at)
        return self._attempts.begin(entry, fresh=fresh)

    def look_up(self) -> None:
        """Begins what the outbox has given to this dispatcher and nothing here knows of: because the answer was lost,
        or there was no place for it. The more there is to look through, the more seldom."""
        waiting = len(self._in_flight.backlog)
        if waiting > MOST // 2 or time.monotonic() < self._next_look_up:
            return
        self._next_look_up = time.monotonic() + waiting / LOOKED_THROUGH_A_SECOND

        def look_up_in(part: int) -> None:
            after = ""
            while len(self._in_flight.backlog) < MOST and not self._is_over():
                page = self._outbox.pending(part, self._name, IDLE_MS, after, CLAIM_MOST)
                unknown = self._in_flight.unknown(part, page)
                for entry in self._outbox.reread(part, self._name, unknown) if unknown else ():
                    self._begin(entry, fresh=False)
                if len(page) < CLAIM_MOST:
                    break
                after = page[-1]

        everywhere(self._outbox.partitions, look_up_in)

    def _fill(self) -> int:
        picked = self._in_flight.backlog.pick(READ_MOST, self._attempts.enter)
        try:
            found = self._read([parked for parked, _ in picked])
        except StoreUnavailable:
            for parked, path in reversed(picked):
                self._in_flight.rooms.leave(path.room)
                self._in_flight.backlog.put_back(parked)
            raise
        for parked, path in picked:
            if entry := found.get((parked.partition, parked.position)):
                self._attempts.resume(parked, path, entry)
            else:
                self._in_flight.rooms.leave(path.room)
                self._in_flight.resume(parked, None)
        return len(picked)

    def _expire(self) -> None:
        dead = self._in_flight.backlog.take_expired(self._clock.now())
        for place in range(0, len(dead), EXPIRE_MOST):
            batch = dead[place : place + EXPIRE_MOST]
            try:
                found = self._read(batch)
            except StoreUnavailable:
                for parked in dead[place:]:
                    self._in_flight.backlog.put_back(parked)
                raise
            for parked in batch:
                self._in_flight.resume(parked, None)
            for entry in found.values():
                self._attempts.expire(entry)

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


def everywhere(partitions: int, work: Callable[[int], None]) -> None:
    """Does the work in every partition; one that is silent keeps it from no other, and is reported at the end."""
    silent: StoreUnavailable | None = None
    for part in range(partitions):
        try:
            work(part)
        except StoreUnavailable as error:
            silent = error
    if silent:
        raise silent
