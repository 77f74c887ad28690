"""What vendors told and nobody could use, counted by day: words, ids and texts that are not known."""

from datetime import UTC, datetime

from verify_service.store.connection import Call, Link, prefix
from verify_service.telemetry import STRAYS


class Strays:
    """The counts of a store. All methods raise StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def count(self, now: int, provider: str, why: str, times: int = 1) -> None:
        """Counts so many more of a provider's. `why` is one of `adapters.Stray`."""
        STRAYS.labels(provider, why).inc(times)
        self._link.call(Call(0, "stray", [strays_key(0, now)], [f"{provider}:{why}", times]))

    def today(self, now: int) -> dict[str, dict[str, int]]:
        """The day's counts by provider and why."""
        found: dict[str, dict[str, int]] = {}
        for part in range(self._link.partitions):
            flat: list[bytes] = self._link.command(part, ["HGETALL", strays_key(part, now)])
            for i in range(0, len(flat), 2):
                provider, _, why = flat[i].decode().rpartition(":")
                of = found.setdefault(provider, {})
                of[why] = of.get(why, 0) + int(flat[i + 1])
        return found


def strays_key(partition: int, now: int) -> str:
    """Where a partition counts those of a day."""
    return f"{prefix(partition)}strays:{datetime.fromtimestamp(now / 1000, UTC):%Y%m%d}"
