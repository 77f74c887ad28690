"""Why a start was refused, and what would become of one: records that are kept for an hour, and looks that write
nothing. Also an operator's unlock."""

from collections.abc import Mapping, Sequence

import msgspec

from verify_service.packing import text
from verify_service.policy.decisions import Decision, decision
from verify_service.policy.hits import Hit, specs
from verify_service.policy.static_rules import StaticVerdict
from verify_service.policy.verdicts import Judged
from verify_service.routing import CHANNELS
from verify_service.store import partitions
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.deliveries import unreachable_keys
from verify_service.store.layouts import Context, Facts, Refusal

KEEP_MS = 3_600_000
_SCAN = 1000

_judged = msgspec.msgpack.Decoder(list[Judged])
_statics = msgspec.json.Decoder(list[StaticVerdict])


class Decisions:
    """The decision records of a store."""

    def __init__(self, link: Link, keep_events: str) -> None:
        self._link = link
        self._keep_events = keep_events

    def refuse(self, now: int, decision_id: str, refusal: Refusal, hits: Sequence[Hit] = ()) -> str:
        """Records a refused start and its event; it has counted for nothing. `hits` are judged for the record, as far
        as they can be. Answers the id of the record, which repeats share: `decision_id` where it is new. Raises
        StoreUnavailable."""
        judged: list[bytes] = []
        if hits:
            judged, unjudged = self.judged(now, split(hits, self._link.partitions))
            context = msgspec.structs.replace(refusal.context, unjudged=unjudged)
            refusal = msgspec.structs.replace(refusal, context=context)
        home = partitions.of_id(decision_id, self._link.partitions)
        key = f"{prefix(home)}decision:{decision_id}"
        args: list[Argument] = [now, self._keep_events, refusal.pack()]
        recorded: bytes = self._link.call(Call(home, "refuse", [key], [*args, *judged]))
        return recorded.decode()

    def add(self, decision_id: str, judged: Sequence[bytes], unjudged: Sequence[str]) -> None:
        """Adds what was judged in other partitions, or could not be, to a record that the start script has made."""
        home = partitions.of_id(decision_id, self._link.partitions)
        key = f"{prefix(home)}decision:{decision_id}"
        fields = [part for place, packed in enumerate(judged, 1) for part in (f"judged:{place}", packed)]
        self._link.command(home, ["HSET", key, *fields, "unjudged", ",".join(unjudged)])

    def read(self, now: int, tenant: str, decision_id: str) -> Decision | None:
        """A decision on a start of the tenant, for an hour. Raises StoreUnavailable."""
        return self.read_all(now, [(tenant, decision_id)])[0]

    def read_all(self, now: int, asked: Sequence[tuple[str, str]]) -> list[Decision | None]:
        """The same of many, by tenant and id, in one trip to each partition."""
        found: list[Decision | None] = [None] * len(asked)
        for part in range(self._link.partitions):
            here = [place for place, (_, id) in enumerate(asked) if partitions.of_id(id, self._link.partitions) == part]
            asks = [["HGETALL", f"{prefix(part)}decision:{asked[place][1]}"] for place in here]
            for place, flat in zip(here, self._link.commands(part, asks) if asks else (), strict=True):
                found[place] = _opened(now, *asked[place], flat)
        return found

    def explain(self, now: int, hits: Sequence[Hit]) -> list[bytes]:
        """What the limits would say of a start, packed: one trip, and nothing is written. Raises StoreUnavailable."""
        return self._link.pipeline(explaining(now, split(hits, self._link.partitions)))

    def counted(self, hits: Sequence[Hit]) -> list[Hit]:
        """Those of the hits whose key counts anything yet. Raises StoreUnavailable."""
        found: list[Hit] = []
        for part, own in split(hits, self._link.partitions).items():
            held = self._link.command(part, ["MGET", *(prefix(part) + hit.key for hit in own)])
            found += [hit for hit, packed in zip(own, held, strict=True) if packed]
        return found

    def judged(self, now: int, by_partition: Mapping[int, Sequence[Hit]]) -> tuple[list[bytes], list[str]]:
        """The same for the record of a refusal, which does without partitions that are silent: what limits say, and
        the names of those that could not be asked. Raises StoreUnavailable."""
        calls = explaining(now, by_partition)
        answers = self._link.pipeline(calls, optional=range(len(calls)))
        silent = [hits for hits, answer in zip(by_partition.values(), answers, strict=True) if answer is None]
        return [answer for answer in answers if answer is not None], [hit.name for hits in silent for hit in hits]

    def opted_out(self, numbers: Sequence[str], tenant: str) -> bool:
        """Whether an opt-out stands under one of the tags: none is asked for where there are none."""
        for number in numbers:
            home = partitions.of_tag(number, self._link.partitions)
            if self._link.command(home, ["GET", f"{prefix(home)}consent:{number}:{tenant}"]) == b"out":
                return True
        return False

    def pending(self, now: int, number: str, tenant: str, purpose: str, former: Sequence[str] = ()) -> tuple[str, int]:
        """What else stands in the way of a text to a number and for how many milliseconds: opted-out, unreachable,
        cooldown, sends-exhausted or ''. `former` are tags that the number had in earlier versions.

        Writes nothing. Raises StoreUnavailable.
        """
        if self.opted_out(former, tenant):
            return "opted-out", 0
        home = partitions.of_tag(number, self._link.partitions)
        base = prefix(home)
        keys = [f"{base}live:{number}:{tenant}:{purpose}", f"{base}consent:{number}:{tenant}"]
        keys += unreachable_keys(number, ("sms",), self._link.partitions)
        kind, wait = self._link.call(Call(home, "explain_pending", keys, [now]))
        return kind.decode(), wait

    def unlock(
        self, now: int, tag: str, by: str, reason: str, others: Sequence[tuple[str, str]] = (), tenant: str = ""
    ) -> int:
        """Forgets what limits have counted of a number, wrong codes included, and what carriers said of it; and says so
        in the events. With a `tenant`, the tag is of a user of that one.

        Answers how many counts there were; `others` are owners and keys of further ones. Looks through the keys of the
        tag's partition, since a limit may count the number together with what is not known here. Raises
        StoreUnavailable.
        """
        home = partitions.of_tag(tag, self._link.partitions)
        base = prefix(home)
        keys: list[str] = []
        cursor = b"0"
        while True:
            scan: list[Argument] = ["SCAN", cursor, "MATCH", f"{base}limit:*:{tag}*", "COUNT", _SCAN]
            cursor, found = self._link.command(home, scan)
            keys += [key.decode() for key in found]
            if cursor == b"0":
                break
        if not tenant:
            keys += unreachable_keys(tag, CHANNELS, self._link.partitions)
        # The partition's base goes along as a key too, so that a cluster finds the way where no count is left.
        args: list[Argument] = [now, self._keep_events, tag, by, reason, tenant]
        forgotten = self._link.call(Call(home, "unlock", [f"{base}unlock", *dict.fromkeys(keys)], args))
        for owner, key in others:
            part = partitions.of_tag(owner, self._link.partitions)
            forgotten += self._link.command(part, ["DEL", prefix(part) + key])
        return int(forgotten)


def _opened(now: int, tenant: str, decision_id: str, flat: list[bytes]) -> Decision | None:
    """A record, where it is one of the tenant's and not too old."""
    fields = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
    if not fields or fields["tenant"].decode() != tenant or now >= int(fields["at"]) + KEEP_MS:
        return None
    return decision(
        id=decision_id,
        at=int(fields["at"]),
        revision=int(fields["revision"]),
        by=fields["by"].decode() or None,
        wait=int(fields["wait"]),
        static=_statics.decode(fields["statics"]) if fields["statics"] else (),
        judged=[each for name, packed in fields.items() if name.startswith("judged") for each in unpack(packed)],
        unjudged=tuple(filter(None, fields["unjudged"].decode().split(","))),
        count=int(fields.get("count", 1)),
        last_at=int(fields.get("last", fields["at"])),
    )


def refusal_of(id: str, refused: str, by: str, context: Context, facts: Facts) -> Refusal:
    """A start that was refused by a rule that needs no count."""
    return Refusal(id, facts.tenant, refused, by, 0, context, text(facts.pack()))


def split(hits: Sequence[Hit], count: int) -> Mapping[int, list[Hit]]:
    """The hits by the partition of their owner."""
    found: dict[int, list[Hit]] = {}
    for hit in hits:
        found.setdefault(partitions.of_tag(hit.owner, count), []).append(hit)
    return found


def explaining(now: int, by_partition: Mapping[int, Sequence[Hit]]) -> list[Call]:
    """The calls that judge hits and write nothing."""
    return [
        Call(part, "explain", [prefix(part) + hit.key for hit in hits], [now, *specs(hits)])
        for part, hits in by_partition.items()
    ]


def unpack(packed: bytes) -> list[Judged]:
    """The verdicts that a script packed."""
    if packed == b"\x80":  # Lua has one kind of empty table.
        return []
    return _judged.decode(packed)
