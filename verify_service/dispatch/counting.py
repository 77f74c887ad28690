"""Folds the events into counts over time, beside whatever other dispatchers do the same."""

import threading

from verify_service.errors import StoreUnavailable
from verify_service.model import Clock
from verify_service.store.counts import Counts
from verify_service.telemetry import COUNTED, log

PAUSE_S = 1.0
# Between two pages: what has waited for long, as after an upgrade, leaves the store to starts and checks.
BEHIND_S = 0.005

_log = log("counting")


class Counting:
    """The counts of a store, kept up to date. `run` works until its event is set."""

    def __init__(self, store: Counts, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Counts until `stop` is set, each second and without a pause where more waits. What one dispatcher leaves
        uncounted, the next one counts."""
        silent = False
        while not stop.is_set():
            pause = PAUSE_S
            try:
                if self._round():
                    pause = BEHIND_S
                silent = False
            except StoreUnavailable as error:
                if not silent:
                    _log.warning("store does not answer", reason=error.reason)
                silent = True
            except Exception:
                # A thread that dies in silence would end all counts; say so and go on.
                _log.exception("unexpected error")
            stop.wait(pause)

    def _round(self) -> bool:
        """Whether more waits."""
        folded = self._store.fold(self._clock.now())
        COUNTED.labels("counted").inc(folded.counted)
        if folded.lost:
            COUNTED.labels("lost").inc(folded.lost)
            _log.error("events were trimmed before they were counted", events=folded.lost)
        return folded.more
