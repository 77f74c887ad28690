"""The outbox: one stream per partition, read by the dispatchers as one consumer group."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from verify_service.errors import StoreUnavailable
from verify_service.model import TimelineEvent
from verify_service.store import partitions
from verify_service.store.connection import ERRORS, Call, Link, prefix, reason
from verify_service.telemetry import BLOCKS

GROUP = "dispatch"
ALIVE_KEY = "vs:{0}:dispatcher"
ALIVE_MS = 3_000
CLAIM_MOST = 500


class Entry(NamedTuple):
    """One message to send, as the start script queued it. Times in milliseconds; `to` is sealed."""

    partition: int
    entry: str
    id: str
    tenant: str
    number: str
    purpose: str
    channel: str
    kid: str
    nonce: str
    to: bytes
    expires_at: int
    country: str
    digits: int
    locale: str
    app_hash: str
    origin: str


class Settlement(NamedTuple):
    """What became of an entry."""

    entry: Entry
    events: Sequence[TimelineEvent]


class Outbox:
    """The outboxes of a store. All methods raise StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)

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
        return [_entry(partition, *item) for item in (answer[0][1] if answer else ())]

    def claim(self, partition: int, consumer: str, idle_ms: int, count: int) -> list[Entry]:
        """Entries of consumers that have not refreshed them for `idle_ms`: their dispatcher is dead.

        Looks through all that is pending, however much of it the living hold; about `count` at the most.
        """
        stream = f"{prefix(partition)}outbox"
        found: list[Entry] = []
        cursor = b"0-0"
        while len(found) < count:
            command: list[Any] = ["XAUTOCLAIM", stream, GROUP, consumer, idle_ms, cursor, "COUNT", CLAIM_MOST]
            cursor, items, *_ = self._link.command(partition, command)
            found += [_entry(partition, *item) for item in items if item[1]]
            if cursor == b"0-0":
                break
        return found

    def refresh(self, partition: int, consumer: str, entries: Sequence[str]) -> None:
        """Says that this consumer still works on the entries, so nobody claims them."""
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
        """Acknowledges, deletes and writes the timeline of each, in one round trip."""
        calls = []
        for entry, events in settlements:
            args: list[str | bytes | int] = [entry.entry, entry.id, self._keep_events, entry.tenant]
            for event in events:
                args += [event.at, event.event, event.provider or "", event.reason or ""]
            calls.append(Call(entry.partition, "settle", [f"{prefix(entry.partition)}outbox"], args))
        self._link.burst(calls)

    def report(self, verification_id: str, event: TimelineEvent) -> bool:
        """Writes a late receipt into the timeline; False for an unknown verification."""
        part = partitions.of_id(verification_id, self._link.partitions)
        key = f"{prefix(part)}verification:{verification_id}"
        args = [event.at, event.event, event.provider or "", event.reason or "", self._keep_events]
        return bool(self._link.call(Call(part, "report", [key], args)))

    def is_wanted(self, entry: Entry) -> bool:
        """Whether the verification still waits for this entry's code: not ended, and not given another code since."""
        key = f"{prefix(entry.partition)}verification:{entry.id}"
        status, nonce = self._link.command(entry.partition, ["HMGET", key, "status", "nonce"])
        return bool(status == b"pending" and nonce == entry.nonce.encode())

    def credit(self, partition: int, most: int) -> bool:
        """Carries what approvals and wrong codes since the last call credit elsewhere; True where more is waiting."""
        base = prefix(partition)
        more, *foreign = self._link.call(Call(partition, "credits", [f"{base}events", f"{base}credits"], [most]))
        calls = []
        for part, limit, nonce, at in foreign:
            if not part:
                BLOCKS.labels(limit.decode(), nonce.decode(), at.decode()).inc()
                continue
            owner = int(part)
            key = f"{prefix(owner)}limit:{limit.decode()}"
            if nonce == b"wrong":
                calls.append(Call(owner, "mistyped", [key], [at]))
                continue
            undo = nonce.startswith(b"undo:")
            what = "won" if limit.startswith(b"watch:") and not undo else "release"
            calls.append(Call(owner, what, [key], [at, nonce.removeprefix(b"undo:")]))
        if calls:
            self._link.burst(calls)
        return bool(more)

    def credited(self, at: int) -> None:
        """Says in every partition that all approvals up to `at` have been credited there; needless where one is all."""
        if self.partitions > 1:
            parts = range(self.partitions)
            self._link.burst([Call(part, "credited", [f"{prefix(part)}credited"], [at]) for part in parts])

    def beat(self) -> None:
        """Says for three seconds that a dispatcher is alive."""
        self._link.command(0, ["SET", ALIVE_KEY, "1", "PX", ALIVE_MS])

    def alive(self) -> bool:
        """Whether any dispatcher has said so."""
        return bool(self._link.command(0, ["EXISTS", ALIVE_KEY]))

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


def _entry(partition: int, entry: bytes, flat: list[bytes]) -> Entry:
    fields = {flat[i]: flat[i + 1] for i in range(0, len(flat), 2)}
    return Entry(
        partition=partition,
        entry=entry.decode(),
        id=fields[b"id"].decode(),
        tenant=fields[b"tenant"].decode(),
        number=fields[b"number"].decode(),
        purpose=fields[b"purpose"].decode(),
        channel=fields[b"channel"].decode(),
        kid=fields[b"kid"].decode(),
        nonce=fields[b"nonce"].decode(),
        to=fields[b"to"],
        expires_at=int(fields[b"expires_at"]),
        country=fields[b"country"].decode(),
        digits=int(fields[b"digits"]),
        locale=fields[b"locale"].decode(),
        app_hash=fields[b"app_hash"].decode(),
        origin=fields[b"origin"].decode(),
    )
