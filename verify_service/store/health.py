"""How the providers do: what all dispatchers have seen of them lately, and what today has cost."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from verify_service.store.connection import Argument, Call, Link, prefix

# Upper bounds of the histogram of answer times; a last bucket has what took longer.
HIST_MS = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

_pack = msgspec.msgpack.Encoder().encode


class Report(NamedTuple):
    """What one dispatcher saw of `<provider>/<channel>` since its last report. `failing` and `silent` are the errors
    and the missing receipts in a row at its end; `hist` the answers by time."""

    name: str
    tries: int
    errors: int
    failing: int
    came: int
    missing: int
    silent: int
    hist: Sequence[int]


class Standing(NamedTuple):
    """How much of its weight a `<provider>/<channel>` deserves, in percent; `probe`: one message may try it now; `up`:
    when it was first seen, or last up again after it had been down, in milliseconds."""

    name: str
    factor: int
    probe: bool
    up: int = 0


class Shift(NamedTuple):
    """One change of a factor, with its reason."""

    name: str
    before: int
    after: int
    reason: str


class Shifted(NamedTuple):
    """One of the newest changes of a factor, and when (milliseconds)."""

    at: int
    name: str
    before: int
    after: int
    reason: str


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A `<provider>/<channel>` as it stands: `factor` in percent, `changed` in milliseconds since the epoch. The rest
    are sums that fade: tries over some ten seconds, receipts over half a minute, `hist` over a minute; `failing` are
    the errors in a row, `usual` the share of receipts that come as a rule, below 0 where nobody knows yet."""

    factor: int
    changed: int
    reason: str
    tries: float
    errors: float
    came: float
    missing: float
    hist: list[float]
    failing: float = 0
    usual: float = -1

    def percentile(self, share: float) -> int | None:
        """The time below which so large a share of answers took, in milliseconds as HIST_MS has them."""
        total = sum(self.hist)
        if total < 0.5:
            return None
        below = 0.0
        for bound, count in zip(HIST_MS, self.hist, strict=False):
            below += count
            if below >= share * total:
                return bound
        return HIST_MS[-1]


_state = msgspec.msgpack.Decoder(State, strict=False)
_shifted = msgspec.msgpack.Decoder(Shifted, strict=False)


class Health:
    """The health of a store's providers. All methods raise StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)

    def pulse(
        self, now: int, reports: Sequence[Report], groups: Sequence[Sequence[str]], costs: Mapping[str, int]
    ) -> tuple[list[Standing], list[Shift]]:
        """Adds what a dispatcher saw and answers what holds now, and what has just shifted; one round trip.

        `groups` are the names of each route: nobody is blamed for what all of a route suffer from. `costs` are added
        to the day's.
        """
        flat = [part for field, amount in costs.items() for part in (field, amount)]
        args: list[Argument] = [now, self._keep_events, _pack(reports), _pack(groups), _pack(flat)]
        rows, shifts = self._link.call(Call(0, "pulse", [f"{prefix(0)}health", _costs_key(now)], args))
        return (
            [Standing(name.decode(), factor, bool(probe), up) for name, factor, probe, up in rows],
            [Shift(name.decode(), before, after, why.decode()) for name, before, after, why in shifts],
        )

    def states(self) -> dict[str, State]:
        """The state of each `<provider>/<channel>` that a dispatcher has had in a route within the last day."""
        flat: list[bytes] = self._link.command(0, ["HGETALL", f"{prefix(0)}health"])
        return {flat[i].decode(): _state.decode(flat[i + 1]) for i in range(0, len(flat), 2)}

    def shifts(self, most: int) -> list[Shifted]:
        """The newest changes, the newest first; a hundred are kept, for thirty days."""
        packed = self._link.command(0, ["LRANGE", f"{prefix(0)}shifts", 0, most - 1])
        return [_shifted.decode(each) for each in packed]

    def costs(self, now: int) -> dict[str, dict[str, int]]:
        """The day's sums by way (`<provider>/<sender>/<channel>`): messages, segments, delivered, failed, micro-dollars
        as `price`."""
        flat: list[bytes] = self._link.command(0, ["HGETALL", _costs_key(now)])
        found: dict[str, dict[str, int]] = {}
        for i in range(0, len(flat), 2):
            way, _, what = flat[i].decode().rpartition(":")
            found.setdefault(way, {})[what] = int(flat[i + 1])
        return found


def _costs_key(now: int) -> str:
    return f"{prefix(0)}costs:{datetime.fromtimestamp(now / 1000, UTC):%Y%m%d}"
