"""The outbox: one stream per partition, read by the dispatchers as one consumer group."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from verify_service.errors import StoreUnavailable
from verify_service.model import Clock
from verify_service.store.clock import SystemClock
from verify_service.store.connection import ERRORS, Argument, Call, Link, prefix, reason
from verify_service.store.deliveries import Deliveries, Named, tag_of
from verify_service.store.entries import Came, Entry, Overdue, Settlement, Unreadable, read_entry
from verify_service.store.layouts import Delivery, Due, Happened, Outcome
from verify_service.store.unreadable import passed_over
from verify_service.telemetry import BLOCKS, SETTLED

GROUP = "dispatch"
NOBODY = "nobody"
ALIVE_KEY = "vs:{0}:dispatcher"
ALIVE_MS = 3_000
CLAIM_MOST = 500


class Outbox:
    """The outboxes of a store. All methods raise StoreUnavailable. `clock` says when what cannot be read was found."""

    def __init__(self, link: Link, keep_events: int, deliveries: Deliveries) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)
        self._deliveries = deliveries
        self.clock: Clock = SystemClock()

    @property
    def partitions(self) -> int:
        return self._link.partitions

    def take(self, partition: int, consumer: str, count: int, block_ms: int) -> list[Entry]:
        """New entries for this consumer, waiting up to `block_ms` for the first."""
        stream = f"{prefix(partition)}outbox"
        command: list[Any] = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", count]
        if block_ms:
            command += ["BLOCK", block_ms]
        answer = self._link.command(partition, [*command, "STREAMS", stream, ">"], wait=block_ms / 1000)
        return self._readable(partition, answer[0][1] if answer else ())

    def claim(self, partition: int, consumer: str, idle_ms: int, count: int, alive_ms: int = 0) -> list[Entry]:
        """Renews this consumer's lease of `idle_ms`; at most `count` entries of consumers whose leases have ended, and
        that nobody has refreshed for as long: their dispatcher is dead. Says for `alive_ms` that a dispatcher lives, in
        the first partition."""
        args: list[Argument] = [consumer, idle_ms, idle_ms, min(count, CLAIM_MOST), alive_ms]
        return self._entries(partition, "inherit", args)

    def reread(self, partition: int, consumer: str, entries: Sequence[str]) -> list[Entry]:
        """Those of the entries that are not settled yet and still this consumer's."""
        return self._entries(partition, "reread", [consumer, *entries])

    def pending(self, partition: int, consumer: str, idle_ms: int, after: str, count: int) -> list[str]:
        """What this consumer holds and has not refreshed for so long: the next `count` behind `after`, '' at first."""
        stream = f"{prefix(partition)}outbox"
        start = f"({after}" if after else "-"
        command: list[Any] = ["XPENDING", stream, GROUP, "IDLE", idle_ms, start, "+", count, consumer]
        return [each[0].decode() for each in self._link.command(partition, command)]

    def leave(self, partition: int, entries: Sequence[str]) -> None:
        """Leaves entries of this consumer to others, which claim them as those of a dead one."""
        if entries:
            stream = f"{prefix(partition)}outbox"
            self._link.command(partition, ["XCLAIM", stream, GROUP, NOBODY, 0, *entries, "JUSTID"])

    def resign(self, consumer: str) -> None:
        """Ends this consumer's leases: what it still holds need not wait for that."""
        for part in range(self.partitions):
            self._link.command(part, ["DEL", f"{prefix(part)}dispatcher:{consumer}"])

    def _entries(self, partition: int, function: str, args: Sequence[Argument]) -> list[Entry]:
        items = self._link.call(Call(partition, function, [f"{prefix(partition)}outbox"], args))
        return self._readable(partition, items)

    def _readable(self, partition: int, items: Sequence[tuple[bytes, list[bytes]]]) -> list[Entry]:
        """Entries as their stream has them, each read by itself. What cannot be read is taken out of it; where it was a
        verification's message, the timeline says `failed`, and why."""
        found = []
        for item in items:
            entry = read_entry(partition, *item)
            if isinstance(entry, Entry):
                found.append(entry)
            else:
                with suppress(StoreUnavailable):  # Then it is met again; those that can be read are ours, and go out.
                    self._bury(entry)
        return found

    def _bury(self, entry: Unreadable) -> None:
        args: list[Argument] = [self.clock.now(), self._keep_events, entry.entry, entry.id, entry.reason]
        if self._link.call(Call(entry.partition, "bury", [f"{prefix(entry.partition)}outbox"], args)):
            SETTLED.labels("failed").inc()
            passed_over("message", entry.reason, entry=entry.entry, verification=entry.id)

    def refresh(self, partition: int, consumer: str, entries: Sequence[str]) -> None:
        """Says that this consumer still works on the entries: to dispatchers of a version that knows no leases."""
        if entries:
            stream = f"{prefix(partition)}outbox"
            self._link.command(partition, ["XCLAIM", stream, GROUP, consumer, 0, *entries, "JUSTID"])

    def forget_idle_consumers(self, partition: int, idle_ms: int) -> None:
        """Removes consumers that hold nothing and have been silent: each dispatcher process has a name of its own."""
        stream = f"{prefix(partition)}outbox"
        try:
            client = self._link.client(partition)
            for consumer in client.xinfo_consumers(stream, GROUP):
                if consumer["idle"] > idle_ms and not consumer["pending"]:
                    client.xgroup_delconsumer(stream, GROUP, consumer["name"])
        except ERRORS as error:
            raise StoreUnavailable(reason(error)) from None

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Acknowledges, deletes and writes the timeline of each, and whose message a provider's id names, in one round
        trip, all of a partition in one step; one more for a receipt that came before this."""
        calls = self._settling(settlements)
        naming = self._deliveries.naming(
            [
                Named(by.provider, by.provider_id, _delivery(each), max(0, each.entry.expires_at - each.events[-1].at))
                for each in settlements
                if (by := each.sent)
            ]
        )
        answers = self._link.pipeline([*calls, *(call for call, _ in naming)])
        for (_, named), early in zip(naming, answers[len(calls) :], strict=True):
            self._deliveries.early(named, early)

    def _settling(self, settlements: Sequence[Settlement]) -> list[Call]:
        outcomes: dict[int, list[Outcome]] = {}
        for each in settlements:
            events = [Happened(line.at, line.event, line.provider or "", line.reason or "") for line in each.events]
            outcome = Outcome(each.mark, _delivery(each), events, _due(each))
            outcomes.setdefault(each.entry.partition, []).append(outcome)
        return [
            Call(part, "settle", [f"{prefix(part)}outbox"], [self._keep_events, msgspec.msgpack.encode(own)])
            for part, own in outcomes.items()
        ]

    def overdue(self, partition: int, now: int, most: int) -> list[Overdue]:
        """Queues again what has waited too long for its receipt."""
        args: list[Argument] = [now, self._keep_events, most]
        found = self._link.call(Call(partition, "overdue", [f"{prefix(partition)}waiting"], args))
        for way, *_ in found:
            if not way:
                passed_over("waiting", "not what waits for a receipt")
        return [Overdue(way.decode(), at, bool(entered)) for way, at, entered in found if way]

    def are_wanted(self, entries: Sequence[Entry]) -> list[bool]:
        """Whether each verification still waits for its entry's code: not ended, not given another code since, and of
        a number that has not opted out meanwhile. True of what has no code, and where its partition is silent. One
        round trip."""
        codes: dict[int, list[Entry]] = {}
        for entry in entries:
            if entry.nonce:
                codes.setdefault(entry.partition, []).append(entry)
        calls = []
        for part, own in codes.items():
            ids = [f"{prefix(part)}verification:{each.id}" for each in own]
            consents = [f"{prefix(part)}consent:{each.content.number}:{each.tenant}" for each in own]
            calls.append(Call(part, "wanted", [*ids, *consents], [each.nonce for each in own]))
        unwanted: set[tuple[int, str]] = set()
        with suppress(StoreUnavailable):
            answers = self._link.pipeline(calls, range(len(calls))) if calls else []
            for (part, own), answer in zip(codes.items(), answers, strict=True):
                unwanted |= {(part, own[place - 1].entry) for place in answer or ()}
        return [(entry.partition, entry.entry) not in unwanted for entry in entries]

    def carry(self, partition: int, most: int, came: Callable[[Came], None] = lambda _: None) -> bool:
        """Carries what is owed to other partitions, and tells of the receipts that came, each once to one dispatcher;
        True where more is waiting."""
        base = prefix(partition)
        keys = [f"{base}carry", f"{base}events", f"{base}credits"]
        more, *told = self._link.call(Call(partition, "carried", keys, [most]))
        calls: list[Call] = []
        for what, *parts in told:
            try:
                calls += self._told(what.decode(), *(part.decode() for part in parts), came=came)
            except ValueError as error:
                passed_over("event", type(error).__name__)
        if calls:
            self._link.pipeline(calls)
        return bool(more)

    def _told(self, what: str, *parts: str, came: Callable[[Came], None]) -> Iterator[Call]:
        """What one answer of `carried` has to be passed on to. Raises ValueError for what cannot be read."""
        match what:
            case "unreadable":
                passed_over("event", "not what is carried", position=parts[0])
            case "receipt":
                way, event, permanent, price, corrects = parts
                came(Came(way, event == "delivered", permanent == "1", int(price or 0), corrects == "1"))
            case "block":
                BLOCKS.labels(*parts).inc()
            case _:
                owner, hit, at, more = parts
                if int(owner) not in range(self.partitions):
                    raise ValueError("no such partition")
                yield Call(int(owner), what, [f"{prefix(int(owner))}limit:{hit}"], [int(at), more])

    def refunded(self, at: int) -> None:
        """Says in every partition that the refunds of all approvals up to `at` are given there; needless where one
        is all."""
        if self.partitions > 1:
            parts = range(self.partitions)
            self._link.pipeline([Call(part, "refunded", [f"{prefix(part)}credited"], [at]) for part in parts])

    def alive(self) -> bool:
        """Whether any dispatcher has said that it lives (`claim`)."""
        return bool(self._link.command(0, ["EXISTS", ALIVE_KEY]))

    def dispatchers(self) -> int:
        """How many dispatchers hold a lease: all that read the first partition's outbox, as each of them does."""
        stream = f"{prefix(0)}outbox"
        known = self._link.command(0, ["XINFO", "CONSUMERS", stream, GROUP])
        leases = [f"{prefix(0)}dispatcher:{consumer[1].decode()}" for consumer in known]
        return int(self._link.command(0, ["EXISTS", *leases])) if leases else 0

    def depth(self) -> int:
        """Entries not settled yet, over all partitions."""
        return sum(self._link.command(part, ["XLEN", f"{prefix(part)}outbox"]) for part in range(self.partitions))

    def prepare(self) -> None:
        """Makes the consumer group of each partition; one whose node is silent gets it when it is back (`regroup`)."""
        silent = []
        for part in range(self.partitions):
            try:
                self.regroup(part)
            except StoreUnavailable as error:
                silent.append(error)
        if len(silent) == self.partitions:
            raise silent[0]

    def regroup(self, partition: int) -> None:
        """Makes the consumer group of one partition, where it is missing."""
        try:
            self._link.client(partition).xgroup_create(f"{prefix(partition)}outbox", GROUP, id="0", mkstream=True)
        except ERRORS as error:
            if "BUSYGROUP" not in str(error):
                raise StoreUnavailable(reason(error)) from None


def _due(settlement: Settlement) -> Due | None:
    entry, sent = settlement.entry, settlement.sent
    if settlement.late or not sent or sent.due is None:
        return None
    life = max(1, entry.expires_at - settlement.events[-1].at)
    return Due(sent.due, tag_of(sent.provider, sent.provider_id), sent.provider, sent.way, sent.within, life)


def _delivery(settlement: Settlement) -> Delivery:
    entry, sent = settlement.entry, settlement.sent
    channel = settlement.channel or entry.channel
    about = Delivery(entry.id, entry.entry, entry.tenant, entry.content.number, channel, entry.content.country)
    if sent is None:
        return about
    told = {"way": sent.way, "text": sent.text, "priced": sent.priced, "traceparent": sent.traceparent}
    return msgspec.structs.replace(about, at=settlement.events[-1].at, **told)
