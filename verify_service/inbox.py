"""The fake provider's inbox and behaviour: sealed under the key ring on the way in, opened on the way out.

It is the only stored form of a code, for an hour, and exists only where a fake provider is configured.
"""

import fnmatch
import secrets
import time
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from verify_service import decoders, phone
from verify_service.codes import KeyRing, Tagger
from verify_service.model import Frozen
from verify_service.store import Store

Deed = Literal["accept", "reject", "error", "timeout", "slow", "lose", "duplicate"]
ReceiptKind = Literal["delivered", "failed", "none", "late"]


class InboxMessage(Frozen, frozen=True, rename={"from_": "from"}):
    """A message as the inbox shows it. `sent_at` is milliseconds since the epoch."""

    id: str
    to: str
    from_: str
    body: str
    code: str
    channel: str
    encoding: str
    segments: int
    verification_id: str
    sent_at: int


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of scripted behaviour. `to` is a number, an email address or a pattern with *; the first rule
    that fits acts."""

    to: Annotated[str, Meta(pattern=r"^(\*|\+[0-9]{1,15}\*?|[A-Za-z0-9.+_*-]{1,64}@[A-Za-z0-9.*-]{1,253})\Z")]
    do: Deed
    provider: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")] | None = None
    times: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    delay_ms: Annotated[int, Meta(ge=0, le=600_000)] | None = None
    receipt: ReceiptKind | None = None


class Inbox:
    """What the fake provider sent, for whoever tests; and how it is to behave."""

    def __init__(self, store: Store, keys: KeyRing, tagger: Tagger) -> None:
        self._store = store
        self._keys = keys
        self._tagger = tagger

    def put(self, tenant: str, message: InboxMessage, copies: int, *, consulted: bool) -> tuple[Rule, ...] | None:
        """Stores the message; or answers the scripted behaviour, where there is some and it was not `consulted`."""
        sealed = [
            self._keys.encrypt(
                msgspec.json.encode(msgspec.structs.replace(message, id=f"msg_{secrets.token_hex(12)}")),
                f"inbox|{tenant}",
            )
            for _ in range(copies)
        ]
        rules = self._store.inbox.put(tenant, self._tagger.number(message.to), sealed, consulted)
        return None if rules is None else self._rules(rules)

    def messages(self, tenant: str, to: str | None, after: str | None, wait: float) -> list[InboxMessage]:
        """Messages to a number (None: to any), newest first and newer than `after`; waits for one, in seconds."""
        tag = self._tagger.number(to) if to else "*"
        found = self._read(tenant, tag, after)
        if found or wait <= 0:
            return found
        with self._store.bell.listening(tenant, tag) as rung:
            deadline = time.monotonic() + wait
            while not (found := self._read(tenant, tag, after)):
                if not rung.wait(max(0.0, deadline - time.monotonic())):
                    break
                rung.clear()
        return found

    def empty(self, tenant: str) -> None:
        """Forgets the tenant's messages."""
        self._store.inbox.empty(tenant)

    def forget(self, tenant: str, to: str) -> None:
        """Forgets a number's verifications, limits and consent."""
        for tag in (self._tagger.number(to), *self._tagger.former(to)):
            self._store.inbox.forget(self._store.verifications.partition(tag), tag, tenant)

    def behaviour(self) -> tuple[Rule, ...]:
        """The rules as they were set."""
        sealed = self._store.inbox.behaviour()
        return self._rules(sealed) if sealed else ()

    def set_behaviour(self, rules: tuple[Rule, ...]) -> None:
        """Replaces the rules; none means that every message is accepted and delivered."""
        sealed = self._keys.encrypt(msgspec.json.encode(rules), "behaviour") if rules else None
        self._store.inbox.set_behaviour(sealed, [rule.times for rule in rules])

    def rule_for(self, rules: tuple[Rule, ...], provider: str, to: str) -> Rule | None:
        """The first rule that fits, in any spelling of the phone, and has a use left, which this takes."""
        for index, rule in enumerate(rules):
            names = any(fnmatch.fnmatchcase(each.lower(), rule.to.lower()) for each in phone.spellings(to))
            fits = names and rule.provider in (None, provider)
            if fits and (rule.times is None or self._store.inbox.take(index)):
                return rule
        return None

    def _read(self, tenant: str, tag: str, after: str | None) -> list[InboxMessage]:
        found = []
        for sealed in self._store.inbox.messages(tenant, tag):
            try:
                plain = self._keys.decrypt(sealed, f"inbox|{tenant}")
            except (KeyError, ValueError):
                continue  # Sealed under a key that has left the ring: nobody can read it any more.
            message = decoders.json(InboxMessage)(plain)
            if message.id == after:
                break
            found.append(message)
        return found

    def _rules(self, sealed: bytes) -> tuple[Rule, ...]:
        return decoders.json(tuple[Rule, ...])(self._keys.decrypt(sealed, "behaviour"))
