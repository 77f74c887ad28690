"""Messages that wait until a path has room for them, or for their next round.

They stay pending in the outbox; here of each is kept where it stands there, and what is to become of it: a few hundred
bytes. They are read again when their time has come. Each tenant and country has its own line, and lines take turns.
"""

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from verify_service.dispatch.job import Job
from verify_service.dispatch.planner import DeliveryPath
from verify_service.store.entries import Entry

# Messages that are put aside here at most; what is more stays in the outbox alone, and is looked up as these go.
MOST = 100_000
# So many are kept whole, and need not be read again.
WHOLE = 2_048


class Parked(NamedTuple):
    """A message that is put aside. `paths` are those that it may go by next, `plan` all that are open to it; `entry`
    where it was kept whole. Its life ends at `expires_at` (milliseconds), 0 for one without an end."""

    partition: int
    position: str
    expires_at: int
    line: tuple[str, str, tuple[str, ...]]
    plan: list[list[DeliveryPath]]
    paths: Sequence[DeliveryPath]
    rounds: int
    tries: int
    entry: Entry | None


class Backlog:
    """The lines. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[tuple[str, str, tuple[str, ...]], deque[Parked]] = {}
        self._wanted: Counter[str] = Counter()
        self._soonest = 0
        self._whole = 0
        self._count = 0

    def __len__(self) -> int:
        """All that are put aside, those that stand in no line yet among them."""
        return self._count

    def put_aside(self, job: Job, paths: Sequence[DeliveryPath]) -> Parked | None:
        """What is kept of a job; None where too many are kept already."""
        entry = job.entry
        with self._lock:
            if self._count >= MOST:
                return None
            self._count += 1
            whole = self._whole < WHOLE
            self._whole += whole
        rooms = tuple(dict.fromkeys(path.room for path in paths))
        return Parked(
            entry.partition,
            entry.entry,
            entry.expires_at,
            (entry.tenant, entry.content.country, rooms),
            job.plan,
            paths,
            job.rounds,
            job.tries,
            entry if whole else None,
        )

    def is_wanted(self, path: DeliveryPath) -> bool:
        """Whether anybody waits for room there."""
        return self._wanted[path.room] > 0

    def put_back(self, parked: Parked) -> None:
        """At the beginning of its line, which it has just left in vain."""
        with self._lock:
            self._whole += parked.entry is not None
            self._count += 1
        self.add(parked, first=True)

    def add(self, parked: Parked, *, first: bool = False) -> None:
        """At the end of its line, or at its beginning."""
        with self._lock:
            line = self._lines.setdefault(parked.line, deque())
            (line.appendleft if first else line.append)(parked)
            self._wanted.update(parked.line[2])
            if parked.expires_at and (not self._soonest or parked.expires_at < self._soonest):
                self._soonest = parked.expires_at

    def pick(self, most: int, enter: Callable[[Parked], DeliveryPath | None]) -> list[tuple[Parked, DeliveryPath]]:
        """The next ones to go and the path that each has entered: one of each line, then again, while there is room."""
        picked: list[tuple[Parked, DeliveryPath]] = []
        with self._lock:
            lines = list(self._lines)
            while lines and len(picked) < most:
                left = []
                for line in lines:
                    waiting = self._lines[line]
                    if len(picked) == most or not (path := enter(waiting[0])):
                        continue
                    picked.append((self._out(waiting.popleft()), path))
                    if waiting:
                        left.append(line)
                        self._lines[line] = self._lines.pop(line)  # Behind those that have not had a turn.
                    else:
                        del self._lines[line]
                lines = left
        return picked

    def take_expired(self, now: int) -> list[Parked]:
        """Those whose life is over, taken out."""
        with self._lock:
            if not self._soonest or now < self._soonest:
                return []
            dead: list[Parked] = []
            for line, waiting in list(self._lines.items()):
                over = [each for each in waiting if 0 < each.expires_at <= now]
                if over:
                    dead += over
                    self._lines[line] = deque(each for each in waiting if not 0 < each.expires_at <= now)
                    if not self._lines[line]:
                        del self._lines[line]
            for each in dead:
                self._out(each)
            ends = (each.expires_at for waiting in self._lines.values() for each in waiting if each.expires_at)
            self._soonest = min(ends, default=0)
            return dead

    def _out(self, parked: Parked) -> Parked:
        self._wanted.subtract(parked.line[2])
        self._whole -= parked.entry is not None
        self._count -= 1
        return parked
