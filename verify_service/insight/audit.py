"""The audit log as people and programs outside see it, and whether it is whole."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from verify_service.duration import rfc3339
from verify_service.store.audit import Audit, Kept


class Head(NamedTuple):
    """The newest entry's number and seal: noted elsewhere, it shows a log that was cut behind it."""

    seq: int
    seal: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.seal}"


class Verified(NamedTuple):
    """What was looked at: how many entries, from which number to which head; and what is wrong, a sentence each."""

    entries: int
    first: int
    head: Head
    faults: tuple[str, ...]


def shown(kept: Kept) -> dict[str, Any]:
    """An entry, ready for JSON; of one that cannot be read, its number alone."""
    entry = kept.entry
    if entry is None:
        return {"seq": _number(kept.name), "unreadable": True, "seal": kept.seal}
    fields = msgspec.to_builtins(entry)
    told = {"seq": entry.seq, "at": rfc3339(entry.at), "who": entry.who, "from": entry.from_, "act": entry.act}
    told |= {"target": entry.target, "why": entry.why, "outcome": entry.outcome, "of": entry.of or None}
    return told | {"more": fields.get("more", {}), "before": entry.before, "seal": kept.seal}


def verify(audit: Audit, noted: Head | None = None) -> Verified:
    """Whether the log is what was written: no entry changed, put in, taken out or moved, none cut off in front but by
    its bound, and, by a head that was `noted` before, none cut off behind. Raises StoreUnavailable."""
    faults: list[str] = []
    count, first, head = 0, 0, Head(0, "")
    met = noted is None
    for kept in audit.all():
        seq = _number(kept.name)
        first = first or seq
        faults += _faults(audit, kept, head, count)
        count, head = count + 1, Head(seq, kept.seal)
        if noted and seq == noted.seq:
            met = True
            if kept.seal != noted.seal:
                faults.append(f"entry {seq} is another one than was noted")
    if first > 1 and count < audit.keep:
        faults.insert(0, f"entries 1 to {first - 1} are gone, and the log had room for them")
    if not met and noted:
        faults.append(_unmet(noted, first, head))
    return Verified(count, first, head, tuple(faults))


def _faults(audit: Audit, kept: Kept, last: Head, count: int) -> Iterator[str]:
    """What is wrong with an entry behind the `last` of `count`."""
    seq, entry = _number(kept.name), kept.entry
    if count and seq > last.seq + 1:
        missing = f"entry {seq - 1} is" if seq == last.seq + 2 else f"entries {last.seq + 1} to {seq - 1} are"
        yield f"{missing} missing"
    if entry is None or audit.seal(kept.packed) != kept.seal:
        yield f"entry {seq} was changed, moved or forged, or another VERIFY_TAG_KEY sealed it"
    elif count and seq == last.seq + 1 and entry.before != last.seal:
        yield f"entry {seq} does not follow the one before it"
    elif seq == 1 and entry.before:
        yield "entry 1 is not the beginning"


def _unmet(noted: Head, first: int, head: Head) -> str:
    if noted.seq > head.seq:
        return (
            f"the log ends with entry {head.seq}, and {noted.seq} was noted: it was cut, or a failover or restart lost "
            "what the store had answered"
        )
    if noted.seq < first:
        return f"entry {noted.seq} is no longer kept, so that nothing can be said by it: note a newer one"
    return f"entry {noted.seq}, which was noted, is missing"


def _number(name: str) -> int:
    return int(name.partition("-")[0])
