"""The way of one message by one provider: whether it is still to go, what it says, its sender's turn, and what comes of
asking. Which way it goes next is its course (`course.py`).
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from verify_service.adapters import Provider
from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.dispatch import outgoing
from verify_service.dispatch.asking import Broken, ask
from verify_service.dispatch.course import AGAIN_S, AT_ONCE_S, EXPIRED, Course
from verify_service.dispatch.health import Pulse
from verify_service.dispatch.job import Job, Try, event, site, time_of
from verify_service.dispatch.settling import Settler
from verify_service.dispatch.turns import Turns
from verify_service.dispatch.wanted import Wanted
from verify_service.errors import DeliveryError, Rejected, StoreUnavailable
from verify_service.model import Clock, Message, Receipt
from verify_service.store import Store
from verify_service.store.entries import Sent, Settlement
from verify_service.telemetry import QUEUE_SECONDS, RECEIPTS, SEND_SECONDS, SENDS, carrier_label, log

# Who misses a sender's turn by so much takes another one.
MISSED_S = 0.1

_log = log("dispatch")


class Journeys(Course):
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
    ) -> None:
        super().__init__(config, clock, settler, pulse)
        self._outbox = store.outbox
        self._deliveries = store.deliveries
        self._turns = Turns(store.senders, config)
        self._wanted = Wanted(store.outbox, self.lanes)
        self._config = config
        self._keys = keys
        self._providers = providers

    def _work(self, attempt: Try) -> None:
        job = attempt.job
        try:
            if attempt.is_left():
                return
            if self._outages.spares(attempt.way) and not attempt.probes:
                self._step_back(attempt)
                return
            now = self._clock.now()
            if not self._is_due(job, attempt.way.provider, now) or not (message := self._message(attempt, now)):
                attempt.is_left()
            elif self._has_turn(attempt, message, now):
                self._send(attempt, message)
        except StoreUnavailable:  # Nobody knows the time, or whether the sender has room.
            self.lanes.later(AGAIN_S, partial(self.lanes.submit, attempt.way.provider, attempt))
        except Exception as error:
            _log.error("unexpected error", verification=job.entry.id, provider=attempt.way.provider, error=site(error))
            self._failed(attempt, Broken("unexpected error"))

    def _is_due(self, job: Job, lane: str, now: int) -> bool:
        """Whether it is to be sent now. The first try follows the start at once, so only later ones ask the store."""
        reason = ""
        if job.entry.expires_at and now >= job.entry.expires_at:
            reason = EXPIRED
        elif not self._wanted.holds(job, lane):
            reason = "nobody waited for it any more"
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
            self.held.leave(entry)
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
                    self._note(job, way, "failed-over", f"{way.sender} has no room for {most:g} s")
                self._go_on(job)
            return False
        if wait <= AT_ONCE_S:
            if wait:
                time.sleep(wait)
            return True
        attempt.turn, attempt.waits = time.monotonic() + wait, True
        self.held.rooms.line_up(way, 1)
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
        if isinstance(error, Rejected):
            self._outages.answered(way)
        elif not isinstance(error, Broken):
            self._outages.failed(way, job.entry.id, error.reason)
        if not attempt.blamed:
            if isinstance(error, Rejected):
                self._pulse.answered(way, time.monotonic() - began)
            elif not isinstance(error, Broken):
                self._pulse.failed(way)
        if isinstance(error, Rejected) and error.permanent:
            with suppress(StoreUnavailable):  # The provider says so again, the next time.
                self._deliveries.unreachable(self._clock.now(), job.entry.content.number, way.channel)
        self._failed(attempt, error)

    def _taken(self, attempt: Try, message: Message, receipt: Receipt, seconds: float) -> None:
        job, way = attempt.job, attempt.way
        self._outages.answered(way)
        (self._pulse.late if attempt.blamed else self._pulse.answered)(way, seconds)
        self._pulse.sent(way, message.segments, receipt)
        text = outgoing.text_name(job.entry, self._config, message.locale)
        if receipt.status != "accepted":
            where = (job.entry.content.country, carrier_label(receipt.carrier), way.channel, text)
            RECEIPTS.labels(way.provider, receipt.status, *where).inc()
        now = time_of(self._clock)
        with job.lock:
            first, job.done, attempt.over = not job.done, True, True
            job.open -= 1
        sent = None
        if receipt.status == "accepted" and receipt.provider_id:
            sent = Sent(way.provider, receipt.provider_id, way.name, text, receipt.price is not None)
        if not first:
            self._note(job, way, "sent", f"took it too, after {seconds:.1f} s", sent)
            return
        if sent and way.receipt_within and any(other != way for group in job.plan for other in group):
            sent = sent._replace(due=now + way.receipt_within.ms, within=way.receipt_within.text)
        events = [event(now, "sent", way.provider, None)]
        if receipt.status != "accepted":
            events.append(event(now, receipt.status, way.provider, receipt.reason))
        self._settler.settle(Settlement(job.entry, events, way.channel, sent))
