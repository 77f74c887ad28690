"""One message on its way, and the tries that are made with it."""

import threading
import time
import traceback
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

from verify_service.dispatch.ways import Way
from verify_service.errors import StoreUnavailable
from verify_service.model import Clock, TimelineEvent, TimelineName
from verify_service.store.outbox import Entry

# Those who look after tries come together: waking up for each would cost more than most sends.
GRID_S = 0.05


@dataclass
class Job:
    """One entry on its way: `left` are the ways to try yet in this round, `crowded` those whose sender had no room,
    `open` the tries under way, `failed` the last error. Until `fresh_until` (monotonic seconds) it is taken for granted
    that somebody still waits for the code."""

    entry: Entry
    plan: list[list[Way]]
    fresh_until: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    left: list[Way] = field(default_factory=list)
    crowded: list[Way] = field(default_factory=list)
    patient: bool = False
    failed: tuple[str, str] | None = None
    open: int = 0
    rounds: int = 0
    tries: int = 0
    done: bool = False


@dataclass(eq=False)
class Try:
    """One way that is being tried. `turn` is when its sender may send it, in monotonic seconds, and `waits` that it
    waits for that; it is `overtaken` once the next way is tried beside it."""

    job: Job
    way: Way
    over: bool = False
    overtaken: bool = False
    waits: bool = False
    turn: float | None = None
    patience_ends: float = 0.0

    def hope(self) -> float:
        """Gives the provider its time to answer from now on; seconds until somebody should look."""
        now = time.monotonic()
        self.patience_ends = ceil((now + self.way.answer_within.seconds) / GRID_S) * GRID_S
        return self.patience_ends - now


def event(at: int, name: TimelineName, provider: str | None, reason: str | None) -> TimelineEvent:
    """A line of a timeline."""
    return TimelineEvent(at=at, event=name, provider=provider, reason=reason)


def time_of(clock: Clock) -> int:
    """For a timeline: a virtual clock whose store is silent must not keep a sent message from being settled."""
    try:
        return clock.now()
    except StoreUnavailable:
        return time.time_ns() // 1_000_000


def site(error: Exception) -> str:
    """What was raised and where, without its words: a foreign exception may quote the message, and so the code."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"
