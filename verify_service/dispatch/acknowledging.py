"""What vendors tell over connections of their own: it is written down before they are told that it was taken."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from verify_service.adapters import Straying
from verify_service.dispatch.job import site
from verify_service.errors import StoreUnavailable
from verify_service.model import Clock
from verify_service.store.strays import Strays
from verify_service.telemetry import log

_MOST_LOGGED = 64

_log = log("hearing")
Told = TypeVar("Told")


def straying(strays: Strays, clock: Clock, provider: str) -> Straying:
    """What an adapter calls with what it could not use: it is counted, and each kind of it logged once."""
    logged: set[tuple[str, str]] = set()

    def stray(why: str, words: str, times: int = 1) -> None:
        with suppress(StoreUnavailable):
            strays.count(clock.now(), provider, why, times)
        if (why, words) not in logged and len(logged) < _MOST_LOGGED:
            logged.add((why, words))
            _log.warning("a vendor told what cannot be used", provider=provider, why=why, words=words)

    return stray


def acknowledging(write: Callable[[Told], object]) -> Callable[[Told], bool]:
    """What an adapter calls with a receipt or a text; False where `write` raises StoreUnavailable."""

    def hear(told: Told) -> bool:
        try:
            write(told)
        except StoreUnavailable:
            return False
        except Exception as error:  # Told again it would fail again. Its words may quote what a person wrote.
            _log.error("unexpected error", thread="hear", error=site(error))
        return True

    return hear
