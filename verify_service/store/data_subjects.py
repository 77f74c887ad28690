"""What the store holds of one person for one tenant: looked for on request, and erased on request.

Nothing is filed by person: each look goes through the keys of the number's partition, a second per million or so.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from verify_service.errors import StoreUnavailable
from verify_service.store import partitions
from verify_service.store.connection import ERRORS, Argument, Call, Link, prefix, reason
from verify_service.store.records import readable_record

_PAGE = 1000


class DataSubjectStore:
    """Looks and erasures. Numbers are tags; all methods raise StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)

    def verifications(self, number: str, tenant: str) -> list[str]:
        """The ids of all verifications that are still held, ended ones too."""
        home = partitions.of_tag(number, self._link.partitions)
        return [
            _last(key)
            for key, packed in self._asked(home, "verification:*", "GET")
            if (record := readable_record(packed)) and (record.number, record.tenant) == (number, tenant)
        ]

    def decisions(self, number: str, tenant: str) -> list[str]:
        """The ids of the decisions about the number that are still held."""
        home = partitions.of_tag(number, self._link.partitions)
        return [
            _last(key)
            for key, flat in self._asked(home, "decision:*", "HGETALL")
            if _fields(flat).get(b"tenant") == tenant.encode() and any(number.encode() in part for part in flat)
        ]

    def erase(self, now: int, number: str, tenant: str, ids: Sequence[str], by: str, why: str) -> None:
        """Forgets the verifications and decisions of these ids with all that hangs on them, and the consent's trail.

        A consent that says `out` stays, without its trail. What a limit has counted stays too.
        """
        home = partitions.of_tag(number, self._link.partitions)
        base, named = prefix(home), set(ids)
        doomed = [
            key
            for page in self._pages(home, "*")
            for key in page
            if named & set(key.split(":")) or f"{key}:".startswith(f"{base}live:{number}:{tenant}:")
        ]
        wanted = [each.encode() for each in ids]
        doomed += [
            key
            for key, answer in self._asked(home, "idempotency:*", "GET")
            if answer and any(each in answer for each in wanted)
        ]
        self.told(now, number, tenant, by, why, list(dict.fromkeys(doomed)))

    def told(self, now: int, tag: str, tenant: str, by: str, why: str, doomed: Sequence[str] = ()) -> None:
        """Tells that what is held under a tag was erased, by whom and why; with it goes a consent that is no `out`, its
        trail, and what else is `doomed`."""
        home = partitions.of_tag(tag, self._link.partitions)
        args: list[Argument] = [now, self._keep_events, tag, tenant, by, why]
        self._link.call(Call(home, "erase", [f"{prefix(home)}consent:{tag}:{tenant}", *doomed], args))

    def _asked(self, home: int, pattern: str, command: str) -> Iterator[tuple[str, Any]]:
        """Each key that fits with the command's answer for it."""
        for page in self._pages(home, pattern):
            yield from zip(page, self._all(home, ((command, key) for key in page)), strict=True)

    def _pages(self, home: int, pattern: str) -> Iterator[list[str]]:
        cursor = b"0"
        while True:
            scan: list[Argument] = ["SCAN", cursor, "MATCH", f"{prefix(home)}{pattern}", "COUNT", _PAGE]
            cursor, found = self._link.command(home, scan)
            yield [key.decode() for key in found]
            if cursor == b"0":
                return

    def _all(self, home: int, commands: Iterable[tuple[str, ...]]) -> list[Any]:
        try:
            pipe = self._link.client(home).pipeline(transaction=False)
            for command in commands:
                # Not by its own name, whose answers the client dresses up.
                pipe.execute_command(*command)
            return [_flat(answer) for answer in pipe.execute()]
        except ERRORS as error:
            raise StoreUnavailable(reason(error)) from None


def _flat(answer: Any) -> Any:
    """A hash as the list that the server sent, whatever the client has made of it."""
    return [part for pair in answer.items() for part in pair] if isinstance(answer, dict) else answer


def _fields(flat: list[bytes]) -> dict[bytes, bytes]:
    return {flat[i]: flat[i + 1] for i in range(0, len(flat), 2)}


def _last(key: str) -> str:
    return key.rpartition(":")[2]
