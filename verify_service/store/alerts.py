"""Incidents that the team is told of: what is open, what is over, what is on its way to whom."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from verify_service.store.alert_layouts import AlertTerms, Finding, Incident, Telling
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.unreadable import passed_over

# Longer than a round takes: a dispatcher that hangs in one is relieved by another.
TURN_MS = 45_000
# Longer than those take that are handed out at once.
LEASE_MS = 180_000
AT_ONCE = 4

_BASE = f"{prefix(0)}alerts"
_Read = TypeVar("_Read")


class Change(NamedTuple):
    """What an incident has become: `opened`, `lasts` (a reminder) or `resolved`."""

    says: str
    rule: str
    object: str
    sentence: str


class Due(NamedTuple):
    """What a target is to be told now; `place` is where it waits."""

    place: str
    telling: Telling


class AlertStore:
    """The incidents of a store. All methods raise StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def is_turn(self, now: int, dispatcher: str) -> bool:
        """Whether it is this dispatcher that evaluates the rules now: one does at a time, until it has not for a
        while."""
        return bool(self._link.call(Call(0, "alert_turn", [f"{_BASE}:turn"], [now, dispatcher, TURN_MS])))

    def judge(self, now: int, findings: Sequence[Finding], terms: AlertTerms) -> tuple[list[Change], int]:
        """Makes incidents of what the rules have found: what has changed, and how many messages had no room. However
        often it is asked, and by however many, an incident opens and ends once."""
        packed = [finding.pack() for finding in findings]
        lost, *changes = self._link.call(Call(0, "alerts", [_BASE], [now, terms.pack(), *packed]))
        return [Change(*(part.decode() for part in change)) for change in changes], lost

    def due(self, now: int) -> list[Due]:
        """What is to be told now, left to the caller for `LEASE_MS`."""
        flat = self._link.call(Call(0, "alerts_due", [f"{_BASE}:due"], [now, LEASE_MS, AT_ONCE]))
        found = []
        for i in range(0, len(flat), 2):
            try:
                found.append(Due(flat[i].decode(), Telling.open(flat[i + 1])))
            except msgspec.DecodeError as error:
                passed_over("alert", type(error).__name__)
                self._link.command(0, ["HDEL", f"{_BASE}:waiting", flat[i]])
        return found

    def done(self, now: int, due: Due) -> None:
        """The target was told."""
        self._tried(now, due, "done", "", 0)

    def again(self, now: int, due: Due, why: str, after_ms: int) -> None:
        """It is to be tried again."""
        self._tried(now, due, "again", why, after_ms)

    def give_up(self, now: int, due: Due, why: str) -> None:
        """It is tried no more, and remembered."""
        self._tried(now, due, "given-up", why, 0)

    def open(self) -> list[Incident]:
        """Those that the team was told of and that are not over, the newest first."""
        found = _read(self._link.command(0, ["HVALS", _BASE]), Incident.open)
        return sorted((each for each in found if each.told), key=lambda each: -each.since)

    def past(self) -> list[Incident]:
        """Those that are over, the newest first: at most a hundred, for thirty days."""
        return _read(self._link.command(0, ["LRANGE", f"{_BASE}:past", 0, -1]), Incident.open)

    def untold(self) -> tuple[list[Telling], list[Telling]]:
        """What has failed to reach its target and is tried again, and what was given up."""
        waiting = _read(self._link.command(0, ["HVALS", f"{_BASE}:waiting"]), Telling.open)
        given_up = _read(self._link.command(0, ["LRANGE", f"{_BASE}:given-up", 0, -1]), Telling.open)
        return [each for each in waiting if each.tries], given_up

    def _tried(self, now: int, due: Due, outcome: str, why: str, after_ms: int) -> None:
        args: list[Argument] = [now, due.place, due.telling.id, outcome, why, after_ms]
        self._link.call(Call(0, "alert_tried", [f"{_BASE}:waiting"], args))


def _read(packed: Sequence[bytes], open: Callable[[bytes], _Read]) -> list[_Read]:
    found = []
    for each in packed:
        try:
            found.append(open(each))
        except msgspec.DecodeError as error:
            passed_over("alert", type(error).__name__)
    return found
