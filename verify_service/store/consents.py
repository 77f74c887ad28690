"""Consents: whether a number may be sent to for a tenant, and the sealed trail of how that came to be."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from verify_service.store import partitions
from verify_service.store.connection import Argument, Call, Link, prefix

_UNREAD = f"{prefix(0)}unread"
State = Literal["in", "out"]


class Said(NamedTuple):
    """A keyword that a person texted, ready to be written down.

    `text` is the tag by which a repetition is known; `state` is None where consent does not change; `trails` are the
    tenants it concerns, each with the sealed entry of its trail; `answer` is `<sender>:<kind>` and the fields of the
    outbox entry, empty where it is not to be answered.
    """

    text: str
    number: str
    state: State | None
    source: str
    trails: Sequence[tuple[str, bytes]]
    answer: Sequence[Argument] = ()


class ConsentStore:
    """The consents of a store. Numbers are tags; all methods raise StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)

    def heard(self, now: int, said: Said) -> bool:
        """Writes down what a person said, for every tenant in one step; False where it was heard before."""
        home = partitions.of_tag(said.number, self._link.partitions)
        args: list[Argument] = [now, self._keep_events, said.number, said.state or "", said.source, len(said.trails)]
        args += [part for pair in said.trails for part in pair]
        return bool(self._link.call(Call(home, "heard", [f"{prefix(home)}heard:{said.text}"], [*args, *said.answer])))

    def unclear(self, text: str, number: str, entries: Sequence[tuple[str, bytes]]) -> bool:
        """Keeps a text that may have meant a stop beside the trail of each tenant; False where it was heard before."""
        home = partitions.of_tag(number, self._link.partitions)
        keys = [f"{_key(home, number, tenant)}:unclear" for tenant, _ in entries]
        call = Call(home, "unclear", [f"{prefix(home)}heard:{text}", *keys], [sealed for _, sealed in entries])
        return bool(self._link.call(call))

    def unread(self, text: str, sealed: bytes) -> bool:
        """Keeps a text whose sender cannot be read; False where it was heard before."""
        return bool(self._link.call(Call(0, "unread", [f"{prefix(0)}heard:{text}", _UNREAD], [sealed])))

    def unreads(self) -> list[bytes]:
        """What `unread` kept, oldest first: the newest thousand of 90 days."""
        found: list[bytes] = self._link.command(0, ["LRANGE", _UNREAD, 0, -1])
        return found

    def write(self, now: int, number: str, tenant: str, state: State, source: str, sealed: bytes) -> None:
        """Sets a consent and adds the sealed entry to its trail."""
        home = partitions.of_tag(number, self._link.partitions)
        args: list[Argument] = [now, self._keep_events, number, tenant, state, source, sealed]
        self._link.call(Call(home, "consent", [_key(home, number, tenant)], args))

    def adopt(self, number: str, former: str, tenant: str, sealed: Sequence[bytes]) -> None:
        """Puts the entries in front of a number's trail, and forgets what stood under its former tag."""
        home, there = (partitions.of_tag(tag, self._link.partitions) for tag in (number, former))
        if sealed:
            self._link.command(home, ["LPUSH", f"{_key(home, number, tenant)}:trail", *reversed(sealed)])
        gone = _key(there, former, tenant)
        self._link.command(there, ["UNLINK", gone, f"{gone}:trail", f"{gone}:unclear"])

    def read(self, number: str, tenant: str) -> tuple[State | None, list[bytes], list[bytes]]:
        """The state, None where none is known; the sealed trail, oldest first: the newest thousand entries; and as
        sealed what was unclear in the last 90 days, at most 20."""
        home = partitions.of_tag(number, self._link.partitions)
        key = _key(home, number, tenant)
        keys = [key, f"{key}:trail", f"{key}:unclear"]
        state, trail, unclear = self._link.call(Call(home, "consent_of", keys, []))
        return state.decode() if state else None, trail, unclear


def _key(home: int, number: str, tenant: str) -> str:
    return f"{prefix(home)}consent:{number}:{tenant}"
