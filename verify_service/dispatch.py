"""The dispatcher: takes what the start script queued, hands it to providers, writes down what became of it.

Choosing, retrying, timing, logging and health live here and nowhere else. A message is sent at least once: what a dead
dispatcher held is claimed by another within five seconds, and a message sent twice shows the same code.
"""

import queue
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec

from verify_service import message as text
from verify_service.codes import KeyRing
from verify_service.config import Config, Via
from verify_service.errors import DeliveryError, Rejected, StoreUnavailable, Unavailable
from verify_service.model import Clock, Message, Receipt, TimelineEvent, TimelineName
from verify_service.providers import Provider
from verify_service.store.outbox import Entry, Outbox, Settlement
from verify_service.telemetry import QUEUE_SECONDS, SEND_SECONDS, SENDS, SETTLED, log

IN_FLIGHT = 1024
THREADS_A_PROVIDER = 32
READ_MOST = 64
BLOCK_MS = 1_000
IDLE_MS = 3_000
BEAT_S = 1.0
CREDIT_S = 0.25
FORGET_MS = 3_600_000
BACKOFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
DRAIN_S = 10.0

_log = log("dispatch")


@dataclass
class _Job:
    """One entry on its way. `order` is what is left to try in this round."""

    entry: Entry
    message: Message
    order: list[Via] = field(default_factory=list)
    rounds: int = 0
    events: list[TimelineEvent] = field(default_factory=list)

    @property
    def key(self) -> tuple[int, str]:
        return self.entry.partition, self.entry.entry


class Dispatcher:
    """One dispatcher process. `run` works until `stop` is set, then drains."""

    def __init__(
        self,
        outbox: Outbox,
        config: Config,
        keys: KeyRing,
        clock: Clock,
        providers: Mapping[str, Provider],
        name: str,
    ) -> None:
        """`name` tells this process from all others, now and before."""
        self._outbox = outbox
        self._config = config
        self._keys = keys
        self._clock = clock
        self._providers = providers
        self._name = name
        self._pools = {
            provider: ThreadPoolExecutor(THREADS_A_PROVIDER, thread_name_prefix=f"send-{provider}")
            for provider in config.providers
        }
        self._jobs: dict[tuple[int, str], _Job] = {}
        self._sending = 0
        self._changed = threading.Condition()
        self._settlements: queue.SimpleQueue[Settlement | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._dice = random.SystemRandom()

    def run(self, stop: threading.Event) -> None:
        """Dispatches until `stop` is set; then takes nothing new, finishes what is being sent, and settles it.

        What waits for a retry by then is left to another dispatcher, which claims it within five seconds.
        """
        self._stop = stop
        settler = threading.Thread(target=self._settle, name="settle")
        settler.start()
        threads = [
            threading.Thread(target=self._repeat, args=(f"read-{part}", self._read, part, 0.0), name=f"read-{part}")
            for part in range(self._outbox.partitions)
        ]
        threads.append(threading.Thread(target=self._repeat, args=("keep", self._keep, None, BEAT_S), name="keep"))
        threads.append(
            threading.Thread(target=self._repeat, args=("credit", self._credit, None, CREDIT_S), name="credit")
        )
        for thread in threads:
            thread.start()
        stop.wait()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + DRAIN_S
        with self._changed:
            self._changed.wait_for(lambda: self._sending == 0, max(0.0, deadline - time.monotonic()))
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._settlements.put(None)
        settler.join(max(0.1, deadline - time.monotonic()))
        for provider in self._providers.values():
            provider.close()

    def report(self, provider: str) -> Callable[[str, Receipt], None]:
        """What an adapter calls with a receipt that came after `send` had returned."""

        def report(verification_id: str, receipt: Receipt) -> None:
            if receipt.status == "accepted":
                return
            try:
                self._outbox.report(verification_id, self._event(receipt.status, provider, receipt.reason))
            except StoreUnavailable as error:
                _log.warning("receipt lost", provider=provider, verification=verification_id, reason=error.reason)

        return report

    # What the threads do.

    def _repeat(self, name: str, work: "Callable[[int | None], None]", part: int | None, pause: float) -> None:
        """Does the work again and again until stopped; a store that does not answer is waited for."""
        failed = False
        while not self._stop.is_set():
            try:
                if failed:
                    self._outbox.prepare()
                    failed = False
                    _log.info("store answers again", thread=name)
                work(part)
                self._stop.wait(pause)
            except StoreUnavailable as error:
                if not failed:
                    _log.warning("store does not answer", thread=name, reason=error.reason)
                failed = True
                self._stop.wait(0.2)
            except Exception:
                # A thread that dies in silence would stop deliveries; say so and go on.
                _log.exception("unexpected error", thread=name)
                self._stop.wait(0.2)

    def _read(self, part: int | None) -> None:
        assert part is not None
        with self._changed:
            self._changed.wait_for(lambda: len(self._jobs) < IN_FLIGHT or self._stop.is_set(), 1.0)
            room = IN_FLIGHT - len(self._jobs)
        if room > 0 and not self._stop.is_set():
            for entry in self._outbox.take(part, self._name, min(room, READ_MOST), BLOCK_MS):
                QUEUE_SECONDS.observe(max(0.0, time.time() - int(entry.entry.partition("-")[0]) / 1000))
                self._begin(entry)

    def _keep(self, _part: int | None) -> None:
        self._outbox.beat()
        with self._changed:
            held = list(self._jobs)
        for part in range(self._outbox.partitions):
            self._outbox.refresh(part, self._name, [entry for where, entry in held if where == part])
            for entry in self._outbox.claim(part, self._name, IDLE_MS, READ_MOST):
                if (entry.partition, entry.entry) not in self._jobs:
                    _log.info("claimed from a dead dispatcher", verification=entry.id)
                    self._begin(entry)
            self._outbox.forget_idle_consumers(part, FORGET_MS)

    def _credit(self, _part: int | None) -> None:
        for part in range(self._outbox.partitions):
            while self._outbox.credit(part, 1000):
                pass

    def _settle(self) -> None:
        """Settles in batches: one round trip for all that finished during the last one."""
        while (first := self._settlements.get()) is not None:
            batch = [first]
            while len(batch) < READ_MOST and not self._settlements.empty():
                item = self._settlements.get()
                if item is None:
                    self._settlements.put(None)
                    break
                batch.append(item)
            self._settle_batch(batch)
            with self._changed:
                for entry, _ in batch:
                    self._jobs.pop((entry.partition, entry.entry), None)
                self._changed.notify_all()

    def _settle_batch(self, batch: Sequence[Settlement]) -> None:
        deadline = None
        while True:
            try:
                self._outbox.settle(batch)
                return
            except StoreUnavailable as error:
                _log.warning("cannot settle yet", entries=len(batch), reason=error.reason)
                if self._stop.is_set():
                    deadline = deadline or time.monotonic() + DRAIN_S / 2
                    if time.monotonic() > deadline:
                        return  # Whoever claims the entries sends them again, with the same codes.
                time.sleep(0.2)

    # The way of one entry.

    def _begin(self, entry: Entry) -> None:
        try:
            job = _Job(entry, self._message(entry))
        except (KeyError, ValueError):
            _log.error("undecipherable entry", verification=entry.id, kid=entry.kid)
            self._settlements.put(Settlement(entry, [self._event("failed", None, "its key has left the ring")]))
            return
        with self._changed:
            self._jobs[job.key] = job
        job.order = self._order(entry)
        self._next(job)

    def _next(self, job: _Job) -> None:
        """Hands the job to the next provider of this round, or plans another round, or gives up."""
        if job.order:
            via = job.order.pop(0)
            with self._changed:
                self._sending += 1
            self._pools[via.provider].submit(self._try, job, via)
        elif job.rounds < len(BACKOFF_S) and not self._stop.is_set():
            timer = threading.Timer(BACKOFF_S[job.rounds], self._again, [job])
            timer.daemon = True
            job.rounds += 1
            timer.start()
        elif not self._stop.is_set():
            self._finish(job, "failed", None, "no provider took it")

    def _again(self, job: _Job) -> None:
        """A new round, unless the verification ended meanwhile."""
        try:
            pending = self._outbox.is_pending(job.entry)
        except StoreUnavailable:
            pending = True
        if self._stop.is_set():
            return
        if not pending:
            self._finish(job, "failed", None, "the verification ended first")
            return
        job.order = self._order(job.entry)
        self._next(job)

    def _try(self, job: _Job, via: Via) -> None:
        try:
            if self._clock.now() >= job.entry.expires_at:
                self._finish(job, "failed", None, "expired before it was sent")
                return
            self._send(job, via)
        except StoreUnavailable:
            self._next(job)  # Only a virtual clock asks the store for the time.
        except Exception:
            _log.exception("unexpected error", verification=job.entry.id, provider=via.provider)
            self._next(job)
        finally:
            with self._changed:
                self._sending -= 1
                self._changed.notify_all()

    def _send(self, job: _Job, via: Via) -> None:
        began = time.monotonic()
        error: DeliveryError
        try:
            receipt = self._providers[via.provider].send(self._from(job.message, via))
        except DeliveryError as raised:
            error = raised
        except Exception as raised:
            _log.exception("adapter failed", provider=via.provider)
            error = Unavailable(f"adapter failed ({type(raised).__name__})")
        else:
            SENDS.labels(via.provider, "accepted").inc()
            job.events.append(self._event("sent", via.provider, None))
            if receipt.status != "accepted":
                job.events.append(self._event(receipt.status, via.provider, receipt.reason))
            SETTLED.labels("sent").inc()
            self._settlements.put(Settlement(job.entry, job.events))
            return
        finally:
            SEND_SECONDS.labels(via.provider).observe(time.monotonic() - began)
        SENDS.labels(via.provider, type(error).__name__.lower()).inc()
        _log.warning("not sent", verification=job.entry.id, provider=via.provider, reason=error.reason)
        if isinstance(error, Rejected):
            self._finish(job, "failed", via.provider, error.reason)
        else:
            job.events.append(self._event("failed-over", via.provider, error.reason))
            self._next(job)

    def _finish(self, job: _Job, event: TimelineName, provider: str | None, reason: str) -> None:
        SETTLED.labels("failed").inc()
        job.events.append(self._event(event, provider, reason))
        self._settlements.put(Settlement(job.entry, job.events))

    def _order(self, entry: Entry) -> list[Via]:
        """The providers to try: drawn by weight one after the other; weight 0 last, as written."""
        route = self._config.route(entry.country, entry.channel)
        if route is None:
            return []
        left = [via for via in route.via if via.weight]
        order = []
        while left:
            chosen = self._dice.choices(left, [via.weight for via in left])[0]
            left.remove(chosen)
            order.append(chosen)
        return order + [via for via in route.via if not via.weight]

    def _message(self, entry: Entry) -> Message:
        to = self._keys.decrypt(entry.to, f"to|{entry.tenant}|{entry.number}").decode()
        code = self._keys.code(entry.kid, entry.nonce, entry.tenant, entry.purpose, entry.digits)
        brand = self._brand(entry.tenant)
        minutes = max(1, round((entry.expires_at - self._clock.now()) / 60_000))
        body = text.render(code, brand, minutes, entry.app_hash or None, entry.origin or None)
        encoding, segments = text.measure(body)
        return Message(
            id=f"{entry.id}.{entry.entry}",
            verification_id=entry.id,
            tenant=entry.tenant,
            to=to,
            sender=brand[:11],
            channel=entry.channel,
            body=body,
            code=code,
            encoding=encoding,
            segments=segments,
            expires_at=entry.expires_at,
        )

    def _brand(self, tenant: str) -> str:
        known = self._config.tenants.get(tenant)
        return known.brand if known else "Verify"

    def _from(self, message: Message, via: Via) -> Message:
        if via.sender is None:
            return message
        return msgspec.structs.replace(message, sender=self._config.senders[via.sender].address)

    def _event(self, event: TimelineName, provider: str | None, reason: str | None) -> TimelineEvent:
        try:
            at = self._clock.now()
        except StoreUnavailable:
            at = time.time_ns() // 1_000_000
        return TimelineEvent(at=at, event=event, provider=provider, reason=reason)
