"""What a person may ask of a tenant: to see what is held of them, and to have it erased."""

from collections.abc import Sequence
from typing import Any

import msgspec

from verify_service.codes import Tagger
from verify_service.consents import Ledger, Unread, shown
from verify_service.duration import rfc3339
from verify_service.model import Actor, Clock
from verify_service.store import Store
from verify_service.store.audit import Audit
from verify_service.store.shapes import StoredVerification


class DataSubjects:
    """Looks and erasures for one tenant and one number in E.164. Every method raises StoreUnavailable."""

    def __init__(self, store: Store, tagger: Tagger, clock: Clock) -> None:
        self._store = store
        self._tagger = tagger
        self._clock = clock
        self._ledger = Ledger(store, tagger, clock)
        self._audit = Audit(store.link, tagger)

    def export(self, tenant: str, number: str) -> dict[str, Any]:
        """All that is held of the person for the tenant, ready for JSON: consent and its trail, verifications with
        their timelines, decisions, and the events under the number's pseudonym. Looks through a whole partition.

        What limits have counted is not in it: counts are pseudonyms without a name or a tenant, and end by themselves.
        """
        now, tags = self._clock.now(), self._tags(number)
        ids = [each for tag in tags for each in self._store.data_subjects.verifications(tag, tenant)]
        decisions = [
            self._store.verifications.decisions.read(now, tenant, each)
            for tag in tags
            for each in self._store.data_subjects.decisions(tag, tenant)
        ]
        return {
            "tenant": tenant,
            "at": rfc3339(now),
            "pseudonym": tags[0],
            "consent": shown(number, self._ledger.look(tenant, number)),
            "verifications": [
                _timed(record) for each in ids if (record := self._store.verifications.read(now, tenant, each))
            ],
            "decisions": [_timed(decision) for decision in decisions if decision],
            "events": self._events(tenant, tags),
        }

    def erase(self, tenant: str, number: str, by: Actor, reason: str) -> int:
        """Forgets the person for the tenant; answers how many verifications that were.

        What is pending is canceled first, its unsent message withdrawn. An opt-out in force stays as one bare word, to
        be honoured; so do counts of limits until they end, so that no erasure is a way around one; the events hold
        pseudonyms only, and one more says who erased and why. Looks through a whole partition a few times.
        """
        now, tags = self._clock.now(), self._tags(number)
        with self._audit.act(now, by, "erase", f"number:{tags[0]}", reason, tenant=tenant):
            return sum(self._erase(now, tenant, tag, by.name, reason) for tag in tags)

    def _erase(self, now: int, tenant: str, tag: str, by: str, reason: str) -> int:
        ids = self._store.data_subjects.verifications(tag, tenant)
        for each in ids:
            self._store.verifications.cancel(now, tenant, each, "canceled")
        decisions = self._store.data_subjects.decisions(tag, tenant)
        self._store.data_subjects.erase(now, tag, tenant, [*ids, *decisions], by, reason)
        return len(ids)

    def unread(self) -> list[Unread]:
        """Keywords whose senders cannot be read, of all tenants: `Ledger.unread`."""
        return self._ledger.unread()

    def _tags(self, number: str) -> tuple[str, ...]:
        """Every pseudonym of the person, that of today first."""
        return self._tagger.number(number), *self._tagger.former(number)

    def _events(self, tenant: str, tags: Sequence[str]) -> list[dict[str, Any]]:
        ids = set(tags)
        found = []
        for event in self._store.events.read(0):
            if event.get("tenant") == tenant and event.get("number") in tags:
                ids.add(event["id"])
            if event["id"] in ids and event.get("tenant", tenant) == tenant:
                found.append(event)
        return found


_TIMES = ("at", "last_at", "created_at", "expires_at", "resend_at")
_HIDDEN = ("number", "sealed_to")


def _timed(noun: Any) -> Any:
    """A noun as JSON has it, its times in RFC 3339."""
    return _spelt(noun._asdict() if isinstance(noun, StoredVerification) else msgspec.to_builtins(noun))


def _spelt(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        value = msgspec.to_builtins(value)
    if isinstance(value, dict):
        return {
            name: rfc3339(each) if name in _TIMES else _spelt(each)
            for name, each in value.items()
            if name not in _HIDDEN
        }
    return [_spelt(each) for each in value] if isinstance(value, list | tuple) else value
