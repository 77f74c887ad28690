"""One message on its way, and the tries that are made with it."""

import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from verify_service.dispatch.health import HealthReporter
from verify_service.dispatch.planner import DeliveryPath, ordered
from verify_service.errors import StoreUnavailable
from verify_service.model import Clock, TimelineEvent, TimelineName
from verify_service.store.entries import Entry

# So long a message is wanted once it was known to be.
FRESH_S = 0.25


@dataclass
class Job:
    """One entry on its way: `left` are the paths to try yet in this round, `crowded` those whose sender had no room,
    `open` the tries under way, `failed` the last error (provider, None where it is not its fault; reason; channel).
    `room` is where it takes a place; `admitting` keeps two tries from being judged at once. Until `fresh_until`
    (monotonic seconds) it is taken for granted that somebody still waits for the code, or known; it is `unwanted` where
    nobody does."""

    entry: Entry
    plan: list[list[DeliveryPath]]
    fresh_until: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    admitting: threading.Lock = field(default_factory=threading.Lock)
    left: list[DeliveryPath] = field(default_factory=list)
    crowded: list[DeliveryPath] = field(default_factory=list)
    patient: bool = False
    failed: tuple[str | None, str, str] | None = None
    open: int = 0
    rounds: int = 0
    tries: int = 0
    done: bool = False
    unwanted: bool = False
    room: str = ""

    @property
    def is_late(self) -> bool:
        """Whether somebody has to ask if it is still wanted."""
        return not self.unwanted and time.monotonic() >= self.fresh_until

    def round(self) -> list[DeliveryPath]:
        """The paths of a round: the channel that was asked for alone in the first one, then also those that it falls
        back on."""
        return [path for group in (self.plan if self.rounds else self.plan[:1]) for path in group]

    def set_out(
        self, health: HealthReporter, paths: Sequence[DeliveryPath], entered: DeliveryPath | None = None
    ) -> None:
        """A round by these paths, under the lock; `entered`, where it takes a place already, first."""
        self.left = ordered(self.plan, paths, health.factor)
        self.crowded, self.patient, self.failed = [], len(self.left) == 1, None
        if first := entered or health.take_probe(self.left):
            self.left.remove(first)
            self.left.insert(0, first)

    def shut(self, channel: str | None) -> None:
        """No further try by a channel, under the lock; None where the person wants none at all."""
        self.plan = [group for group in self.plan if channel not in (None, group[0].channel)]
        self.left = [path for path in self.left if channel not in (None, path.channel)]
        self.crowded = [path for path in self.crowded if channel not in (None, path.channel)]


@dataclass(eq=False)
class Attempt:
    """One path that is being tried; times in monotonic seconds. It stands in its pool `since`, and `began` when the
    provider was asked; `turn` is when its sender may send it, and `waits` that it waits for that. It is `overtaken`
    once it should have been answered, and the provider is `blamed` for that where it had been asked; `stuck` is one
    beside which no other path has room. `probes`: it is to show whether a provider that is spared is back."""

    job: Job
    path: DeliveryPath
    over: bool = False
    overtaken: bool = False
    blamed: bool = False
    stuck: bool = False
    probes: bool = False
    waits: bool = False
    turn: float | None = None
    since: float = 0.0
    began: float | None = None

    @property
    def patience_ends(self) -> float:
        """When it should have been answered, or, in its pool, begun."""
        return (self.began or self.since) + self.path.answer_within.seconds

    def is_left(self) -> bool:
        """Leaves a try that nobody needs: its job is done, or the next one is under way before this one has begun."""
        with self.job.lock:
            return self._leaves()

    def begins(self) -> bool:
        """Whether its provider is asked from now on; else nobody needs it any more, and it is left."""
        with self.job.lock:
            if self._leaves():
                return False
            self.began = time.monotonic()
            return True

    def _leaves(self) -> bool:
        if not self.job.done and not (self.overtaken and self.job.open > 1):
            return False
        self.over = True
        self.job.open -= 1
        return True


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
