"""The course of a message, from provider to provider until one has taken it.

A try that fails gives way to the next in line; one that is not answered in time goes on, and the next is tried beside
it: the first to take the message settles it, and what the others say later is noted. Where no way has room, and
between two rounds, it is put aside. Everything that changes a job happens under its lock, where nothing waits but, for
the time, a virtual clock.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from verify_service.config import Config
from verify_service.dispatch.asking import Broken
from verify_service.dispatch.health import Pulse
from verify_service.dispatch.held import Held
from verify_service.dispatch.job import FRESH_S, Job, Try, event, time_of
from verify_service.dispatch.lanes import Lanes
from verify_service.dispatch.outages import Outages
from verify_service.dispatch.parking import Parked
from verify_service.dispatch.settling import Settler
from verify_service.dispatch.ways import Plans, Way, ordered
from verify_service.errors import DeliveryError, Rejected
from verify_service.model import Clock, TimelineName
from verify_service.store.entries import Entry, Sent, Settlement
from verify_service.telemetry import SENDS

AGAIN_S = 0.2
AT_ONCE_S = 0.005
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
NO_ROOM = "no room in its lane"
EXPIRED = "expired before it was sent"


class Course(ABC):
    """The courses of one dispatcher's messages."""

    def __init__(self, config: Config, clock: Clock, settler: Settler, pulse: Pulse) -> None:
        self._plans = Plans(config)
        self._clock = clock
        self._settler = settler
        self._pulse = pulse
        self._outages = Outages()
        self.lanes: Lanes[Try] = Lanes(config.providers, self._work, self._overtake)
        self.held = Held(self._outages, self.lanes.queued)
        """All that is on its way, or put aside."""

    @abstractmethod
    def _work(self, attempt: Try) -> None:
        """Tries, in a thread of the provider's lane. Must not raise."""

    def begin(self, entry: Entry, *, fresh: bool) -> bool:
        """Sets out, unless it has already; `fresh`: it was started just now."""
        job = Job(entry, self._plans.of(entry), time.monotonic() + FRESH_S if fresh else 0.0)
        if not self.held.begin(job):
            return False
        with job.lock:
            if job.plan:
                job.set_out(self._pulse, job.round())
                self._go_on(job)
            else:
                why = (
                    "no other way is left"
                    if entry.tried
                    else f"no route carries {entry.channel} to {entry.content.country}"
                )
                self._end(job, None, why)
        return True

    def enter(self, parked: Parked) -> Way | None:
        """The way by which it may go on now, where it has taken a place; None where none has room."""
        return next(filter(self.held.rooms.enter, ordered(parked.plan, parked.ways, self._pulse.factor)), None)

    def resume(self, parked: Parked, way: Way, entry: Entry) -> None:
        """Goes on with what was put aside, by the way that it has entered."""
        job = Job(entry, parked.plan, 0.0, rounds=parked.rounds, tries=parked.tries, room=way.room)
        self.held.resume(parked, job)
        with job.lock:
            job.set_out(self._pulse, parked.ways, way)
            self._go_on(job)

    def expire(self, entry: Entry) -> None:
        """Ends what was put aside and has outlived its code."""
        self._give_up(Job(entry, [], 0.0), EXPIRED)

    # Under the job's lock.

    def _go_on(self, job: Job) -> bool:
        """The next in line that has room; or, where no try is open any more, another round, or the end. False where
        none has room."""
        if job.done:
            return True
        if not job.left and not job.open and job.crowded and not job.patient:
            job.left, job.crowded, job.patient = job.crowded, [], True
        if job.left:
            way = next((way for way in job.left if self.held.enter(job, way)), None)
            if way:
                self._pass_over(job, way)
                job.open += 1
                self._submit(Try(job, way, probes=self._outages.spares(way)))
            elif not job.open:
                self._put_aside(job, job.left)
            return way is not None
        if job.open:
            return True
        if not job.failed and job.crowded:
            self._end(job, None, f"{job.crowded[-1].sender} is exhausted until after the code's end")
        elif job.failed and (job.entry.kind or not job.plan):
            self._end(job, *job.failed)
        elif job.rounds == len(BACKOFF_S):
            self._end(job, None, "no provider took it")
        else:
            job.rounds += 1
            self._put_aside(job, job.round(), BACKOFF_S[job.rounds - 1])
        return True

    def _pass_over(self, job: Job, way: Way) -> None:
        """Takes `way` out of those that are left, and those before it, which have no room."""
        place = job.left.index(way)
        for full in job.left[:place]:
            job.failed = (full.provider, NO_ROOM, full.channel)
            self._note(job, full, "failed-over", NO_ROOM)
        job.left = job.left[place + 1 :]

    def _put_aside(self, job: Job, ways: Sequence[Way], seconds: float = 0.0) -> None:
        job.done = True
        if parked := self.held.put_aside(job, ways):
            if seconds:
                self.lanes.later(seconds, partial(self.held.line_up, parked))
            else:
                self.held.line_up(parked)

    def _submit(self, attempt: Try) -> None:
        """Hands it to the provider's lane, and looks after it when it should have been answered."""
        if attempt.waits:
            self.held.rooms.line_up(attempt.way, -1)
        attempt.waits, attempt.since = False, time.monotonic()
        self.lanes.watch(attempt, attempt.patience_ends)
        self.lanes.submit(attempt.way.provider, attempt)

    def _end(self, job: Job, provider: str | None, reason: str, channel: str = "") -> None:
        job.done = True
        self._settler.settle(Settlement(job.entry, [event(time_of(self._clock), "failed", provider, reason)], channel))

    def _note(self, job: Job, way: Way, name: TimelineName, reason: str, sent: Sent | None = None) -> None:
        """Into the timeline beside what settles the job."""
        line = event(time_of(self._clock), name, way.provider, reason)
        self._settler.settle(Settlement(job.entry, [line], way.channel, sent, late=True))

    # What happens to a job.

    def _overtake(self, attempt: Try) -> None:
        """Tries the next in line beside one that has not answered in time."""
        job = attempt.job
        if attempt.over:
            return
        with job.lock:
            if attempt.over or (attempt.overtaken and not attempt.stuck) or attempt.waits or job.done:
                return
            if not attempt.overtaken:
                if (ends := attempt.patience_ends) - time.monotonic() > AT_ONCE_S:
                    self.lanes.watch(attempt, ends)
                    return
                attempt.overtaken, attempt.blamed = True, attempt.began is not None
                if attempt.blamed:
                    self._pulse.failed(attempt.way)
                    SENDS.labels(attempt.way.provider, "late").inc()
                if job.left:
                    what = "no answer" if attempt.blamed else NO_ROOM
                    self._note(job, attempt.way, "failed-over", f"{what} within {attempt.way.answer_within.text}")
            attempt.stuck = bool(job.left) and not self._go_on(job)
            if attempt.stuck:
                self.lanes.later(AGAIN_S, partial(self._overtake, attempt))

    def _step_back(self, attempt: Try) -> None:
        """Puts aside what had entered before its provider was known to fail whatever it is asked."""
        job = attempt.job
        with job.lock:
            attempt.over = True
            job.open -= 1
            job.left.insert(0, attempt.way)
            if not job.done and not job.open:
                self._put_aside(job, job.left)

    def _give_up(self, job: Job, reason: str) -> None:
        """Ends it for a reason that no provider has given."""
        with job.lock:
            if not job.done:
                self._end(job, None, reason)

    def _failed(self, attempt: Try, error: DeliveryError) -> None:
        """What a try that failed means for its job: another way, or the end where none is left."""
        job, way = attempt.job, attempt.way
        with job.lock:
            attempt.over = True
            job.open -= 1
            if job.done:
                self._note(job, way, "failed-over", f"{error.reason}, after another had taken it")
                return
            job.failed = (None if isinstance(error, Broken) else way.provider, error.reason, way.channel)
            if isinstance(error, Rejected):
                job.shut(None if error.opted_out else way.channel)
            elif isinstance(error, Broken):
                job.plan = [left for group in job.plan if (left := [other for other in group if other != way])]
            if job.open or (job.plan and not job.entry.kind):
                self._note(job, way, "failed-over", error.reason)
            # The next in line is under way already where this one was overtaken.
            if not attempt.overtaken or not job.open:
                self._go_on(job)
