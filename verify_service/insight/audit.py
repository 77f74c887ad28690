"""The audit log as people and programs outside see it, and whether it is whole."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from verify_service.duration import rfc3339
from verify_service.errors import InvalidRequest
from verify_service.store.audit import Audit, Kept


class Head(NamedTuple):
    """The newest entry's number and seal: noted elsewhere, it shows a log that was cut behind it."""

    seq: int
    seal: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.seal}"


class Asked(NamedTuple):
    """Which entries: of all or only of one `who`, `act` or `outcome`; the newest first and before a number, or the
    oldest first and `after` one."""

    only: Mapping[str, str]
    limit: int
    before: int | None
    after: int | None


class Answer(NamedTuple):
    """Entries, and the number with which the next ones are asked for, None where there are none."""

    entries: tuple[Kept, ...]
    on: int | None


class Verified(NamedTuple):
    """What was looked at: how many entries, from which number to which head; and what is wrong, a sentence each."""

    entries: int
    first: int
    head: Head
    faults: tuple[str, ...]


_LOOKS, _PAGE = 5, 1000
"""What one question goes through: so many pages of entries."""
_NUMBER = (r"0|[1-9][0-9]{0,14}", "is an entry's number")
_FORMS = {
    "who": (r".{1,200}", "is a name as entries have it"),
    "act": (r"[a-z-]{1,32}", "is an act as entries have it, such as push"),
    "outcome": (r"allowed|refused|failed", "is allowed, refused or failed"),
    "limit": (r"[1-9][0-9]?|1[0-9]{2}|200", "is 1 to 200"),
    "before": _NUMBER,
    "after": _NUMBER,
}
USUAL = 50
"""Entries in an answer."""


def asked(said: Mapping[str, str]) -> Asked:
    """The question that names and texts ask, as of a query. Raises InvalidRequest."""
    wrong = [(name, "is no filter") for name in said if name not in _FORMS]
    wrong += [
        (name, words) for name, (form, words) in _FORMS.items() if name in said and not re.fullmatch(form, said[name])
    ]
    if "before" in said and "after" in said:
        wrong.append(("after", "goes without `before`"))
    if wrong:
        raise InvalidRequest(*wrong[0], wrong[1:])
    before, after = (int(said[name]) if name in said else None for name in ("before", "after"))
    only = {name: said[name] for name in ("who", "act", "outcome") if name in said}
    return Asked(only, int(said.get("limit", USUAL)), before, after)


def answered(audit: Audit, ask: Asked) -> Answer:
    """The entries that are asked for. A look has a bound: where few fit, it may find fewer than there are, and goes on
    by what it answers. Raises StoreUnavailable."""
    found: list[Kept] = []
    before, after = ask.before, ask.after
    for _ in range(_LOOKS):
        page = audit.newest(_PAGE, before) if after is None else audit.after(after, _PAGE)
        for kept in page:
            if after is None:
                before = number(kept)
            else:
                after = number(kept)
            if _fits(kept, ask.only):
                found.append(kept)
                if len(found) == ask.limit:
                    return Answer(tuple(found), before if after is None else after)
        if len(page) < _PAGE:
            return Answer(tuple(found), None)
    return Answer(tuple(found), before if after is None else after)


def _fits(kept: Kept, only: Mapping[str, str]) -> bool:
    """What cannot be read is kept from nobody."""
    entry = kept.entry
    return entry is None or all(getattr(entry, name) == value for name, value in only.items())


def shown(kept: Kept) -> dict[str, Any]:
    """An entry, ready for JSON; of one that cannot be read, its number alone."""
    entry = kept.entry
    if entry is None:
        return {"seq": number(kept), "unreadable": True, "seal": kept.seal}
    told = {"seq": entry.seq, "at": rfc3339(entry.at), "who": entry.who, "from": entry.from_, "act": entry.act}
    told |= {"target": entry.target, "why": entry.why, "outcome": entry.outcome, "of": entry.of or None}
    return told | {"more": entry.more, "before": entry.before, "seal": kept.seal}


def line(kept: Kept) -> str:
    """An entry as a person reads it."""
    entry = kept.entry
    if entry is None:
        return f"{number(kept):>6}  this entry cannot be read: it was changed, or another VERIFY_TAG_KEY sealed it"
    who = f"{entry.who} ({entry.from_})" if entry.from_ else entry.who
    more = [f"{name}={value}" for name, value in entry.more.items()]
    what = " ".join(filter(None, [entry.act, entry.target, *more]))
    outcome = "" if entry.outcome == "allowed" else f"  {entry.outcome}{f', entry {entry.of}' if entry.of else ''}"
    return f"{entry.seq:>6}  {rfc3339(entry.at)}  {who}  {what}{outcome}{f': {entry.why}' if entry.why else ''}"


def verify(audit: Audit, noted: Head | None = None) -> Verified:
    """Whether the log is what was written: no entry changed, put in, taken out or moved, none cut off in front but by
    its bound, and, by a head that was `noted` before, none cut off behind. Raises StoreUnavailable."""
    faults: list[str] = []
    count, first, head = 0, 0, Head(0, "")
    met = noted is None
    for kept in audit.all():
        seq = number(kept)
        first = first or seq
        faults += _faults(audit, kept, head, count)
        count, head = count + 1, Head(seq, kept.seal)
        if noted and seq == noted.seq:
            met = True
            if kept.seal != noted.seal:
                faults.append(f"entry {seq} is another one than was noted")
    if first > 1 and count < audit.keep:
        gone = "entry 1 is" if first == 2 else f"entries 1 to {first - 1} are"
        faults.insert(0, f"{gone} gone, and the log had room for more")
    if not met and noted:
        faults.append(_unmet(noted, first, head))
    return Verified(count, first, head, tuple(faults))


def _faults(audit: Audit, kept: Kept, last: Head, count: int) -> Iterator[str]:
    """What is wrong with an entry behind the `last` of `count`."""
    seq, entry = number(kept), kept.entry
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


def number(kept: Kept) -> int:
    """An entry's, by its place: also of one that cannot be read."""
    return int(kept.name.partition("-")[0])
