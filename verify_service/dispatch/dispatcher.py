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
from verify_service.dispatch.health import Pulse
from verify_service.dispatch.hearing import hearing
from verify_service.dispatch.journey import Journeys
from verify_service.dispatch.parking import MOST
from verify_service.dispatch.settling import Settler
from verify_service.dispatch.waiting import Waiting
from verify_service.errors import StoreUnavailable
from verify_service.model import Clock, Receipt
from verify_service.store import Store
from verify_service.store.url import shown
from verify_service.telemetry import log

READ_MOST = 64
# Entries of the dead that are taken over in one step, and of our own that are looked up.
CLAIM_MOST = 500
LOOKED_THROUGH_A_SECOND = 10_000
# A round trip and a change of threads cost more than a message's share of them: those right after it are taken at once.
GATHER_S = 0.002
BLOCK_MS = 1_000
IDLE_MS = 3_000
BEAT_S = 1.0
CREDIT_S = 0.25
SWEEP_S = 60.0
FORGET_MS = 3_600_000
AGAIN_S = 0.2
PULSE_S = 1.0
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
    ) -> None:
        """`name` tells this process from all others, now and before."""
        self._store = shown(store.link.url)
        self._outbox = store.outbox
        self._outbox.clock = clock
        self._deliveries = store.deliveries
        self._config = config
        self._clock = clock
        self._providers = providers
        self._name = name
        self._settler = Settler(store.outbox, lambda settled: self._held.settled(settled))
        self._pulse = Pulse(store.health, config)
        self._journeys = Journeys(store, config, keys, clock, providers, self._settler, self._pulse)
        self._held = self._journeys.held
        self._waiting = Waiting(store.outbox, clock, name, self._journeys)
        self._stop = threading.Event()
        self._drained = threading.Event()
        self._next_sweep = 0.0
        self._next_credited = 0.0
        self._claims_from = 0.0
        self._next_look_up = 0.0

    def run(self, stop: threading.Event) -> None:
        """Dispatches until `stop` is set; then takes nothing new, finishes what is being sent, and settles it.

        That ends after ten seconds at the latest. What waits for a retry by then, or is still being sent, is left to
        another dispatcher, which claims it within five seconds.
        """
        self._stop = stop
        where = {"store": self._store, "partitions": self._outbox.partitions, "consumer": self._name}
        _log.info("dispatching", version=__version__, **where, providers=sorted(self._config.providers))
        self._settler.start()
        self._journeys.lanes.start()
        takers = [
            self._thread(f"take-{part}", partial(self._take, part), stop, part)
            for part in range(self._outbox.partitions)
        ]
        takers.append(self._thread("credit", self._credit, stop, pause=CREDIT_S))
        takers.append(self._thread("fill", self._waiting.go_on, stop))
        takers.append(self._thread("look-up", self._look_up, stop, pause=BEAT_S))
        takers.append(self._thread("pulse", self._beat_pulse, stop, pause=PULSE_S))
        if any(route.receipt_within for route in self._config.routes):
            takers.append(self._thread("overdue", self._move_overdue, stop, pause=OVERDUE_S))
        keeper = self._thread("keep", self._keep, self._drained, pause=BEAT_S)
        stop.wait()
        _log.info("draining", sends=self._held.on_their_way, waiting=len(self._held.parking))
        deadline = time.monotonic() + DRAIN_S
        for thread in takers:
            thread.join(max(0.0, deadline - time.monotonic()))
        while self._journeys.lanes.busy and time.monotonic() < deadline:
            time.sleep(0.01)
        self._journeys.lanes.close()
        self._settler.close(max(0.1, deadline - time.monotonic()))
        for provider in self._providers.values():
            provider.close()
        self._drained.set()
        keeper.join(BEAT_S)
        with suppress(StoreUnavailable):
            self._beat_pulse()
            self._outbox.resign(self._name)
        _log.info("stopped", left=self._held.on_their_way + len(self._held.parking))

    def report(self, provider: str) -> Callable[[Receipt], bool]:
        """What an adapter calls with a receipt that came after `send` had returned."""
        return hearing(lambda receipt: self._deliveries.received(self._clock.now(), provider, receipt))

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
        """Reads on whatever waits: what has no room is put aside, so nothing stands behind it."""
        taken = self._outbox.take(part, self._name, READ_MOST, BLOCK_MS)
        for entry in taken:
            self._journeys.begin(entry, fresh=True)
        if 0 < len(taken) < READ_MOST:
            time.sleep(GATHER_S)

    def _keep(self) -> None:
        """Keeps what is held here from others, and takes over what the dead have left; the former to the very end."""
        going_on = not self._stop.is_set()
        now = time.monotonic()
        sweep = now > self._next_sweep

        def keep(part: int) -> None:
            self._outbox.refresh(part, self._name, self._held.on_its_way(part))
            self._outbox.leave(part, left := self._held.take_left(part))
            if left:
                self._claims_from = now + 2 * IDLE_MS / 1000  # So that another can.
            claimed = None
            while claimed is None or len(claimed) == CLAIM_MOST:
                most = CLAIM_MOST if going_on and now >= self._claims_from else 0
                claimed = self._outbox.claim(part, self._name, IDLE_MS, most)
                for entry in claimed:
                    if self._journeys.begin(entry, fresh=False):
                        _log.info("claimed what nobody refreshed", verification=entry.id)
            if sweep:
                self._outbox.forget_idle_consumers(part, FORGET_MS)

        try:
            if going_on:
                self._outbox.beat()
        finally:
            self._everywhere(keep)
        if sweep:
            self._next_sweep = now + SWEEP_S

    def _look_up(self) -> None:
        """Begins what the outbox has given to this dispatcher and nothing here knows of: because the answer was lost,
        or there was no place for it. The more there is to look through, the more seldom."""
        waiting = len(self._held.parking)
        if waiting > MOST // 2 or time.monotonic() < self._next_look_up:
            return
        self._next_look_up = time.monotonic() + waiting / LOOKED_THROUGH_A_SECOND

        def look_up(part: int) -> None:
            after = ""
            while len(self._held.parking) < MOST and not self._stop.is_set():
                page = self._outbox.pending(part, self._name, IDLE_MS, after, CLAIM_MOST)
                unknown = [position for position in page if not self._held.is_known(part, position)]
                for entry in self._outbox.reread(part, self._name, unknown) if unknown else ():
                    self._journeys.begin(entry, fresh=False)
                if len(page) < CLAIM_MOST:
                    break
                after = page[-1]

        self._everywhere(look_up)

    def _credit(self) -> None:
        def credit(part: int) -> None:
            while self._outbox.credit(part, 1000, self._pulse.came):
                pass

        began = self._clock.now()
        self._everywhere(credit)
        # Not reached while a partition is silent: its approvals are late everywhere.
        if time.monotonic() > self._next_credited:
            self._outbox.credited(began)
            self._next_credited = time.monotonic() + BEAT_S

    def _beat_pulse(self) -> None:
        self._pulse.beat(self._clock.now())

    def _move_overdue(self) -> None:
        now = self._clock.now()

        def move(part: int) -> None:
            found = None
            while found is None or len(found) == OVERDUE_MOST:
                found = self._outbox.overdue(part, now, OVERDUE_MOST)
                for message in found:
                    self._pulse.overdue(message)

        self._everywhere(move)

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
