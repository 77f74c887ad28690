"""Takes what the start script queued, hands it to providers, writes down what became of it.

A message is sent at least once: what a dead dispatcher held is claimed by another within five seconds, and a message
sent twice shows the same code. While its dispatcher lives, nobody else sends it, however long a provider takes.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from verify_service import __version__
from verify_service.adapters import Provider
from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.dispatch.acknowledging import acknowledging
from verify_service.dispatch.attempts import Attempts
from verify_service.dispatch.health import HealthReporter
from verify_service.dispatch.notices import NoticeGate
from verify_service.dispatch.outcomes import OutcomeWriter
from verify_service.dispatch.reader import QueueReader, everywhere
from verify_service.duration import until_next
from verify_service.errors import StoreUnavailable
from verify_service.model import Clock, Receipt
from verify_service.store import Store
from verify_service.store.url import shown
from verify_service.telemetry import log

BEAT_S = 1.0
# While nothing is sent and all providers do well, the store is asked so seldom how others find them.
CALM_S = 5.0
CARRY_S = 0.25
AGAIN_S = 0.2
OVERDUE_S = 0.25
OVERDUE_MOST = 200
DRAIN_S = 10.0

_log = log("dispatch")


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
        gate: NoticeGate | None = None,
    ) -> None:
        """`name` tells this process from all others, now and before; without a `gate` it sends no notice."""
        self._store = shown(store.link.url)
        self._outbox = store.outbox
        self._outbox.clock = clock
        self._deliveries = store.deliveries
        self._config = config
        self._clock = clock
        self._providers = providers
        self._name = name
        self._outcomes = OutcomeWriter(store.outbox, lambda settled: self._in_flight.settled(settled))
        self._health = HealthReporter(store.health, config)
        self._attempts = Attempts(store, config, keys, clock, providers, self._outcomes, self._health, gate)
        self._in_flight = self._attempts.in_flight
        self._stop = threading.Event()
        self._reader = QueueReader(store.outbox, clock, name, self._attempts, lambda: self._stop.is_set())
        self._drained = threading.Event()
        self._next_refunded = 0.0
        self._next_report = 0.0

    def run(self, stop: threading.Event) -> None:
        """Dispatches until `stop` is set; then takes nothing new, finishes what is being sent, and settles it.

        That ends after ten seconds at the latest. What waits for a retry by then, or is still being sent, is left to
        another dispatcher, which claims it within five seconds.
        """
        self._stop = stop
        where = {"store": self._store, "partitions": self._outbox.partitions, "consumer": self._name}
        _log.info("dispatching", version=__version__, **where, providers=sorted(self._config.providers))
        self._outcomes.start()
        self._attempts.pools.start()
        takers = [
            self._thread(f"take-{part}", partial(self._reader.take, part), stop, part)
            for part in range(self._outbox.partitions)
        ]
        takers.append(self._thread("carry", self._carry, stop, pause=self._until_carry))
        takers.append(self._thread("fill", self._reader.go_on, stop))
        takers.append(self._thread("look-up", self._reader.look_up, stop, pause=_until_beat))
        takers.append(self._thread("health", self._report_health, stop, pause=lambda: BEAT_S))
        if any(route.receipt_within for route in self._config.routes):
            takers.append(self._thread("overdue", self._move_overdue, stop, pause=lambda: OVERDUE_S))
        keeper = self._thread("keep", self._reader.keep, self._drained, pause=_until_beat)
        stop.wait()
        self._in_flight.called.set()
        _log.info("draining", sends=self._in_flight.on_their_way, waiting=len(self._in_flight.backlog))
        deadline = time.monotonic() + DRAIN_S
        for thread in takers:
            thread.join(max(0.0, deadline - time.monotonic()))
        while self._attempts.pools.busy and time.monotonic() < deadline:
            time.sleep(0.01)
        self._attempts.pools.close()
        self._outcomes.close(max(0.1, deadline - time.monotonic()))
        for provider in self._providers.values():
            provider.close()
        self._drained.set()
        keeper.join(BEAT_S)
        with suppress(StoreUnavailable):
            self._health.beat(self._clock.now())
            self._outbox.resign(self._name)
        _log.info("stopped", left=self._in_flight.on_their_way + len(self._in_flight.backlog))

    def report(self, provider: str) -> Callable[[Receipt], bool]:
        """What an adapter calls with a receipt that came after `send` had returned."""
        return acknowledging(lambda receipt: self._deliveries.received(self._clock.now(), provider, receipt))

    # What the threads do.

    def _thread(
        self,
        name: str,
        work: Callable[[], None],
        until: threading.Event,
        part: int | None = None,
        pause: Callable[[], float] = lambda: 0.0,
    ) -> threading.Thread:
        thread = threading.Thread(target=self._repeat, args=(name, work, until, part, pause), name=name, daemon=True)
        thread.start()
        return thread

    def _repeat(
        self,
        name: str,
        work: Callable[[], None],
        until: threading.Event,
        part: int | None,
        pause: Callable[[], float],
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
                until.wait(pause())
            except StoreUnavailable as error:
                if not failed:
                    _log.warning("store does not answer", thread=name, reason=error.reason)
                failed = True
                until.wait(AGAIN_S)
            except Exception:
                # A thread that dies in silence would stop deliveries; say so and go on.
                _log.exception("unexpected error", thread=name)
                until.wait(AGAIN_S)

    def _carry(self) -> None:
        def carry(part: int) -> None:
            while self._outbox.carry(part, 1000, self._health.came):
                pass

        began = self._clock.now()
        everywhere(self._outbox.partitions, carry)
        # Not reached while a partition is silent: its approvals are late everywhere.
        if time.monotonic() > self._next_refunded:
            self._outbox.refunded(began)
            self._next_refunded = time.monotonic() + BEAT_S

    def _until_carry(self) -> float:
        """Who approves has got a message: where none lives that was taken here, there is little to carry."""
        return CARRY_S if self._clock.now() <= self._reader.lives_until else _until_beat()

    def _report_health(self) -> None:
        if self._in_flight.on_their_way or not self._health.is_calm or time.monotonic() >= self._next_report:
            self._next_report = time.monotonic() + CALM_S
            self._health.beat(self._clock.now())

    def _move_overdue(self) -> None:
        now = self._clock.now()

        def move(part: int) -> None:
            found = None
            while found is None or len(found) == OVERDUE_MOST:
                found = self._outbox.overdue(part, now, OVERDUE_MOST)
                for message in found:
                    self._health.overdue(message)

        everywhere(self._outbox.partitions, move)


def _until_beat() -> float:
    return until_next(BEAT_S)
