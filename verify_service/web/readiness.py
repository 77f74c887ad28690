"""Whether this process is ready, asked of the store once a second at the most, however often a stranger asks."""

import time
from collections.abc import Callable
from threading import Lock

from verify_service.errors import StoreUnavailable
from verify_service.policy.live import LivePolicy
from verify_service.store import Store

FRESH_S = 1.0


class Readiness:
    """The reasons why a process is not ready, none where it is."""

    def __init__(self, store: Store, live: LivePolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._live = live
        self._clock = clock
        self._asking = Lock()
        self._answer: tuple[str, ...] | None = None
        self._until = 0.0

    def reasons(self) -> tuple[str, ...]:
        """What was found at most a second ago, or is found now. While one caller asks a store that hangs, the others
        are told what was found last: only one thread waits for it."""
        answer = self._answer
        if answer is not None and self._clock() < self._until:
            return answer
        if not self._asking.acquire(blocking=answer is None):
            return answer or ()
        try:
            if self._answer is None or self._clock() >= self._until:
                self._answer = tuple(self._found())
                self._until = self._clock() + FRESH_S
            return self._answer
        finally:
            self._asking.release()

    def _found(self) -> list[str]:
        reasons = []
        try:
            self._store.link.ping()
            if not self._store.outbox.alive():
                reasons.append("no dispatcher is alive: messages wait in the outbox")
        except StoreUnavailable as error:
            reasons.append(f"the store does not answer ({error.reason})")
        try:
            self._live()
        except StoreUnavailable as error:
            reasons.append(error.reason)
        return reasons
