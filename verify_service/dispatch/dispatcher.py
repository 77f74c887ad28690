"""Takes what the start script queued, hands it to providers, writes down what became of it.

A message is sent at least once: what a dead dispatcher held is claimed by another within five seconds, and a message
sent twice shows the same code. While its dispatcher lives, nobody else sends it, however long a provider takes.
"""

import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from verify_service.adapters import Provider
from verify_service.codes import KeyRing
from verify_service.config import Config, Route, Via
from verify_service.dispatch import outgoing
from verify_service.dispatch.lanes import Lanes
from verify_service.dispatch.settling import Settler
from verify_service.errors import DeliveryError, Rejected, StoreUnavailable, Uncertain
from verify_service.model import Clock, Message, Receipt, TimelineEvent, TimelineName
from verify_service.store import Store
from verify_service.store.outbox import Entry, Sent, Settlement
from verify_service.telemetry import QUEUE_SECONDS, SEND_SECONDS, SENDS, log

IN_FLIGHT = 4096
READ_MOST = 64
# A round trip and a change of threads cost more than a message's share of them: those right after it are taken at once.
GATHER_S = 0.002
BLOCK_MS = 1_000
IDLE_MS = 3_000
BEAT_S = 1.0
CREDIT_S = 0.25
SWEEP_S = 60.0
FORGET_MS = 3_600_000
FRESH_S = 0.25
AGAIN_S = 0.2
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
DRAIN_S = 10.0

_log = log("dispatch")


@dataclass
class _Job:
    """One entry on its way. `left` is whom to try yet in this round; until `fresh_until` (monotonic seconds) it is
    taken for granted that somebody still waits for the code."""

    entry: Entry
    route: Route
    left: list[Via]
    fresh_until: float
    rounds: int = 0
    tries: int = 0
    events: list[TimelineEvent] = field(default_factory=list)


class Dispatcher:
    """One dispatcher process. `run` works until `stop` is set, then drains."""

    def __init__(
        self,
        store: Store,
        config: Config,
        keys: KeyRing,
        clock: Clock,
        providers: Mapping[str, Provider],
        name: str,
    ) -> None:
        """`name` tells this process from all others, now and before."""
        self._outbox = store.outbox
        self._deliveries = store.deliveries
        self._config = config
        self._keys = keys
        self._clock = clock
        self._providers = providers
        self._name = name
        self._jobs: dict[tuple[int, str], _Job] = {}
        self._settled = threading.Condition()
        self._settler = Settler(store.outbox, self._forget)
        self._lanes: Lanes[tuple[_Job, Via]] = Lanes(config.providers, self._work)
        self._stop = threading.Event()
        self._drained = threading.Event()
        self._next_sweep = 0.0
        self._claims_from = 0.0

    def run(self, stop: threading.Event) -> None:
        """Dispatches until `stop` is set; then takes nothing new, finishes what is being sent, and settles it.

        That ends after ten seconds at the latest. What waits for a retry by then, or is still being sent, is left to
        another dispatcher, which claims it within five seconds.
        """
        self._stop = stop
        self._settler.start()
        self._lanes.start()
        takers = [
            self._thread(f"take-{part}", partial(self._take, part), stop, part)
            for part in range(self._outbox.partitions)
        ]
        takers.append(self._thread("credit", self._credit, stop, pause=CREDIT_S))
        keeper = self._thread("keep", self._keep, self._drained, pause=BEAT_S)
        stop.wait()
        deadline = time.monotonic() + DRAIN_S
        for thread in takers:
            thread.join(max(0.0, deadline - time.monotonic()))
        while self._lanes.busy and time.monotonic() < deadline:
            time.sleep(0.01)
        self._lanes.close()
        self._settler.close(max(0.1, deadline - time.monotonic()))
        self._drained.set()
        keeper.join(BEAT_S)
        for provider in self._providers.values():
            provider.close()

    def report(self, provider: str) -> Callable[[Receipt], None]:
        """What an adapter calls with a receipt that came after `send` had returned."""

        def report(receipt: Receipt) -> None:
            try:
                self._deliveries.received(self._now(), provider, receipt)
            except StoreUnavailable as error:
                _log.warning("receipt lost", provider=provider, reason=error.reason)

        return report

    # What the threads do.

    def _thread(
        self, name: str, work: Callable[[], None], until: threading.Event, part: int | None = None, pause: float = 0.0
    ) -> threading.Thread:
        thread = threading.Thread(target=self._repeat, args=(name, work, until, part, pause), name=name, daemon=True)
        thread.start()
        return thread

    def _repeat(
        self, name: str, work: Callable[[], None], until: threading.Event, part: int | None, pause: float
    ) -> None:
        """Does the work again and again; a store that does not answer is waited for, and `part` made ready anew."""
        failed = False
        while not until.is_set():
            try:
                if failed and part is not None:
                    self._outbox.regroup(part)
                work()
                if failed:
                    _log.info("store answers again", thread=name)
                failed = False
                until.wait(pause)
            except StoreUnavailable as error:
                if not failed:
                    _log.warning("store does not answer", thread=name, reason=error.reason)
                failed = True
                until.wait(AGAIN_S)
            except Exception:
                # A thread that dies in silence would stop deliveries; say so and go on.
                _log.exception("unexpected error", thread=name)
                until.wait(AGAIN_S)

    def _take(self, part: int) -> None:
        with self._settled:
            self._settled.wait_for(lambda: len(self._jobs) < IN_FLIGHT or self._stop.is_set(), 1.0)
            room = IN_FLIGHT - len(self._jobs)
        if room > 0 and not self._stop.is_set():
            taken = self._outbox.take(part, self._name, min(room, READ_MOST), BLOCK_MS)
            for entry in taken:
                self._begin(entry, fresh=True)
            if taken:
                time.sleep(GATHER_S)

    def _keep(self) -> None:
        """Keeps what is held here from others, and takes over what the dead have left; the former to the very end."""
        going_on = not self._stop.is_set()
        now = time.monotonic()
        sweep = now > self._next_sweep
        held = list(self._jobs)

        def keep(part: int) -> None:
            self._outbox.refresh(part, self._name, [entry for where, entry in held if where == part])
            if going_on and now >= self._claims_from and (room := IN_FLIGHT - len(self._jobs)) > 0:
                for entry in self._outbox.claim(part, self._name, IDLE_MS, room):
                    if (entry.partition, entry.entry) not in self._jobs:
                        _log.info("claimed what nobody refreshed", verification=entry.id)
                        self._begin(entry, fresh=False)
            if sweep:
                self._outbox.forget_idle_consumers(part, FORGET_MS)

        try:
            if going_on:
                self._outbox.beat()
        finally:
            self._everywhere(keep)
        if sweep:
            self._next_sweep = now + SWEEP_S

    def _credit(self) -> None:
        def credit(part: int) -> None:
            while self._outbox.credit(part, 1000):
                pass

        self._everywhere(credit)

    def _everywhere(self, work: Callable[[int], None]) -> None:
        """Does the work in every partition; one that is silent keeps it from no other, and is reported at the end."""
        silent: StoreUnavailable | None = None
        for part in range(self._outbox.partitions):
            try:
                work(part)
            except StoreUnavailable as error:
                silent = error
        if silent:
            raise silent

    def _forget(self, settled: Sequence[Settlement]) -> None:
        with self._settled:
            for each in settled:
                self._jobs.pop((each.entry.partition, each.entry.entry), None)
            self._settled.notify_all()

    # The way of one entry.

    def _begin(self, entry: Entry, *, fresh: bool) -> None:
        route = self._config.route(entry.country, entry.channel)
        if route is None:
            reason = f"no route carries {entry.channel} to {entry.country}"
            self._settler.settle(Settlement(entry, [_event(self._now(), "failed", None, reason)]))
            return
        fresh_until = time.monotonic() + FRESH_S if fresh else 0.0
        job = _Job(entry, route, outgoing.order(route), fresh_until)
        with self._settled:
            self._jobs[entry.partition, entry.entry] = job
        self._next(job)

    def _next(self, job: _Job) -> None:
        """Hands the job to the next provider of this round, or plans another round, or gives up."""
        if job.left:
            via = job.left.pop(0)
            self._lanes.submit(via.provider, (job, via))
        elif job.rounds == len(BACKOFF_S):
            self._fail(job, None, "no provider took it")
        else:
            self._lanes.later(BACKOFF_S[job.rounds], partial(self._again, job))
            job.rounds += 1

    def _again(self, job: _Job) -> None:
        job.left = outgoing.order(job.route)
        self._next(job)

    def _work(self, item: tuple[_Job, Via]) -> None:
        job, via = item
        try:
            now = self._clock.now()
            if self._is_due(job, now) and (message := self._message(job, via, now)):
                self._send(job, via, message)
        except StoreUnavailable:  # Only a virtual clock asks the store for the time.
            self._lanes.later(AGAIN_S, partial(self._lanes.submit, via.provider, item))
        except Exception as error:
            _log.error("unexpected error", verification=job.entry.id, provider=via.provider, error=_site(error))
            self._next(job)

    def _is_due(self, job: _Job, now: int) -> bool:
        """Whether it is to be sent now. The first try follows the start at once, so only later ones ask the store."""
        if now >= job.entry.expires_at:
            self._fail(job, None, "expired before it was sent")
            return False
        if time.monotonic() < job.fresh_until:
            return True
        try:
            wanted = self._outbox.is_wanted(job.entry)
        except StoreUnavailable:
            wanted = True  # A message too many does less harm than one too few.
        if not wanted:
            self._fail(job, None, "nobody waited for it any more")
        return wanted

    def _message(self, job: _Job, via: Via, now: int) -> Message | None:
        """Composed for each try and kept no longer: what waits here knows neither code nor number."""
        entry = job.entry
        try:
            return outgoing.compose(entry, self._config, self._keys, now, via)
        except KeyError:
            # While keys are rotated another dispatcher may have this one already, or still: it is let claim the entry.
            _log.error("no such key in the ring", verification=entry.id, kid=entry.kid)
            self._claims_from = time.monotonic() + 2 * IDLE_MS / 1000
            with self._settled:
                self._jobs.pop((entry.partition, entry.entry), None)
        except ValueError:
            _log.error("undecipherable entry", verification=entry.id, kid=entry.kid)
            self._fail(job, None, "its number cannot be deciphered")
        return None

    def _send(self, job: _Job, via: Via, message: Message) -> None:
        began = time.monotonic()
        if not job.tries:
            QUEUE_SECONDS.observe(max(0.0, time.time() - int(job.entry.entry.partition("-")[0]) / 1000))
        job.tries += 1
        error: DeliveryError
        try:
            receipt = self._providers[via.provider].send(message)
        except DeliveryError as raised:
            error = raised
        except Exception as raised:
            _log.error("adapter failed", provider=via.provider, error=_site(raised))
            error = Uncertain(f"adapter failed ({type(raised).__name__})")
        else:
            SENDS.labels(via.provider, "accepted").inc()
            now = self._now()
            job.events.append(_event(now, "sent", via.provider, None))
            if receipt.status != "accepted":
                job.events.append(_event(now, receipt.status, via.provider, receipt.reason))
            sent = None
            if receipt.status == "accepted" and receipt.provider_id:
                way = f"{via.provider}/{via.sender or ''}/{message.channel}"
                sent = Sent(via.provider, receipt.provider_id, way, message.channel, message.sender)
            self._settler.settle(Settlement(job.entry, job.events, message.channel, sent))
            return
        finally:
            SEND_SECONDS.labels(via.provider).observe(time.monotonic() - began)
        SENDS.labels(via.provider, type(error).__name__.lower()).inc()
        _log.warning("a try failed", verification=job.entry.id, provider=via.provider, reason=error.reason)
        if isinstance(error, Rejected):
            self._fail(job, via.provider, error.reason)
        else:
            self._note(job, _event(self._now(), "failed-over", via.provider, error.reason))
            self._next(job)

    def _note(self, job: _Job, event: TimelineEvent) -> None:
        """Into the timeline now, while the message is still on its way; with its settling where that cannot be."""
        try:
            self._outbox.report(job.entry, job.entry.channel, event)
        except StoreUnavailable:
            job.events.append(event)

    def _fail(self, job: _Job, provider: str | None, reason: str) -> None:
        job.events.append(_event(self._now(), "failed", provider, reason))
        self._settler.settle(Settlement(job.entry, job.events))

    def _now(self) -> int:
        """For the timeline: a virtual clock whose store is silent must not keep a sent message from being settled."""
        try:
            return self._clock.now()
        except StoreUnavailable:
            return time.time_ns() // 1_000_000


def _event(at: int, event: TimelineName, provider: str | None, reason: str | None) -> TimelineEvent:
    return TimelineEvent(at=at, event=event, provider=provider, reason=reason)


def _site(error: Exception) -> str:
    """What was raised and where, without its words: a foreign exception may quote the message, and so the code."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {frame.name}, {Path(frame.filename).name}:{frame.lineno}"
