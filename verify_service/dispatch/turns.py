"""Turns: when a sender has room for one more message, and for how long it is worth waiting."""

from verify_service.config import Config
from verify_service.dispatch.ways import Way
from verify_service.model import Message
from verify_service.store.senders import Senders
from verify_service.telemetry import SENDER_FULL

# While there is another way, nobody waits longer; a code that arrives with less of its life left is of no use; and what
# has no code is of use for a minute.
LINE_MS = 1_000
USEFUL_MS = 3_000
MINUTE_MS = 60_000


class Turns:
    """The lines in front of the senders, as long as they are worth joining."""

    def __init__(self, senders: Senders, config: Config) -> None:
        self._senders = senders
        self._config = config

    def take(self, way: Way, message: Message, now: int, *, patient: bool) -> float | None:
        """Takes a turn: seconds until then; None where it would be too late. `patient`: there is no other way.

        A call is one, however long; a text counts its segments. Raises StoreUnavailable.
        """
        if not way.sender or (per_second := self._config.senders[way.sender].per_second) is None:
            return 0.0
        cost = 1 if way.channel == "voice" else message.segments
        wait = self._senders.reserve(way.sender, per_second, cost, self.most_ms(message, now, patient=patient))
        if wait is None:
            SENDER_FULL.labels(way.sender).inc()
        return wait

    def most_ms(self, message: Message, now: int, *, patient: bool) -> int:
        """How long it is worth waiting."""
        life = message.expires_at - now - USEFUL_MS if message.expires_at else MINUTE_MS
        return life if patient else min(life, LINE_MS)
