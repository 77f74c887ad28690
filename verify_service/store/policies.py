"""The live policy's revisions: a history that only grows, sealed, because a policy's lists name phone numbers.

It is one hash, from a revision's number to the sealed revision, so its length is the number of the newest.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import msgspec

from verify_service.codes import Tagger
from verify_service.errors import ConfigError, RevisionConflict
from verify_service.model import Actor, Revision
from verify_service.policy.sections import Policy
from verify_service.store.audit import Audit
from verify_service.store.connection import Call, Link, prefix
from verify_service.store.dryrun import rehearse

_KEY = f"{prefix(0)}policy"
# Said again each minute, while it is so.
_PASSED_MS = 180_000
_REFUSED_MS = 3_600_000
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Revision).decode


class PassedOver(NamedTuple):
    """A revision that a process cannot use, and the one that it judges by."""

    revision: int
    in_force: int


class Policies:
    """The revisions in a store, as the tagger's key seals them. Every method raises StoreUnavailable."""

    def __init__(self, link: Link, tagger: Tagger) -> None:
        self.audit = Audit(link, tagger)
        self._link = link
        self._tagger = tagger

    def newest(self) -> int:
        """The number of the newest revision, 0 where none was ever pushed; one cheap command."""
        return int(self._link.command(0, ["HLEN", _KEY]))

    def get(self, revision: int) -> Revision | None:
        """A revision, or None where there is no such one. Raises ConfigError where it cannot be unsealed."""
        sealed: bytes | None = self._link.command(0, ["HGET", _KEY, revision])
        if sealed is None:
            return None
        try:
            return _decode(self._tagger.unseal(sealed, _context(revision)))
        except (ValueError, msgspec.DecodeError):
            raise ConfigError(
                f"revision {revision} of the policy in the store cannot be unsealed: it is damaged, or another "
                "VERIFY_TAG_KEY sealed it"
            ) from None

    def current(self) -> Revision | None:
        """The newest revision that can be unsealed, None where none was ever pushed: one that is damaged must not stand
        in the way of those before and after it. Raises ConfigError where none can be: another tag key sealed them."""
        refused = 0
        for revision in range(self.newest(), 0, -1):
            try:
                if (found := self.get(revision)) is not None:
                    return found
            except ConfigError:
                refused = revision
        if refused:
            raise ConfigError(
                f"revision {refused} of the policy in the store cannot be unsealed: VERIFY_TAG_KEY is not the key that "
                "the store was first used with"
            )
        return None

    def log(self) -> Iterator[Revision]:
        """All revisions that can be unsealed, newest first. Raises ConfigError as `current` does."""
        newest = self.current()
        for revision in range(newest.revision if newest else 0, 0, -1):
            with suppress(ConfigError):
                if (found := self.get(revision)) is not None:
                    yield found

    def passes_over(self, revision: int, in_force: int) -> None:
        """Notes for some minutes that this process cannot use a revision."""
        self._link.command(0, ["SET", f"{_KEY}:passed-over", f"{revision} {in_force}", "PX", _PASSED_MS])

    def passed_over(self) -> PassedOver | None:
        """What a process cannot use; of several, what was noted last."""
        noted: bytes | None = self._link.command(0, ["GET", f"{_KEY}:passed-over"])
        return PassedOver(*map(int, noted.split())) if noted else None

    def refuses(self, now: int) -> None:
        """Notes for an hour that a push was refused, because its text cannot be used."""
        self._link.command(0, ["SET", f"{_KEY}:refused", f"{now} {self.newest()}", "PX", _REFUSED_MS])

    def was_refused(self, now: int) -> bool:
        """Whether a push was refused within the hour, and none has been taken since."""
        noted: bytes | None = self._link.command(0, ["GET", f"{_KEY}:refused"])
        if not noted:
            return False
        at, newest = map(int, noted.split())
        return now - at < _REFUSED_MS and newest == self.newest()

    def rehearse(self, now: int, policy: Policy) -> None:
        """Has our functions judge by the policy, and writes nothing. Raises ConfigError where they cannot."""
        rehearse(self._link, now, policy)

    def push(
        self, now: int, by: Actor, note: str, text: str, *, expected: int | None = None, act: str = "push"
    ) -> Revision:
        """Puts a text, which the caller has judged, in force as the next revision, once the audit log has the `act`.

        With `expected`, only while that revision is in force: else RevisionConflict. Without, pushes at the same time
        follow one another, each under a number of its own. Raises ConfigError where this key is not the store's.
        """
        while True:
            newest = self.newest()
            current = self.current()  # Refuses another key: what we seal must be readable by who reads it.
            in_force = current.revision if current else 0
            if expected is not None and in_force != expected:
                raise RevisionConflict(in_force)
            made = Revision(revision=newest + 1, at=now, by=by.name, note=note, text=text)
            sealed = self._tagger.seal(_encode(made), _context(made.revision))
            with self.audit.act(now, by, act, f"revision:{made.revision}", note) as begun:
                if self._link.call(Call(0, "push_policy", [_KEY], [made.revision, sealed])):
                    return made
                begun.failed("another push was first")

    def first(self, now: int, by: Actor, note: str, text: str) -> bool:
        """Puts the text in force where no policy is; of several processes that start at once, one does it. Whether it
        was this one."""
        if not self.newest():
            with suppress(RevisionConflict):  # Another process was first; its policy is as good as ours.
                self.push(now, by, note, text, expected=0)
                return True
        return False


def _context(revision: int) -> str:
    return f"policy|{revision}"
