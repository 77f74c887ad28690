"""Tells the tenants' own endpoints what happens to their verifications, each event at least once.

A verification's events go in their order, each only after the one before has been taken or given up; an endpoint that
is slow or away delays nobody else's. What a dead dispatcher held is due again after its lease.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue

import msgspec

from verify_service.duration import rfc3339
from verify_service.errors import ConfigError, DeliveryError, StoreUnavailable
from verify_service.model import Clock
from verify_service.providers.http import Endpoint
from verify_service.signing import Signer
from verify_service.store.layouts import Wanted
from verify_service.store.webhooks import Due, WebhookStore
from verify_service.telemetry import WEBHOOKS, log
from verify_service.tenants import WebhookConfig

# As many wait for one endpoint's answer at once: none waits for a thread, so none outlives its lease unsent.
THREADS = 16
PAUSE_S = 0.25
AGAIN_S = 0.5
DRAIN_S = 5.0
# After each failure; three days in all. Standard Webhooks' own example, with a day at the end.
BACKOFF_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
GONE = 410
_TOLD = ("purpose", "channel", "country", "provider", "carrier", "reason", "refused", "decision", "notice")

_dice = random.SystemRandom()
_log = log("webhooks")


class Webhooks:
    """The endpoints of all tenants. `run` works until its event is set."""

    def __init__(
        self,
        store: WebhookStore,
        endpoints: Mapping[str, WebhookConfig],
        secret: Callable[[str], str],
        clock: Clock,
    ) -> None:
        """`secret` reads `env:NAME` or `file:PATH`. Raises ConfigError."""
        self._store = store
        self._clock = clock
        self._wake = threading.Event()
        self._couriers = {
            tenant: _Courier(tenant, config, _signer(tenant, config, secret), store, clock, self._wake)
            for tenant, config in endpoints.items()
        }

    def run(self, stop: threading.Event) -> None:
        """Delivers until `stop` is set, and waits some seconds for the answers to what is on its way.

        What is not answered by then comes again from another dispatcher, with the same id.
        """
        silent = False
        while not stop.is_set():
            self._wake.clear()
            try:
                if not self._round():
                    self._wake.wait(PAUSE_S)
                if silent:
                    _log.info("store answers again")
                silent = False
            except StoreUnavailable as error:
                if not silent:
                    _log.warning("store does not answer", reason=error.reason)
                silent = True
                stop.wait(AGAIN_S)
            except Exception:
                # A thread that dies in silence would stop all webhooks; say so and go on.
                _log.exception("unexpected error")
                stop.wait(AGAIN_S)
        deadline = time.monotonic() + DRAIN_S
        while any(courier.room < THREADS for courier in self._couriers.values()) and time.monotonic() < deadline:
            time.sleep(0.01)
        for courier in self._couriers.values():
            courier.close()

    def _round(self) -> bool:
        """Hands out what is due; whether there is more to look for at once."""
        wanted = [Wanted(tenant, courier.events, courier.room) for tenant, courier in self._couriers.items()]
        found, lost, more = self._store.due(self._clock.now(), wanted)
        if lost:
            WEBHOOKS.labels("", "lost").inc(lost)
            _log.error("events were trimmed before they were handed over", events=lost)
        for due in found:
            self._couriers[due.tenant].take(due)
        return more


class _Courier:
    """One tenant's endpoint and the threads that wait for its answers."""

    def __init__(
        self,
        tenant: str,
        config: WebhookConfig,
        signer: Signer,
        store: WebhookStore,
        clock: Clock,
        wake: threading.Event,
    ) -> None:
        self.events = config.events
        self._tenant = tenant
        try:
            self._endpoint = Endpoint(config.url, config.timeout.seconds, {"content-type": "application/json"})
        except ValueError:
            raise ConfigError(f"tenants.{tenant}.webhook.url: cannot be read as a URL") from None
        self._signer = signer
        self._store = store
        self._clock = clock
        self._wake = wake
        self._queue: SimpleQueue[Due | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._busy = 0
        self._threads = 0

    @property
    def room(self) -> int:
        """How many more it can take now."""
        with self._lock:
            return THREADS - self._busy

    def take(self, due: Due) -> None:
        """Delivers it in a thread of its own; where the system has none to give, it comes again after its lease."""
        with self._lock:
            if self._busy == self._threads:
                try:
                    threading.Thread(target=self._work, name=f"webhook-{self._tenant}", daemon=True).start()
                except RuntimeError as error:
                    _log.warning("not tried, so it comes again", tenant=self._tenant, reason=str(error))
                    return
                self._threads += 1
            self._busy += 1
        self._queue.put(due)

    def close(self) -> None:
        """Ends the threads as they come back."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _work(self) -> None:
        while (due := self._queue.get()) is not None:
            try:
                self._deliver(due)
            except StoreUnavailable as error:
                _log.warning("not settled, so it comes again", tenant=self._tenant, reason=error.reason)
            except Exception as error:
                _log.error("unexpected error", tenant=self._tenant, error=type(error).__name__)
            with self._lock:
                self._busy -= 1
            self._wake.set()

    def _deliver(self, due: Due) -> None:
        status, reason = self._post(due)
        now = self._clock.now()
        if 200 <= status < 300:
            WEBHOOKS.labels(self._tenant, "delivered").inc()
            self._store.done(now, due)
        elif status == GONE:
            WEBHOOKS.labels(self._tenant, "gone").inc()
            # Before the letter can be seen: a replay of it turns the endpoint on, and this must not turn it off again.
            if self._store.turn_off(now, self._tenant):
                _log.error("the endpoint is gone and gets no more; `webhooks replay` turns it on", tenant=self._tenant)
            self._store.bury(now, due, reason)
        elif due.tries >= len(BACKOFF_S):
            WEBHOOKS.labels(self._tenant, "dead").inc()
            _log.error("given up", tenant=self._tenant, verification=due.id, reason=reason)
            self._store.bury(now, due, reason)
        else:
            WEBHOOKS.labels(self._tenant, "failed").inc()
            _log.warning("not taken", tenant=self._tenant, verification=due.id, tries=due.tries + 1, reason=reason)
            self._store.again(now, due, round(1000 * BACKOFF_S[due.tries] * _dice.uniform(1 - JITTER, 1 + JITTER)))

    def _post(self, due: Due) -> tuple[int, str]:
        """The endpoint's status, 0 where none came, and what is said of it."""
        body = payload(due)
        try:
            answer = self._endpoint.post(body, self._signer.headers(f"evt_{due.partition}_{due.position}", body))
        except DeliveryError as error:
            return 0, error.reason
        return answer.status, f"HTTP {answer.status}"


def payload(due: Due) -> bytes:
    """The body of an event, the same at each try. No number and no code: the id is enough for who started it."""
    fields = due.fields
    data = {"id": due.id} | {name: fields[name] for name in _TOLD if fields.get(name)}
    what = "notice" if due.id.startswith("no_") else "verification"
    happened = "queued" if fields["event"] == "notice" else fields["event"]
    told = {"type": f"{what}.{happened}", "timestamp": rfc3339(int(fields["at"])), "data": data}
    return msgspec.json.encode(told)


def _signer(tenant: str, config: WebhookConfig, secret: Callable[[str], str]) -> Signer:
    try:
        return Signer(*map(secret, config.secrets))
    except ConfigError as error:
        raise ConfigError(f"tenants.{tenant}.webhook: {error}") from None
