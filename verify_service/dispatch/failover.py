"""From provider to provider, until one has taken the message.

A try that fails gives way to the next in line; one that is not answered in time goes on, and the next is tried beside
it: the first to take the message settles it, and what the others say later is noted. Where no path has room, and
between two rounds, it is put aside. Everything that changes a job happens under its lock, where nothing waits but, for
the time, a virtual clock.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from verify_service.config import Config
from verify_service.dispatch.backlog import Parked
from verify_service.dispatch.health import HealthReporter
from verify_service.dispatch.in_flight import InFlight
from verify_service.dispatch.job import FRESH_S, Attempt, Job, event, site, time_of
from verify_service.dispatch.outcomes import OutcomeWriter
from verify_service.dispatch.planner import DeliveryPath, Planner, ordered
from verify_service.dispatch.pools import Pools
from verify_service.dispatch.rooms import Outages
from verify_service.dispatch.sending import Broken
from verify_service.errors import DeliveryError, Rejected
from verify_service.model import Clock, TimelineName
from verify_service.store.entries import Entry, Sent, Settlement
from verify_service.telemetry import SENDS, log

AGAIN_S = 0.2
AT_ONCE_S = 0.005
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
NO_ROOM = "no room in its lane"
EXPIRED = "expired before it was sent"

_log = log("dispatch")


class Failover(ABC):
    """Which path each of one dispatcher's messages goes next."""

    def __init__(self, config: Config, clock: Clock, outcomes: OutcomeWriter, health: HealthReporter) -> None:
        self._planner = Planner(config)
        self._clock = clock
        self._outcomes = outcomes
        self._health = health
        self._outages = Outages()
        self.pools: Pools[Attempt] = Pools(config.providers, self._work, self._overtake)
        self.in_flight = InFlight(self._outages, self.pools.queued)
        """All that is on its way, or put aside."""

    @abstractmethod
    def _work(self, attempt: Attempt) -> None:
        """Tries, in a thread of the provider's pool. Must not raise."""

    def begin(self, entry: Entry, *, fresh: bool) -> bool:
        """Sets out, unless it has already; `fresh`: it was started just now."""
        job = Job(entry, self._planner.of(entry), time.monotonic() + FRESH_S if fresh else 0.0)
        if not self.in_flight.begin(job):
            return False
        if job.plan:
            self._set_out(job, job.round())
        else:
            where = f"no route carries {entry.channel} to {entry.content.country}".removesuffix(" to ")
            self._give_up(job, "no other way is left" if entry.tried else where)
        return True

    def enter(self, parked: Parked) -> DeliveryPath | None:
        """The path by which it may go on now, where it has taken a place; None where none has room."""
        return next(filter(self.in_flight.rooms.enter, ordered(parked.plan, parked.paths, self._health.factor)), None)

    def resume(self, parked: Parked, path: DeliveryPath, entry: Entry) -> None:
        """Goes on with what was put aside, by the path that it has entered."""
        job = Job(entry, parked.plan, 0.0, rounds=parked.rounds, tries=parked.tries, room=path.room)
        self.in_flight.resume(parked, job)
        self._set_out(job, parked.paths, path)

    def expire(self, entry: Entry) -> None:
        """Ends what was put aside and has outlived its code."""
        self._give_up(Job(entry, [], 0.0), EXPIRED)

    def _set_out(self, job: Job, paths: Sequence[DeliveryPath], entered: DeliveryPath | None = None) -> None:
        """A round by these paths. A job that stumbles is let go, and found again as one that nothing here knows of."""
        try:
            with job.lock:
                job.set_out(self._health, paths, entered)
                self._go_on(job)
        except Exception as error:
            _log.error("unexpected error", verification=job.entry.id, error=site(error))
            job.done = True
            self.in_flight.forget(job)

    # Under the job's lock.

    def _go_on(self, job: Job) -> bool:
        """The next in line that has room; or, where no try is open any more, another round, or the end. False where
        none has room."""
        if job.done:
            return True
        if not job.left and not job.open and job.crowded and not job.patient:
            job.left, job.crowded, job.patient = job.crowded, [], True
        if job.left:
            path = next((path for path in job.left if self.in_flight.enter(job, path)), None)
            if path:
                self._pass_over(job, path)
                job.open += 1
                self._submit(Attempt(job, path, probes=self._outages.spares(path)))
            elif not job.open:
                self._put_aside(job, job.left)
            return path is not None
        if job.open:
            return True
        if not job.failed and job.crowded:
            self._end(job, None, f"{job.crowded[-1].sender} is exhausted until after the code's end")
        elif job.failed and (job.entry.via or not job.plan):
            self._end(job, *job.failed)
        elif job.rounds == len(BACKOFF_S):
            self._end(job, None, "no provider took it")
        else:
            job.rounds += 1
            self._put_aside(job, job.round(), BACKOFF_S[job.rounds - 1])
        return True

    def _pass_over(self, job: Job, path: DeliveryPath) -> None:
        """Takes `path` out of those that are left, and those before it, which have no room."""
        place = job.left.index(path)
        for full in job.left[:place]:
            job.failed = (full.provider, NO_ROOM, full.channel)
            self._note(job, full, "failed-over", NO_ROOM)
        job.left = job.left[place + 1 :]

    def _put_aside(self, job: Job, paths: Sequence[DeliveryPath], seconds: float = 0.0) -> None:
        job.done = True
        if parked := self.in_flight.put_aside(job, paths):
            if seconds:
                self.pools.later(seconds, partial(self.in_flight.line_up, parked))
            else:
                self.in_flight.line_up(parked)

    def _submit(self, attempt: Attempt) -> None:
        """Hands it to the provider's pool, and looks after it when it should have been answered."""
        if attempt.waits:
            self.in_flight.rooms.line_up(attempt.path, -1)
        attempt.waits, attempt.since = False, time.monotonic()
        self.pools.watch(attempt, attempt.patience_ends)
        self.pools.submit(attempt.path.provider, attempt)

    def _end(self, job: Job, provider: str | None, reason: str, channel: str = "") -> None:
        job.done = True
        self._outcomes.settle(Settlement(job.entry, [event(time_of(self._clock), "failed", provider, reason)], channel))

    def _note(self, job: Job, path: DeliveryPath, name: TimelineName, reason: str, sent: Sent | None = None) -> None:
        """Into the timeline beside what settles the job."""
        line = event(time_of(self._clock), name, path.provider, reason)
        self._outcomes.settle(Settlement(job.entry, [line], path.channel, sent, late=True))

    # What happens to a job.

    def _overtake(self, attempt: Attempt) -> None:
        """Tries the next in line beside one that has not answered in time."""
        job = attempt.job
        if attempt.over:
            return
        with job.lock:
            if attempt.over or (attempt.overtaken and not attempt.stuck) or attempt.waits or job.done:
                return
            if not attempt.overtaken:
                if (ends := attempt.patience_ends) - time.monotonic() > AT_ONCE_S:
                    self.pools.watch(attempt, ends)
                    return
                attempt.overtaken, attempt.blamed = True, attempt.began is not None
                if attempt.blamed:
                    self._health.failed(attempt.path)
                    SENDS.labels(attempt.path.provider, "late").inc()
                if job.left:
                    what = "no answer" if attempt.blamed else NO_ROOM
                    self._note(job, attempt.path, "failed-over", f"{what} within {attempt.path.answer_within.text}")
            attempt.stuck = bool(job.left) and not self._go_on(job)
            if attempt.stuck:
                self.pools.later(AGAIN_S, partial(self._overtake, attempt))

    def _step_back(self, attempt: Attempt) -> None:
        """Puts aside what had entered before its provider was known to fail whatever it is asked."""
        job = attempt.job
        with job.lock:
            attempt.over = True
            job.open -= 1
            job.left.insert(0, attempt.path)
            if not job.done and not job.open:
                self._put_aside(job, job.left)

    def _give_up(self, job: Job, reason: str) -> None:
        """Ends it for a reason that no provider has given."""
        with job.lock:
            if not job.done:
                self._end(job, None, reason)

    def _failed(self, attempt: Attempt, error: DeliveryError) -> None:
        """What a try that failed means for its job: another path, or the end where none is left."""
        job, path = attempt.job, attempt.path
        with job.lock:
            attempt.over = True
            job.open -= 1
            if job.done:
                self._note(job, path, "failed-over", f"{error.reason}, after another had taken it")
                return
            job.failed = (None if isinstance(error, Broken) else path.provider, error.reason, path.channel)
            if isinstance(error, Rejected):
                job.shut(None if error.opted_out else path.channel)
            elif isinstance(error, Broken):
                job.plan = [left for group in job.plan if (left := [other for other in group if other != path])]
            if job.open or (job.plan and not job.entry.via):
                self._note(job, path, "failed-over", error.reason)
            # The next in line is under way already where this one was overtaken.
            if not attempt.overtaken or not job.open:
                self._go_on(job)
