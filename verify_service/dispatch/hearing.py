"""What vendors tell over connections of their own: it is written down before they are told that it was taken."""

from collections.abc import Callable
from typing import TypeVar

from verify_service.dispatch.job import site
from verify_service.errors import StoreUnavailable
from verify_service.telemetry import log

_log = log("dispatch")
Told = TypeVar("Told")


def hearing(write: Callable[[Told], object]) -> Callable[[Told], bool]:
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
