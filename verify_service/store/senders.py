"""Senders: how fast each may send, all dispatchers together."""

import hashlib
from collections.abc import Sequence

from verify_service.store import partitions
from verify_service.store.connection import Call, Link, prefix

# What is spaced evenly here arrives less evenly; the carrier must not see more than it allows in any second.
SHARE = 0.9
AFTER_MS = 1000
"""What `reserve` adds to a line for the life of its key."""


class Senders:
    """The lines in front of a store's senders. Time is the store's, never a virtual one."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def reserve(self, sender: str, per_second: float, segments: int, most_ms: int) -> float | None:
        """Takes a place in the sender's line: seconds until its turn, or None where that is more than `most_ms` away.

        Who comes more than 0.1 s late for its turn must take another place. Raises StoreUnavailable.
        """
        part, key = self._place(sender)
        apart = round(1_000_000 / (SHARE * per_second))
        wait = self._link.call(Call(part, "reserve", [key], [apart, segments, max(0, most_ms)]))
        return None if wait < 0 else wait / 1_000_000

    def lines(self, senders: Sequence[str]) -> dict[str, float]:
        """How long the line in front of each sender is, in seconds. Raises StoreUnavailable."""
        found = {}
        for sender in senders:
            part, key = self._place(sender)
            # A key outlasts its line by a second.
            found[sender] = max(0, self._link.command(part, ["PTTL", key]) - AFTER_MS) / 1000
        return found

    def _place(self, sender: str) -> tuple[int, str]:
        part = partitions.of_tag(hashlib.sha256(sender.encode()).hexdigest(), self._link.partitions)
        return part, f"{prefix(part)}sender:{sender}"
