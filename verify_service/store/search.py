"""Decided starts, the newest first: looked for backwards in the events, so that a look has a bound on what it costs.

What refused, what observed, a rule, a country and a tenant have lists of their newest, which `lua/counting.lua` keeps
beside the counts: a look begins with the shortest of those, and reads the events where lists do not reach.
"""

import heapq
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, NamedTuple

import msgspec

from verify_service.store import partitions
from verify_service.store.connection import Link, prefix
from verify_service.store.counts import NEWEST, NEWEST_MS
from verify_service.store.events import readable

Outcome = Literal["refused", "observed", "admitted"]
MOST = 5_000
"""Events that one look goes through."""
_PAGE, _LISTED = 250, 50
_SURELY_MS = NEWEST_MS - 86_400_000
"""A day less than what lists live: hosts and stores have clocks of their own."""
_PLACE = re.compile(r"(\d{1,15})-(\d{1,15})-(\d{1,3})")


class Place(NamedTuple):
    """Where an event stands among those of all partitions, in the order in which the store took them."""

    ms: int
    seq: int
    part: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}-{self.part}"


Event = tuple[Place, list[bytes]]
_END = Place(10**15 - 1, 0, 0)
"""Behind all events."""


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

    def lists(self) -> list[str]:
        """What `counting.lua` calls the lists that have all that fit, those that are short first."""
        named = (("rule", self.rule), ("country", self.country), ("tenant", self.tenant))
        found = [f"{kind}:{name}" for kind, name in named if name]
        return [*found, self.outcome] if self.outcome in ("refused", "observed") else found

    def marks(self) -> list[bytes]:
        """What stands in the packed facts of each event that fits: a look is cheaper than to open them."""
        given = (getattr(self, name) for name in (*_SAME, "range"))
        return [text.encode() for text in given if text]

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
        `most` events and no further; those that are in no list of what is wanted it need not look at. Raises
        StoreUnavailable."""
        parts = range(self._link.partitions)
        if wanted.number is not None:
            home = partitions.of_tag(wanted.number, len(parts))
            parts = range(home, home + 1)
        found: list[dict[str, Any]] = []
        back_to, marks = 0, wanted.marks()
        events = heapq.merge(
            *(self._events(part, wanted, before or _END) for part in parts), key=_place_of, reverse=True
        )
        for seen, (at, flat) in enumerate(events, 1):
            if flat[:1] == [b"at"] and flat[1].isdigit():
                back_to = int(flat[1])
            may_fit = flat[6:7] != [b"facts"] or all(mark in flat[7] for mark in marks)
            if flat[3:4] == [b"start"] and may_fit:
                start = readable(b"%d-%d" % at[:2], flat)
                if start and wanted.fits(start):
                    found.append(start)
            if len(found) == limit or seen == most:
                return Starts(found, back_to, at)
        return Starts(found)

    def user_of(self, factor_id: str) -> tuple[str, str] | None:
        """The tenant, and the pseudonym of its user, whose factor it is, by the newest of `MOST` events that names it.
        Raises StoreUnavailable."""
        parts = range(self._link.partitions)
        events = heapq.merge(*(self._backwards(part, _END) for part in parts), key=_place_of, reverse=True)
        for at, flat in islice(events, MOST):
            if flat[5:6] == [factor_id.encode()]:
                event = readable(b"%d-%d" % at[:2], flat)
                if event and "tenant" in event and "user" in event:
                    return event["tenant"], event["user"]
        return None

    def _events(self, part: int, wanted: Wanted, before: Place) -> Iterator[Event]:
        """The events of a partition from a place backwards, all those that fit among them: by the shortest of the lists
        that `counting.lua` keeps, as far as it goes."""
        keys = [f"{prefix(part)}newest:{name}" for name in wanted.lists()]
        counts = f"{prefix(part)}counts"
        last, *lengths = self._link.commands(part, [["HGET", counts, "last"], *(["LLEN", key] for key in keys)])
        if not (keys and last):
            yield from self._backwards(part, before)
            return
        shortest = keys[lengths.index(min(lengths))]
        listed = [_place(position, part) for position in self._link.command(part, ["LRANGE", shortest, 0, -1])]
        # A list that is not full has all that was counted while it lived, which is so long after its newest.
        end = listed[-1] if len(listed) >= NEWEST else Place(time.time_ns() // 1_000_000 - _SURELY_MS, 0, part)
        counted = _place(last, part)
        yield from self._backwards(part, before, after=counted)
        yield from self._at(part, [each for each in listed if end <= each <= counted and each < before])
        yield from self._backwards(part, min(before, end))

    def _at(self, part: int, places: Iterable[Place]) -> Iterator[Event]:
        """The events at places, but for those that have been trimmed away."""
        left = iter(places)
        while page := [f"{ms}-{seq}" for ms, seq, _ in islice(left, _LISTED)]:
            asks = [["XRANGE", f"{prefix(part)}events", position, position] for position in page]
            for answer in self._link.commands(part, asks):
                for position, flat in answer:
                    yield _place(position, part), flat

    def _backwards(self, part: int, before: Place, after: Place | None = None) -> Iterator[Event]:
        """The events of a partition before a place, those that are behind another one."""
        end = f"{'' if part < before.part else '('}{before.ms}-{before.seq}"
        start = f"({after.ms}-{after.seq}" if after else "-"
        while True:
            page = self._link.command(part, ["XREVRANGE", f"{prefix(part)}events", end, start, "COUNT", _PAGE])
            for position, flat in page:
                yield _place(position, part), flat
            if len(page) < _PAGE:
                return
            end = f"({page[-1][0].decode()}"


def outcome_of(start: Mapping[str, Any]) -> Outcome:
    """What became of a start: `observed` is one that was admitted, though something in observe mode would have refused
    it."""
    if start.get("refused"):
        return "refused"
    return "observed" if start.get("observed") else "admitted"


def _place_of(event: Event) -> Place:
    return event[0]


def _place(position: bytes, part: int) -> Place:
    ms, seq = position.split(b"-")
    return Place(int(ms), int(seq), part)
