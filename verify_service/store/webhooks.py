"""Events that wait for the tenants' own endpoints: what is due, what became of a try, what was given up."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from verify_service.errors import StoreUnavailable
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.layouts import Item, Wanted
from verify_service.store.unreadable import passed_over

PAGE = 500
# Longer than a try may take: twice the longest timeout.
LEASE_MS = 45_000
# Of a tenant, over all partitions: a verification with its events takes about a kilobyte.
MOST_WAITING = 100_000

_pack = msgspec.msgpack.Encoder().encode


class Due(NamedTuple):
    """An event whose time has come, with what the stream had of it; `position` is its place there, `tries` those that
    have failed."""

    partition: int
    tenant: str
    id: str
    position: str
    fields: Mapping[str, str]
    tries: int


class Letter(NamedTuple):
    """An event that was given up: why, and when (milliseconds)."""

    event: Due
    why: str
    at: int


def _read(packed: bytes) -> Item:
    """Raises ValueError or msgspec.DecodeError for what is no event."""
    item = Item.open(packed)
    if not item.fields.keys() >= {"id", "event", "at"}:
        raise ValueError("not an event")
    int(item.fields["at"]), int(item.at)
    return item


class WebhookStore:
    """The waiting events of a store. All methods raise StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)
        self._apart = False

    def due(self, now: int, wanted: Sequence[Wanted]) -> tuple[list[Due], int, bool]:
        """Events that are to be tried now, oldest of each verification first, left to the caller for `LEASE_MS`; how
        many were lost to trimming before they were seen; whether more wait to be seen. One round trip; what lies in a
        partition that is silent waits for it."""
        args: list[Argument] = [now, PAGE, LEASE_MS, MOST_WAITING // self._link.partitions, _pack(wanted)]
        found: list[Due] = []
        lost, more = 0, False
        parts = range(self._link.partitions)
        calls = [Call(part, "hooks", [f"{prefix(part)}events", f"{prefix(part)}hooks"], args) for part in parts]
        for part, answer in self._answers(calls):
            page_full, trimmed, unreadable, *taken = answer
            lost, more = lost + trimmed, more or bool(page_full)
            for position in unreadable:
                passed_over("event", "not what webhooks are read from", position=position.decode())
            for tenant, verification_id, packed in taken:
                due = Due(part, tenant.decode(), verification_id.decode(), "", {}, 0)
                try:
                    item = _read(packed)
                except (msgspec.DecodeError, ValueError) as error:
                    passed_over("webhook", type(error).__name__, verification=due.id)
                    self._settle(now, due, "unreadable", "", packed)
                    continue
                found.append(due._replace(position=item.position, fields=item.fields, tries=item.tries))
        return found, lost, more

    def _answers(self, calls: Sequence[Call]) -> list[tuple[int, Any]]:
        """Each partition's answer, in one pipeline. Where one is silent, all are asked apart until it is back: a
        pipeline that fails has taken from the others what nobody then delivers until its lease ends."""
        if not self._apart:
            self._apart = len(calls) > 1
            answers = list(zip((call.partition for call in calls), self._link.pipeline(calls), strict=True))
            self._apart = False
            return answers
        answers, silent = [], None
        for call in calls:
            try:
                answers.append((call.partition, self._link.call(call)))
            except StoreUnavailable as error:
                silent = error
        self._apart = silent is not None
        if silent and not answers:
            raise silent
        return answers

    def done(self, now: int, due: Due) -> None:
        """The endpoint has it; the next of the same verification is due."""
        self._settle(now, due, "done", "")

    def again(self, now: int, due: Due, after_ms: int) -> None:
        """It is to be tried again, and what comes after it waits for it."""
        self._settle(now, due, "again", after_ms)

    def bury(self, now: int, due: Due, why: str) -> None:
        """It is given up, and the next of the same verification is due."""
        self._settle(now, due, "dead", why)

    def turn_off(self, now: int, tenant: str) -> bool:
        """Nothing more goes to the tenant's endpoint: its events become dead letters. False where it was so before."""
        calls = [
            Call(part, "hooks_off", [_key(part, tenant, "off")], [now, self._keep_events, "" if part else tenant])
            for part in range(self._link.partitions)
        ]
        return bool(self._link.pipeline(calls)[0])

    def dead(self, tenant: str, most: int = 0) -> list[Letter]:
        """What was given up, the newest first: at most a thousand a partition, for thirty days; with `most`, the newest
        so many of each partition."""
        letters = []
        for part in range(self._link.partitions):
            for packed in self._link.command(part, ["LRANGE", _key(part, tenant, "dead"), 0, most - 1]):
                try:
                    item = _read(packed)
                    due = Due(part, tenant, item.fields["id"], item.position, item.fields, item.tries)
                    letters.append(Letter(due, item.why, int(item.at)))
                except (msgspec.DecodeError, ValueError) as error:
                    passed_over("webhook", type(error).__name__)
        return sorted(letters, key=lambda letter: -letter.at)

    def replay(self, now: int, tenant: str) -> int:
        """Has all dead letters tried again, at an endpoint that is on again; answers how many they are."""
        parts = range(self._link.partitions)
        calls = [Call(part, "hooks_replay", [_key(part, tenant, "dead")], [now]) for part in parts]
        return sum(self._link.pipeline(calls))

    def counts(self, tenants: Sequence[str]) -> tuple[int, int]:
        """How many verifications have events waiting, and how many dead letters there are."""
        waiting = dead = 0
        for part in range(self._link.partitions):
            for tenant in tenants:
                waiting += self._link.command(part, ["ZCARD", _key(part, tenant, "due")])
                dead += self._link.command(part, ["LLEN", _key(part, tenant, "dead")])
        return waiting, dead

    def _settle(self, now: int, due: Due, outcome: str, more: Argument, known_by: bytes = b"") -> None:
        args: list[Argument] = [now, due.id, known_by or due.position, outcome, more]
        self._link.call(Call(due.partition, "hooked", [_key(due.partition, due.tenant, "due")], args))


def _key(partition: int, tenant: str, what: str) -> str:
    return f"{prefix(partition)}hooks:{tenant}:{what}"
