"""An attempt to send a message by one path, in a thread of the provider's pool: whether it is still wanted, what it
says, its sender's turn, and what comes of sending. Which path it goes next is `failover.py`'s.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from verify_service import tracing
from verify_service.adapters import Provider
from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.dispatch.failover import AGAIN_S, AT_ONCE_S, EXPIRED, Failover
from verify_service.dispatch.health import HealthReporter
from verify_service.dispatch.job import Attempt, Job, event, site, time_of
from verify_service.dispatch.kinds import NOTICE
from verify_service.dispatch.notices import NoticeGate
from verify_service.dispatch.outcomes import OutcomeWriter
from verify_service.dispatch.sending import Broken, SenderPacing, compose, send, text_name, unseal
from verify_service.dispatch.wanted import Wanted
from verify_service.errors import DeliveryError, Rejected, StoreUnavailable
from verify_service.model import Clock, Message, Receipt
from verify_service.store import Store
from verify_service.store.entries import Sent, Settlement
from verify_service.telemetry import QUEUE_SECONDS, RECEIPTS, SEND_SECONDS, SENDS, carrier_label, log

# Who misses a sender's turn by so much takes another one.
MISSED_S = 0.1

NO_GATE = "no policy is known here"

_log = log("dispatch")


class Attempts(Failover):
    """The attempts of one dispatcher."""

    def __init__(
        self,
        store: Store,
        config: Config,
        keys: KeyRing,
        clock: Clock,
        providers: Mapping[str, Provider],
        outcomes: OutcomeWriter,
        health: HealthReporter,
        gate: NoticeGate | None,
    ) -> None:
        super().__init__(config, clock, outcomes, health)
        self._outbox = store.outbox
        self._deliveries = store.deliveries
        self._pacing = SenderPacing(store.senders, config)
        self._gate = gate
        self._wanted = Wanted(store.outbox, self.pools)
        self._config = config
        self._keys = keys
        self._providers = providers

    def _work(self, attempt: Attempt) -> None:
        job = attempt.job
        try:
            if attempt.is_left():
                return
            if self._outages.spares(attempt.path) and not attempt.probes:
                self._step_back(attempt)
                return
            now = self._clock.now()
            if not self._is_due(job, attempt.path.provider, now) or not (message := self._message(attempt, now)):
                attempt.is_left()
            elif self._has_turn(attempt, message, now) and attempt.begins():
                path, entry = attempt.path, job.entry
                with tracing.continued(
                    f"send {path.provider}",
                    entry.traceparent,
                    verify_verification=entry.id,
                    verify_provider=path.provider,
                    verify_channel=path.channel,
                ):
                    self._send(attempt, message)
        except StoreUnavailable:  # Nobody knows the time, or whether the sender has room.
            self.pools.later(AGAIN_S, partial(self.pools.submit, attempt.path.provider, attempt))
        except Exception as error:
            _log.error("unexpected error", verification=job.entry.id, provider=attempt.path.provider, error=site(error))
            self._failed(attempt, Broken("unexpected error"))

    def _is_due(self, job: Job, pool: str, now: int) -> bool:
        """Whether it is to be sent now. The first try follows the start at once, so only later ones ask the store."""
        reason = ""
        if job.entry.expires_at and now >= job.entry.expires_at:
            reason = EXPIRED
        elif not self._wanted.holds(job, pool):
            reason = "nobody waited for it any more"
        if not reason:
            return True
        self._give_up(job, reason)
        return False

    def _message(self, attempt: Attempt, now: int) -> Message | None:
        """Composed for each try and kept no longer: what waits here knows neither code nor number."""
        entry = attempt.job.entry
        try:
            to, code = unseal(entry, self._keys)
        except KeyError:
            # While keys are rotated another dispatcher may have this one already, or still: it is let claim the entry.
            _log.error("no such key in the ring", verification=entry.id, kid=entry.kid)
            with attempt.job.lock:
                attempt.job.done = True
            self.in_flight.leave(entry)
        except ValueError:
            _log.error("undecipherable entry", verification=entry.id, kid=entry.kid)
            self._give_up(attempt.job, "its number cannot be deciphered")
        else:
            if entry.kind == NOTICE and (refused := self._refusal(attempt.job, to)):
                self._give_up(attempt.job, refused)
                return None
            try:
                return compose(entry, to, code, self._config, now, attempt.path)
            except Exception as error:  # It would come again with every try, by whatever path.
                _log.error("cannot compose", verification=entry.id, error=site(error))
                self._give_up(attempt.job, f"cannot be composed ({type(error).__name__})")
        return None

    def _refusal(self, job: Job, to: str) -> str:
        """Why a notice may not go out, '' where it may; judged one try after the other, so that it is counted once."""
        if self._gate is None:
            return NO_GATE
        with job.admitting:
            return self._gate.refusal(job.entry, to)

    def _has_turn(self, attempt: Attempt, message: Message, now: int) -> bool:
        """Whether its sender may send it now; if not, it comes back when it is its turn, or goes by another path."""
        job, path = attempt.job, attempt.path
        if attempt.turn is not None and time.monotonic() - attempt.turn <= MISSED_S:
            return True
        wait = self._pacing.take(path, message, now, patient=job.patient)
        if wait is None:
            with job.lock:
                attempt.over = True
                job.open -= 1
                job.crowded.append(path)
                if job.left or not job.patient:
                    most = self._pacing.most_ms(message, now, patient=job.patient) / 1000
                    self._note(job, path, "failed-over", f"{path.sender} has no room for {most:g} s")
                self._go_on(job)
            return False
        if wait <= AT_ONCE_S:
            if wait:
                time.sleep(wait)
            return True
        attempt.turn, attempt.waits = time.monotonic() + wait, True
        self.in_flight.rooms.line_up(path, 1)
        self.pools.later(wait, partial(self._submit, attempt))
        return False

    def _send(self, attempt: Attempt, message: Message) -> None:
        job, path = attempt.job, attempt.path
        began = time.monotonic()
        if not job.tries:
            QUEUE_SECONDS.observe(max(0.0, time.time() - int(job.entry.entry.partition("-")[0]) / 1000))
        job.tries += 1
        try:
            receipt = send(self._providers[path.provider], path.provider, message)
        except DeliveryError as raised:
            error = raised
        else:
            SENDS.labels(path.provider, "accepted").inc()
            self._taken(attempt, message, receipt, time.monotonic() - began)
            return
        finally:
            SEND_SECONDS.labels(path.provider).observe(time.monotonic() - began)
        SENDS.labels(path.provider, kind := type(error).__name__.lower()).inc()
        tracing.fail(kind)
        if isinstance(error, Rejected):
            self._outages.answered(path)
        elif not isinstance(error, Broken):
            self._outages.failed(path, job.entry.id, error.reason)
        if not attempt.blamed:
            if isinstance(error, Rejected):
                self._health.answered(path, time.monotonic() - began)
            elif not isinstance(error, Broken):
                self._health.failed(path)
        if isinstance(error, Rejected) and error.permanent:
            with suppress(StoreUnavailable):  # The provider says so again, the next time.
                self._deliveries.unreachable(self._clock.now(), job.entry.content.number, path.channel)
        self._failed(attempt, error)

    def _taken(self, attempt: Attempt, message: Message, receipt: Receipt, seconds: float) -> None:
        job, path = attempt.job, attempt.path
        self._outages.answered(path)
        (self._health.late if attempt.blamed else self._health.answered)(path, seconds)
        self._health.sent(path, message.segments, receipt)
        text = text_name(job.entry, self._config, message.locale)
        if receipt.status != "accepted":
            where = (job.entry.content.country, carrier_label(receipt.carrier), path.channel, text)
            RECEIPTS.labels(path.provider, receipt.status, *where).inc()
        now = time_of(self._clock)
        with job.lock:
            first, job.done, attempt.over = not job.done, True, True
            job.open -= 1
        sent = None
        if receipt.status == "accepted" and receipt.provider_id:
            sent = Sent(path.provider, receipt.provider_id, path.name, text, receipt.price is not None)
            sent = sent._replace(traceparent=tracing.traceparent())
        if not first:
            self._note(job, path, "sent", f"took it too, after {seconds:.1f} s", sent)
            return
        if sent and path.receipt_within and any(other != path for group in job.plan for other in group):
            sent = sent._replace(due=now + path.receipt_within.ms, within=path.receipt_within.text)
        events = [event(now, "sent", path.provider, None)]
        if receipt.status != "accepted":
            events.append(event(now, receipt.status, path.provider, receipt.reason))
        self._outcomes.settle(Settlement(job.entry, events, path.channel, sent))
