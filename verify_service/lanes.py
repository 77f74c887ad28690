"""Threads for calls that may block: for each provider as few as keep up, as many as a slow one needs.

Every thread more that runs at once passes the interpreter's lock around, which costs more than a quick send itself. So
an item waits for a thread that is about to come back, and only what has waited for a tick gets one more thread.
"""

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Generic, TypeVar

THREADS_A_LANE = 64
TICK_S = 0.002

T = TypeVar("T")


class _Lane(Generic[T]):
    """One queue and its threads. `awake` counts those that work or have been called to."""

    def __init__(self, name: str, work: Callable[[T], None]) -> None:
        self._name = name
        self._work = work
        self._queue: deque[tuple[float, T]] = deque()
        self._lock = threading.Lock()
        self._bell: SimpleQueue[bool] = SimpleQueue()
        self._threads = 0
        self._awake = 0

    @property
    def busy(self) -> bool:
        return self._awake > 0 or bool(self._queue)

    def submit(self, item: T) -> bool:
        """Queues the item; True where it waits for a thread that is at work."""
        with self._lock:
            self._queue.append((time.monotonic(), item))
            if not self._awake:
                self._call_one()
                return False
        return True

    def relieve(self) -> bool:
        """Calls one more thread where the first in the queue has waited for a tick; True while anything waits."""
        with self._lock:
            if self._queue and time.monotonic() - self._queue[0][0] >= TICK_S:
                self._call_one()
            return bool(self._queue)

    def close(self) -> None:
        """Drops what is queued; threads end as they come back, and nobody waits for them."""
        with self._lock:
            self._queue.clear()
            for _ in range(self._threads):
                self._bell.put(False)

    def _call_one(self) -> None:
        if self._threads > self._awake:
            self._bell.put(True)
        elif self._threads < THREADS_A_LANE:
            threading.Thread(target=self._loop, name=self._name, daemon=True).start()
            self._threads += 1
        else:
            return
        self._awake += 1

    def _loop(self) -> None:
        while True:
            with self._lock:
                waited = self._queue.popleft() if self._queue else None
                if waited is None:
                    self._awake -= 1
            if waited is not None:
                self._work(waited[1])
            elif not self._bell.get():
                return


class Lanes(Generic[T]):
    """A lane for each name, and a place where things wait for their time. `work` must not raise."""

    def __init__(self, names: Iterable[str], work: Callable[[T], None]) -> None:
        self._lanes = {name: _Lane(f"lane-{name}", work) for name in names}
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._wake = threading.Event()
        self._ticking = False
        self._closed = False
        threading.Thread(target=self._watch, name="lanes", daemon=True).start()

    @property
    def busy(self) -> bool:
        """Whether anything is queued or at work; what waits for its time does not count."""
        return any(lane.busy for lane in self._lanes.values())

    def submit(self, name: str, item: T) -> None:
        """Works on the item in the lane as soon as a thread of it can."""
        if self._lanes[name].submit(item) and not self._ticking:
            self._wake.set()

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Does `act`, which must neither block nor raise, after so many seconds; never, once closed."""
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._numbers), act))
        self._wake.set()

    def close(self) -> None:
        """Starts nothing more, and waits for nothing."""
        self._closed = True
        self._wake.set()
        for lane in self._lanes.values():
            lane.close()

    def _watch(self) -> None:
        while not self._closed:
            # In this order, so that who submits between the two lines is either seen below or rings.
            self._ticking = False
            self._ticking = any([lane.relieve() for lane in self._lanes.values()])
            while self._later and self._later[0][0] <= time.monotonic():
                heapq.heappop(self._later)[2]()
            pause = self._later[0][0] - time.monotonic() if self._later else None
            if self._ticking:
                pause = TICK_S if pause is None else min(TICK_S, pause)
            if pause is None or pause > 0:
                self._wake.wait(pause)
            self._wake.clear()
