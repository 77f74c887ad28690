"""The way of one message, from provider to provider until one has taken it.

A try that fails gives way to the next in line; one that is not answered in time goes on, and the next is tried beside
it: the first to take the message settles it, and what the others say later is noted. Everything that changes a job
happens under its lock, where nothing waits but, for the time, a virtual clock.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from verify_service.adapters import Provider
from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.dispatch import outgoing
from verify_service.dispatch.asking import Broken, ask
from verify_service.dispatch.health import Pulse
from verify_service.dispatch.job import Job, Try, event, site, time_of
from verify_service.dispatch.lanes import Lanes
from verify_service.dispatch.settling import Settler
from verify_service.dispatch.turns import Turns
from verify_service.dispatch.ways import Plans
from verify_service.errors import DeliveryError, Rejected, StoreUnavailable
from verify_service.model import Clock, Message, Receipt, TimelineName
from verify_service.store import Store
from verify_service.store.entries import Entry, Sent, Settlement
from verify_service.telemetry import QUEUE_SECONDS, RECEIPTS, SEND_SECONDS, SENDS, carrier_label, log

FRESH_S = 0.25
AGAIN_S = 0.2
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
# Who misses a sender's turn by so much takes another one.
MISSED_S = 0.1
AT_ONCE_S = 0.005

_log = log("dispatch")


class Journeys:
    """The journeys of one dispatcher's messages."""

    def __init__(
        self,
        store: Store,
        config: Config,
        keys: KeyRing,
        clock: Clock,
        providers: Mapping[str, Provider],
        settler: Settler,
        pulse: Pulse,
        leave: Callable[[Entry], None],
    ) -> None:
        """`leave` is told of an entry that another dispatcher is to take."""
        self._outbox = store.outbox
        self._deliveries = store.deliveries
        self._turns = Turns(store.senders, config)
        self._config = config
        self._plans = Plans(config)
        self._keys = keys
        self._clock = clock
        self._providers = providers
        self._settler = settler
        self._pulse = pulse
        self._leave = leave
        self.in_line: set[Try] = set()
        """Those that wait for their sender's turn."""
        self.lanes: Lanes[Try] = Lanes(config.providers, self._work)

    def job(self, entry: Entry, *, fresh: bool) -> Job:
        """An entry ready to set out; `fresh`: it was started just now."""
        return Job(entry, self._plans.of(entry), time.monotonic() + FRESH_S if fresh else 0.0)

    def begin(self, job: Job) -> None:
        """Sets out."""
        entry = job.entry
        with job.lock:
            if job.plan:
                job.set_out(self._pulse)
                self._go_on(job)
            else:
                why = "no other way is left" if entry.tried else f"no route carries {entry.channel} to {entry.country}"
                self._end(job, None, why)

    # Under the job's lock.

    def _go_on(self, job: Job) -> None:
        """The next in line; or, where no try is open any more, another round, or the end."""
        if job.done:
            return
        if not job.left and not job.open and job.crowded and not job.patient:
            job.left, job.crowded, job.patient = job.crowded, [], True
        if job.left:
            job.open += 1
            self._submit(Try(job, job.left.pop(0)))
        elif job.open:
            return
        elif not job.failed and job.crowded:
            self._end(job, None, f"{job.crowded[-1].sender} is exhausted until after the code's end")
        elif job.failed and (job.entry.kind or not job.plan):
            self._end(job, *job.failed)
        elif job.rounds == len(BACKOFF_S):
            self._end(job, None, "no provider took it")
        else:
            self.lanes.later(BACKOFF_S[job.rounds], partial(self._again, job))
            job.rounds += 1

    def _submit(self, attempt: Try) -> None:
        """Hands it to the provider's lane, and looks after it when it should have been answered."""
        attempt.waits, attempt.since = False, time.monotonic()
        self.in_line.discard(attempt)
        self.lanes.later(attempt.patience(), partial(self._overtake, attempt))
        self.lanes.submit(attempt.way.provider, attempt)

    def _end(self, job: Job, provider: str | None, reason: str, channel: str = "") -> None:
        job.done = True
        self._settler.settle(Settlement(job.entry, [event(time_of(self._clock), "failed", provider, reason)], channel))

    def _note(self, attempt: Try, name: TimelineName, reason: str, sent: Sent | None = None) -> None:
        """Into the timeline beside what settles the job."""
        line = event(time_of(self._clock), name, attempt.way.provider, reason)
        self._settler.settle(Settlement(attempt.job.entry, [line], attempt.way.channel, sent, late=True))

    # What happens to a job.

    def _again(self, job: Job) -> None:
        with job.lock:
            job.set_out(self._pulse)
            self._go_on(job)

    def _overtake(self, attempt: Try) -> None:
        """Tries the next in line beside one that has not answered in time."""
        job = attempt.job
        with job.lock:
            if attempt.over or attempt.overtaken or attempt.waits or job.done:
                return
            if (patience := attempt.patience()) > AT_ONCE_S:
                self.lanes.later(patience, partial(self._overtake, attempt))
                return
            attempt.overtaken, attempt.blamed = True, attempt.began is not None
            if attempt.blamed:
                self._pulse.failed(attempt.way)
                SENDS.labels(attempt.way.provider, "late").inc()
            if job.left:
                what = "no answer" if attempt.blamed else "no room in its lane"
                self._note(attempt, "failed-over", f"{what} within {attempt.way.answer_within.text}")
                self._go_on(job)

    def _work(self, attempt: Try) -> None:
        job = attempt.job
        try:
            if attempt.is_left():
                return
            now = self._clock.now()
            if not self._is_due(job, now) or not (message := self._message(attempt, now)):
                attempt.is_left()
            elif self._has_turn(attempt, message, now):
                self._send(attempt, message)
        except StoreUnavailable:  # Nobody knows the time, or whether the sender has room.
            self.lanes.later(AGAIN_S, partial(self.lanes.submit, attempt.way.provider, attempt))
        except Exception as error:
            _log.error("unexpected error", verification=job.entry.id, provider=attempt.way.provider, error=site(error))
            self._failed(attempt, Broken("unexpected error"))

    def _is_due(self, job: Job, now: int) -> bool:
        """Whether it is to be sent now. The first try follows the start at once, so only later ones ask the store."""
        reason = ""
        if job.entry.expires_at and now >= job.entry.expires_at:
            reason = "expired before it was sent"
        elif time.monotonic() >= job.fresh_until:
            with suppress(StoreUnavailable):  # A message too many does less harm than one too few.
                reason = "" if self._outbox.is_wanted(job.entry) else "nobody waited for it any more"
        if not reason:
            return True
        self._give_up(job, reason)
        return False

    def _message(self, attempt: Try, now: int) -> Message | None:
        """Composed for each try and kept no longer: what waits here knows neither code nor number."""
        entry = attempt.job.entry
        try:
            to, code = outgoing.unseal(entry, self._keys)
        except KeyError:
            # While keys are rotated another dispatcher may have this one already, or still: it is let claim the entry.
            _log.error("no such key in the ring", verification=entry.id, kid=entry.kid)
            with attempt.job.lock:
                attempt.job.done = True
            self._leave(entry)
        except ValueError:
            _log.error("undecipherable entry", verification=entry.id, kid=entry.kid)
            self._give_up(attempt.job, "its number cannot be deciphered")
        else:
            try:
                return outgoing.compose(entry, to, code, self._config, now, attempt.way)
            except Exception as error:  # It would come again with every try, by whatever way.
                _log.error("cannot compose", verification=entry.id, error=site(error))
                self._give_up(attempt.job, f"cannot be composed ({type(error).__name__})")
        return None

    def _give_up(self, job: Job, reason: str) -> None:
        """Ends it for a reason that no provider has given."""
        with job.lock:
            if not job.done:
                self._end(job, None, reason)

    def _has_turn(self, attempt: Try, message: Message, now: int) -> bool:
        """Whether its sender may send it now; if not, it comes back when it is its turn, or goes another way."""
        job, way = attempt.job, attempt.way
        if attempt.turn is not None and time.monotonic() - attempt.turn <= MISSED_S:
            return True
        wait = self._turns.take(way, message, now, patient=job.patient)
        if wait is None:
            with job.lock:
                attempt.over = True
                job.open -= 1
                job.crowded.append(way)
                if job.left or not job.patient:
                    most = self._turns.most_ms(message, now, patient=job.patient) / 1000
                    self._note(attempt, "failed-over", f"{way.sender} has no room for {most:g} s")
                self._go_on(job)
            return False
        if wait <= AT_ONCE_S:
            if wait:
                time.sleep(wait)
            return True
        attempt.turn, attempt.waits = time.monotonic() + wait, True
        self.in_line.add(attempt)
        self.lanes.later(wait, partial(self._submit, attempt))
        return False

    def _send(self, attempt: Try, message: Message) -> None:
        job, way = attempt.job, attempt.way
        began = attempt.began = time.monotonic()
        if not job.tries:
            QUEUE_SECONDS.observe(max(0.0, time.time() - int(job.entry.entry.partition("-")[0]) / 1000))
        job.tries += 1
        try:
            receipt = ask(self._providers[way.provider], way.provider, message)
        except DeliveryError as raised:
            error = raised
        else:
            SENDS.labels(way.provider, "accepted").inc()
            self._taken(attempt, message, receipt, time.monotonic() - began)
            return
        finally:
            SEND_SECONDS.labels(way.provider).observe(time.monotonic() - began)
        SENDS.labels(way.provider, type(error).__name__.lower()).inc()
        _log.warning("a try failed", verification=job.entry.id, provider=way.provider, reason=error.reason)
        if not attempt.blamed:
            if isinstance(error, Rejected):
                self._pulse.answered(way, time.monotonic() - began)
            elif not isinstance(error, Broken):
                self._pulse.failed(way)
        if isinstance(error, Rejected) and error.permanent:
            with suppress(StoreUnavailable):  # The provider says so again, the next time.
                self._deliveries.unreachable(self._clock.now(), job.entry.number, way.channel)
        self._failed(attempt, error)

    def _taken(self, attempt: Try, message: Message, receipt: Receipt, seconds: float) -> None:
        job, way = attempt.job, attempt.way
        (self._pulse.late if attempt.blamed else self._pulse.answered)(way, seconds)
        self._pulse.sent(way, message.segments, receipt)
        text = outgoing.text_name(job.entry, self._config, message.locale)
        if receipt.status != "accepted":
            where = (job.entry.country, carrier_label(receipt.carrier), way.channel, text)
            RECEIPTS.labels(way.provider, receipt.status, *where).inc()
        now = time_of(self._clock)
        with job.lock:
            first, job.done, attempt.over = not job.done, True, True
            job.open -= 1
        sent = None
        if receipt.status == "accepted" and receipt.provider_id:
            sent = Sent(way.provider, receipt.provider_id, way.name, text, receipt.price is not None)
        if not first:
            self._note(attempt, "sent", f"took it too, after {seconds:.1f} s", sent)
            return
        if sent and way.receipt_within and any(other != way for group in job.plan for other in group):
            sent = sent._replace(due=now + way.receipt_within.ms, within=way.receipt_within.text)
        events = [event(now, "sent", way.provider, None)]
        if receipt.status != "accepted":
            events.append(event(now, receipt.status, way.provider, receipt.reason))
        self._settler.settle(Settlement(job.entry, events, way.channel, sent))

    def _failed(self, attempt: Try, error: DeliveryError) -> None:
        """What a try that failed means for its job: another way, or the end where none is left."""
        job, way = attempt.job, attempt.way
        with job.lock:
            attempt.over = True
            job.open -= 1
            if job.done:
                self._note(attempt, "failed-over", f"{error.reason}, after another had taken it")
                return
            job.failed = (None if isinstance(error, Broken) else way.provider, error.reason, way.channel)
            if isinstance(error, Rejected):
                job.shut(None if error.opted_out else way.channel)
            elif isinstance(error, Broken):
                job.plan = [left for group in job.plan if (left := [other for other in group if other != way])]
            if job.open or (job.plan and not job.entry.kind):
                self._note(attempt, "failed-over", error.reason)
            # The next in line is under way already where this one was overtaken.
            if not attempt.overtaken or not job.open:
                self._go_on(job)
