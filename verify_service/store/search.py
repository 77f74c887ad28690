"""Decided starts, the newest first: looked for backwards in the events, so that a look has a bound on what it costs."""

import heapq
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from verify_service.store import partitions
from verify_service.store.connection import Link, prefix
from verify_service.store.events import readable

Outcome = Literal["refused", "observed", "admitted"]
MOST = 20_000
"""Events that one look goes through."""
_PAGE = 250
_PLACE = re.compile(r"(\d{1,15})-(\d{1,15})-(\d{1,3})")


class Place(NamedTuple):
    """Where an event stands among those of all partitions, in the order in which the store took them."""

    ms: int
    seq: int
    part: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}-{self.part}"


def place(text: str) -> Place:
    """What `str` made of one. Raises ValueError."""
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ValueError("not the place of an event")
    ms, seq, part = map(int, match.groups())
    return Place(ms, max(seq, 0 if ms else 1), part)  # No event is at 0-0, and the server asks for none before it.


_SAME = ("country", "tenant", "number", "ip", "user")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which starts: all that is given has to fit. `rule` is a limit or rule that refused it or would have; `range` is
    the beginning of a number in E.164, or an email address's domain with its @; `number`, `ip` and `user` are
    pseudonyms."""

    outcome: Outcome | None = None
    rule: str | None = None
    country: str | None = None
    range: str | None = None
    tenant: str | None = None
    number: str | None = None
    ip: str | None = None
    user: str | None = None

    def fits(self, start: Mapping[str, Any]) -> bool:
        """Whether an event `start` is one of them."""
        return (
            self.outcome in (None, outcome_of(start))
            and self.rule in (None, start.get("refused"), *start.get("observed", ()))
            and all(getattr(self, name) in (None, start.get(name)) for name in _SAME)
            and start.get("range", "").startswith(self.range or "")
        )


class Starts(NamedTuple):
    """What a look found, the newest first. It went back to an event of `back_to` (milliseconds), and `before` goes on
    from there; both are None where it has gone through all that is kept."""

    found: list[dict[str, Any]]
    back_to: int | None = None
    before: Place | None = None


class Search:
    """The decided starts of a store."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def starts(self, wanted: Wanted, limit: int, before: Place | None = None, most: int = MOST) -> Starts:
        """The newest `limit` events `start` that fit, as an export has them, of those before a place. Goes through
        `most` events and no further. Raises StoreUnavailable."""
        parts = range(self._link.partitions)
        if wanted.number is not None:
            home = partitions.of_tag(wanted.number, len(parts))
            parts = range(home, home + 1)
        found: list[dict[str, Any]] = []
        back_to = 0
        events = heapq.merge(*(self._backwards(part, before) for part in parts), key=_place_of, reverse=True)
        for seen, (at, flat) in enumerate(events, 1):
            if flat[:1] == [b"at"] and flat[1].isdigit():
                back_to = int(flat[1])
            if flat[3:4] == [b"start"]:
                start = readable(b"%d-%d" % at[:2], flat)
                if start and wanted.fits(start):
                    found.append(start)
            if len(found) == limit or seen == most:
                return Starts(found, back_to, at)
        return Starts(found)

    def _backwards(self, part: int, before: Place | None) -> Iterator[tuple[Place, list[bytes]]]:
        end = "+"
        if before is not None:
            end = f"{'' if part < before.part else '('}{before.ms}-{before.seq}"
        while True:
            page = self._link.command(part, ["XREVRANGE", f"{prefix(part)}events", end, "-", "COUNT", _PAGE])
            for position, flat in page:
                ms, seq = position.split(b"-")
                yield Place(int(ms), int(seq), part), flat
            if len(page) < _PAGE:
                return
            end = f"({page[-1][0].decode()}"


def outcome_of(start: Mapping[str, Any]) -> Outcome:
    """What became of a start: `observed` is one that was admitted, though something in observe mode would have refused
    it."""
    if start.get("refused"):
        return "refused"
    return "observed" if start.get("observed") else "admitted"


def _place_of(event: tuple[Place, list[bytes]]) -> Place:
    return event[0]
