"""Threads for calls that may block: for each provider as few as keep up, as many as a slow one needs.

Every thread more that runs at once passes the interpreter's lock around, which costs more than a quick send itself. So
an item waits for a thread that is about to come back; one more is called where none has come back for a tick, or where
items still have to wait too long. Where threads keep each other from running, more would send less: then one rests.
"""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from math import ceil
from queue import SimpleQueue
from typing import Generic, TypeVar

THREADS_A_POOL = 64
# That many never rest while anything waits: they see whether a slow provider became quick.
FEW_THREADS = 4
TICK_S = 0.005
LATE_S = 0.25
GRID_S = 0.05

T = TypeVar("T")


class Pool(Generic[T]):
    """One queue and its threads. `awake` are those that work or have been called to."""

    def __init__(self, name: str, work: Callable[[T], None]) -> None:
        self._name = name
        self._work = work
        self._queue: deque[tuple[float, T]] = deque()
        self._lock = threading.Lock()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._threads = 0
        self._awake = 0
        self._one_too_many = False
        self._called_at = 0.0
        self._taken_at = 0.0

    @property
    def busy(self) -> bool:
        return self._awake > 0 or bool(self._queue)

    @property
    def awake(self) -> int:
        return self._awake

    @property
    def queued(self) -> int:
        return len(self._queue)

    def first(self, most: int) -> list[T]:
        """Those that are next to be worked on."""
        with self._lock:
            return [item for _, item in islice(self._queue, most)]

    def submit(self, item: T) -> bool:
        """Queues the item; True where no thread was called to it, so that somebody has to look again."""
        with self._lock:
            self._queue.append((time.monotonic(), item))
            return self._awake > 0 or not self._call_one()

    def relieve(self, behind: float) -> bool:
        """Calls one more thread where those at work have stalled or do not keep up; True while anything waits. Who
        watches was `behind` by so many seconds, for it had to wait for the processor as all threads do."""
        with self._lock:
            if not self._queue:
                return False
            now = time.monotonic()
            late = min(now - self._queue[0][0], now - self._called_at) >= LATE_S
            crowded = behind >= TICK_S
            if now - self._taken_at >= TICK_S + behind or (late and not crowded):
                self._call_one()
            elif crowded:
                self._one_too_many = self._awake > FEW_THREADS
            return True

    def close(self) -> None:
        """Drops what is queued; threads end as they come back, and nobody waits for them."""
        with self._lock:
            self._queue.clear()
            for _ in range(self._threads):
                self._bell.put(False)

    def _call_one(self) -> bool:
        if self._threads > self._awake:
            self._bell.put(True)
        elif self._threads < THREADS_A_POOL:
            try:
                threading.Thread(target=self._loop, name=self._name, daemon=True).start()
            except RuntimeError:  # The system has no thread to give now.
                return False
            self._threads += 1
        else:
            return False
        self._awake += 1
        self._called_at = time.monotonic()
        return True

    def _loop(self) -> None:
        while True:
            with self._lock:
                waited = self._queue.popleft() if self._queue and not self._one_too_many else None
                if waited is None:
                    self._awake -= 1
                    self._one_too_many = False
                else:
                    self._taken_at = time.monotonic()
            if waited is not None:
                self._work(waited[1])
            elif not self._bell.get():
                return


class Pools(Generic[T]):
    """A pool for each name, and a place where things wait for their time. Neither `work` nor `look` may raise."""

    def __init__(self, names: Iterable[str], work: Callable[[T], None], look: Callable[[T], None]) -> None:
        self._pools = {name: Pool(f"pool-{name}", work) for name in names}
        self._look = look
        self._watched: dict[float, list[T]] = {}
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ticking = False
        self._closed = False
        self._watcher = threading.Thread(target=self._watch, name="pools", daemon=True)

    def start(self) -> None:
        self._watcher.start()

    @property
    def busy(self) -> bool:
        """Whether anything is queued or at work; what waits for its time does not count."""
        return any(pool.busy for pool in self._pools.values())

    def first(self, name: str, most: int) -> list[T]:
        """Those that are next in a pool; they stay there."""
        return self._pools[name].first(most)

    def queued(self, name: str) -> int:
        """How much stands in a pool."""
        return self._pools[name].queued

    def submit(self, name: str, item: T) -> None:
        """Works on the item in the pool as soon as a thread of it can; never, once closed."""
        if not self._closed and self._pools[name].submit(item) and not self._ticking:
            self._wake.set()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Does `act`, which must neither block nor raise, after so many seconds; never, once closed."""
        item = (time.monotonic() + seconds, next(self._numbers), act)
        with self._lock:
            heapq.heappush(self._later, item)
            is_next = self._later[0] is item
        if is_next:
            self._wake.set()

    def watch(self, item: T, until: float) -> None:
        """Looks at the item at that time (monotonic seconds) or a little later: those of a moment come together, for
        waking up for each would cost more than most sends."""
        at = ceil(until / GRID_S) * GRID_S
        with self._lock:
            if at in self._watched:
                self._watched[at].append(item)
                return
            self._watched[at] = [item]
        self.later(at - time.monotonic(), partial(self._look_at, at))

    def _look_at(self, at: float) -> None:
        with self._lock:
            items = self._watched.pop(at)
        for item in items:
            self._look(item)

    def close(self) -> None:
        """Starts nothing more, and waits for nothing."""
        self._closed = True
        self._wake.set()
        for pool in self._pools.values():
            pool.close()

    def _watch(self) -> None:
        behind = 0.0
        while not self._closed:
            # In this order: who submits between the two lines is either seen below or rings.
            self._ticking = False
            self._ticking = sum(pool.relieve(behind) for pool in self._pools.values()) > 0
            pause = self._act_on_time()
            if self._ticking:
                pause = TICK_S if pause is None else min(TICK_S, pause)
            began = time.monotonic()
            self._wake.wait(pause)
            self._wake.clear()
            behind = max(0.0, time.monotonic() - began - pause) if pause is not None else 0.0

    def _act_on_time(self) -> float | None:
        """Does what is due; the seconds until the next, None where nothing waits."""
        while True:
            with self._lock:
                if not self._later:
                    return None
                if (pause := self._later[0][0] - time.monotonic()) > 0:
                    return pause
                _, _, act = heapq.heappop(self._later)
            act()
