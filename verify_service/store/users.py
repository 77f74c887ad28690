"""Users and their second factors: what one is read by, and each change of it, which is one script."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from verify_service.errors import StoreUnavailable
from verify_service.policy.hits import Hit, specs
from verify_service.store import partitions
from verify_service.store.answers import LimitedAnswer
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.shapes import Idempotency, Refused
from verify_service.store.user_layouts import (
    Approval,
    Contact,
    Factor,
    FactorAnswer,
    FactorAsk,
    SeenUser,
    Subject,
    User,
)
from verify_service.telemetry import OBSERVED


class Seen(NamedTuple):
    """A user as it stands: its record, None where there is none; how many wrong codes it has room for, -1 where nothing
    counts them, and how long the limit `limit` refuses every code, in milliseconds."""

    record: User | None
    left: int
    limit: str
    wait: int


class Users:
    """The users of a store, by their tags. Every method raises StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self.link = link
        self._keep_events = str(keep_events // link.partitions)

    def new_id(self, kind: str, user: str) -> str:
        """A fresh id, such as `de_…` of a decision, in the user's partition."""
        return partitions.new_id(kind, self._home(user), self.link.partitions)

    def look(self, now: int, user: str, hits: Sequence[Hit]) -> Seen:
        """The user, and what the limits on wrong codes have room for."""
        answer = self.link.call(self._call("user", user, hits, [now, *specs(hits)]))
        seen = SeenUser.told(answer)
        try:
            record = User.open(seen.record) if seen.record else None
        except msgspec.DecodeError:
            raise StoreUnavailable("the record of a user cannot be read", answered=True) from None
        return Seen(record, seen.left, seen.limit, seen.wait)

    def enrol(self, now: int, subject: Subject, factor: Factor, most: int) -> str:
        """Adds a factor: 'enrolled', 'full' where the user has `most`, all verified, or 'known' where it is there."""
        args: list[Argument] = [now, self._keep_events, subject.pack(), factor.pack(), most]
        answer: bytes = self.link.call(self._call("enrol", subject.user, (), args))
        return answer.decode()

    def check(
        self, now: int, ask: FactorAsk, hits: Sequence[Hit], idempotency: Idempotency | None
    ) -> tuple[FactorAnswer, bool] | Refused:
        """Decides a code, once; with whether that is an earlier answer, told again."""
        user = ask.subject.user
        fingerprint = idempotency.fingerprint if idempotency else ""
        args: list[Argument] = [now, self._keep_events, ask.pack(), fingerprint, *specs(hits)]
        more = [f"idempotency:{idempotency.tag}"] if idempotency else []
        answer = self.link.call(self._call("check_factor", user, hits, args, more))
        match answer[0]:
            case b"replayed":
                return FactorAnswer.told(answer[1]), True
            case b"approved" | b"wrong" | b"used":
                told = FactorAnswer.told(answer)
                self._observed(told.observed)
                return told, False
            case b"rate-limited":
                limited = LimitedAnswer.told(answer)
                self._observed(limited.observed)
                return Refused(limited.kind, limited.wait, limited.name, decision=limited.decision)
        return Refused(answer[0].decode())

    def approval(self, user: str, binding: str) -> Approval | None:
        """The newest approval that came with the binding, of the last day."""
        home = self._home(user)
        found: bytes | None = self.link.command(home, ["HGET", f"{prefix(home)}approvals:{user}", binding])
        return Approval.open(found) if found else None

    def remove(self, now: int, subject: Subject, factor: str) -> bool:
        """Takes a factor away; False where there is none."""
        return self._change("remove_factor", now, subject, factor)

    def renew_codes(self, now: int, subject: Subject, salt: bytes, codes: bytes) -> bool:
        """Gives new recovery codes; False where the user has no verified factor."""
        return self._change("recovery_codes", now, subject, salt, codes, self.new_id("ap", subject.user))

    def set_contact(self, now: int, subject: Subject, contact: Contact) -> bool:
        """Says where the user's notices go; False where they go nowhere, as before."""
        return self._change("set_contact", now, subject, contact.pack(), self.new_id("ap", subject.user))

    def erase(self, now: int, subject: Subject) -> bool:
        """Forgets the user; False where there was nobody."""
        return self._change("erase_user", now, subject, self.new_id("ap", subject.user))

    def _change(self, function: str, now: int, subject: Subject, *args: Argument) -> bool:
        said: list[Argument] = [now, self._keep_events, subject.pack(), *args]
        return bool(self.link.call(self._call(function, subject.user, (), said)))

    def _call(
        self, function: str, user: str, hits: Sequence[Hit], args: Sequence[Argument], keys: Sequence[str] = ()
    ) -> Call:
        home = self._home(user)
        base = prefix(home)
        named = [f"{base}{key}" for key in (f"user:{user}", *keys, *(hit.key for hit in hits))]
        return Call(home, function, named, list(args))

    def _home(self, user: str) -> int:
        return partitions.of_tag(user, self.link.partitions)

    @staticmethod
    def _observed(names: Sequence[str]) -> None:
        for name in names:
            OBSERVED.labels(name).inc()
