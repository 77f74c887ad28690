"""The audit log: who did what, from where, when and why, in a chain that shows what was taken out of it.

It is one stream. Each entry holds the seal of the one before it, and is encrypted and sealed by keys that follow from
VERIFY_TAG_KEY: whoever writes the store and has not that key makes no entry and changes none, and whoever reads it
learns nothing. The newest 100,000 stay.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

import msgspec

from verify_service.codes import Tagger
from verify_service.duration import rfc3339
from verify_service.errors import StoreUnavailable
from verify_service.model import Actor
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.telemetry import log

KEEP = 100_000
"""Entries."""
LANES = {"application": 100, "refused": 60, "stranger": 30}
"""How many an hour are kept of what a flood could be made of, in all: acts that applications do on behalf of their
users, refused acts of who has a key, and of who has none. What is beyond is counted, and one entry says how many."""
HOUR_MS = 3_600_000
MOST_WHO, MOST_TARGET, MOST_WHY = 200, 120, 500

Outcome = Literal["allowed", "refused", "failed"]
_KEYS = [f"{prefix(0)}audit", f"{prefix(0)}audit:hours"]
_PAGE = 1000
# What nobody may be found by in a log that nothing is erased from: numbers, email addresses, API keys.
_PERSONAL = re.compile(
    r"(?<!\w)(?:\+?\d(?:[ ()./-]{0,2}\d){8,}|\+\d(?:[ ()./-]{0,2}\d){5,})|[^\s@]+@[^\s@]+|vk_[\w-]{16,}"
)
_encode = msgspec.json.Encoder().encode
_log = log("audit")


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"from_": "from"}):
    """An act: who did it, from where, what to what, and why; `at` in milliseconds.

    It is written before its act, so `allowed` says that the act was let through. Where it was not done after all, a
    later entry is `failed`, and `of` is the number of the first. `before` is the seal of the entry before this one.
    """

    seq: int
    at: int
    who: str
    act: str
    outcome: Outcome
    before: str = ""
    from_: str = ""
    target: str = ""
    why: str = ""
    of: int = 0
    more: dict[str, int | str] = {}


_decode = msgspec.json.Decoder(Entry).decode


class Kept(NamedTuple):
    """An entry as it is kept: by what name, its bytes, none where they cannot be decrypted, and their seal."""

    name: str
    packed: bytes
    seal: str

    @property
    def entry(self) -> Entry | None:
        """None of what cannot be read."""
        with suppress(msgspec.DecodeError, UnicodeError):
            return _decode(self.packed)
        return None


class Begun:
    """An act that is about to be done. `failed` says that it was not, after all, in a few words of ours."""

    reason = ""

    def failed(self, reason: str) -> None:
        self.reason = reason


class Audit:
    """The log of a store. Every method raises StoreUnavailable."""

    def __init__(self, link: Link, tagger: Tagger, keep: int = KEEP) -> None:
        self._link = link
        self._tagger = tagger
        self.keep = keep
        self._newest = (0, "")

    @contextmanager
    def act(self, now: int, by: Actor, act: str, target: str = "", why: str = "", **more: int | str) -> Iterator[Begun]:
        """Writes an act down that is done inside; where that fails, it is not done. One that raises has `failed`."""
        lane, begun = "application" if by.application else "", Begun()
        said = _entry(now, by, act, "allowed", target, why, more)
        seq = self._append(now, said, lane)
        try:
            yield begun
        except BaseException as error:
            begun.failed(_named(error))
            raise
        finally:
            if begun.reason and seq:
                self._unheard(now, _entry(now, by, act, "failed", target, begun.reason, more, of=seq), lane)

    @contextmanager
    def refusing(self, now: int, by: Actor, act: str, target: str, *errors: type[Exception]) -> Iterator[None]:
        """Writes an act down as refused where one of these errors comes."""
        try:
            yield
        except errors as error:
            self.refused(now, by, act, target, _named(error))
            raise

    def refused(self, now: int, by: Actor, act: str, target: str, why: str, *, stranger: bool = False) -> None:
        """Writes an act down that was refused, in words of ours. A store that is silent changes nothing of that, so
        this raises nothing. A `stranger` is somebody who has shown no key that is known."""
        self._unheard(now, _entry(now, by, act, "refused", target, why, {}), "stranger" if stranger else "refused")

    def newest(self, count: int, before: int | None = None) -> list[Kept]:
        """So many, the newest first, all before an entry's number where that is given."""
        until = "+" if before is None else f"({max(before, 1)}-0"  # The server takes nothing before 0-0.
        return self._kept(["XREVRANGE", _KEYS[0], until, "-", "COUNT", count])

    def after(self, seq: int, count: int = _PAGE) -> list[Kept]:
        """So many that follow an entry's number, the oldest first."""
        return self._kept(["XRANGE", _KEYS[0], f"({seq}-0", "+", "COUNT", count])

    def all(self, after: int = 0) -> Iterator[Kept]:
        """All that follow an entry's number, the oldest first."""
        place = f"{after}-0"
        while page := self._kept(["XRANGE", _KEYS[0], f"({place}", "+", "COUNT", _PAGE]):
            yield from page
            place = page[-1].name

    def seal(self, packed: bytes) -> str:
        """The seal of an entry's bytes."""
        return self._tagger.audit(packed)

    def _kept(self, command: Sequence[Argument]) -> list[Kept]:
        found = []
        for name, flat in self._link.command(0, command):
            fields = dict(zip(flat[::2], flat[1::2], strict=False))
            packed = b""
            with suppress(ValueError):
                packed = self._tagger.unseal(fields.get(b"entry", b""), _context(name.decode()))
            found.append(Kept(name.decode(), packed, fields.get(b"seal", b"").decode("ascii", "replace")))
        return found

    def _unheard(self, now: int, said: Entry, lane: str) -> None:
        try:
            self._append(now, said, lane)
        except StoreUnavailable as error:
            _log.error("an act is not in the audit log", act=said.act, outcome=said.outcome, reason=error.reason)

    def _append(self, now: int, said: Entry, lane: str = "") -> int:
        """Appends an entry, behind what earlier hours owe; answers its number, 0 of one that is only counted."""
        owed: Entry | None = None
        settled = ""
        while True:
            seq, before = self._newest
            packed = _encode(msgspec.structs.replace(owed or said, seq=seq + 1, before=before))
            sealed, seal = self._tagger.seal(packed, _context(f"{seq + 1}-0")), self.seal(packed)
            own = "" if owed else lane
            hour: list[Argument] = [now // HOUR_MS, own, LANES.get(own, 0), settled]
            entry: list[Argument] = [self.keep, seq + 1, before, sealed, seal]
            word, *told = self._link.call(Call(0, "audit", _KEYS, [*hour, *entry]))
            if word == b"counted":
                return 0
            if word == b"kept":
                self._newest = (seq + 1, seal)
                if not owed:
                    return seq + 1
            else:
                self._newest = (told[0], told[1].decode())
            owed, settled = None, ""
            if word == b"owed":
                settled = told[2].decode()
                owed = _counted(now, settled, told[3], told[4])


def unnamed(text: str) -> str:
    """A text without what a person could be found by, or a key: numbers, email addresses, API keys."""
    return _PERSONAL.sub("•••", text)


def _entry(
    now: int, by: Actor, act: str, outcome: Outcome, target: str, why: str, more: dict[str, int | str], of: int = 0
) -> Entry:
    return Entry(
        seq=0,
        at=now,
        who=_line(by.name, MOST_WHO),
        from_=_line(by.address, MOST_WHO),
        act=act,
        outcome=outcome,
        target=_line(target, MOST_TARGET),
        why=_line(unnamed(why), MOST_WHY),
        of=of,
        more=more,
    )


def _counted(now: int, lane: str, hour: int, count: int) -> Entry:
    outcome: Outcome = "allowed" if lane == "application" else "refused"
    more: dict[str, int | str] = {"count": count, "lane": lane, "hour": rfc3339(hour * HOUR_MS)}
    why = f"beyond {LANES.get(lane, 0)} in an hour"
    return Entry(seq=0, at=now, who="verify-service", act="counted", outcome=outcome, why=why, more=more)


def _line(text: str, most: int) -> str:
    """One line, in signs that show themselves: none that ends a line, or turns the direction of what follows."""
    return "".join(char if char.isprintable() else " " for char in text[:most])


def _named(error: BaseException) -> str:
    """What went wrong, without words that may quote what somebody wrote."""
    return getattr(error, "slug", None) or type(error).__name__


def _context(name: str) -> str:
    return f"audit|{name}"
