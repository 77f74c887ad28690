"""Consent: what people answer to the messages they get, and what callers record of it.

STOP to a sender opts a number out for every tenant that the sender serves, START in again; both are answered once a
day and sender, and so is HELP, which changes nothing.
"""

import re
import secrets
from collections.abc import Iterable
from heapq import merge
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from verify_service import decoders, phone
from verify_service.codes import KeyRing, Tagger
from verify_service.config import Config
from verify_service.duration import rfc3339
from verify_service.messages import is_unclear, keyword, tongue
from verify_service.model import Actor, Clock, Frozen, InboundText, Number
from verify_service.routing import SenderConfig
from verify_service.store import Store, partitions
from verify_service.store.audit import Audit
from verify_service.store.connection import Argument
from verify_service.store.consents import Said, State
from verify_service.store.entries import queued
from verify_service.store.layouts import Content
from verify_service.telemetry import INBOUND, log

ANSWER_LIFE_MS = 600_000
_MOST_WORDS, _MOST_ADDRESS = 160, 64
_FEWEST_DIGITS = 3
_STATES: dict[str, State] = {"stop": "out", "start": "in"}

Source = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]


class TrailEntry(Frozen, frozen=True, omit_defaults=True):
    """One line of a trail: what was said, when (milliseconds), and where from.

    `state` is `unclear` of a text that holds a stop and is none: it changes nothing.
    `source` is `sms`, `rcs` or `whatsapp` for a person's own text, `carrier` where a vendor told us, and else the
    caller's word. Of a text, `words` is what the person wrote, `sender` the address they wrote to; `note` is the
    caller's.
    """

    at: int
    state: State | Literal["unclear"]
    source: str
    provider: str | None = None
    sender: str | None = None
    words: str | None = None
    note: str | None = None


class Consent(NamedTuple):
    """A number's consent with one tenant, None where nothing is known; how it came to be, oldest first; and what was
    `unclear` lately among it."""

    state: State | None
    trail: tuple[TrailEntry, ...]

    @property
    def newest(self) -> TrailEntry | None:
        """What made it so."""
        return next((entry for entry in reversed(self.trail) if entry.state != "unclear"), None)


class Unread(Frozen, frozen=True, rename={"from_": "from"}):
    """A keyword whose sender cannot be read: when (milliseconds), by which provider, from and to what it said, which
    keyword, and the words."""

    at: int
    provider: str
    from_: str
    to: str
    keyword: str
    words: str


_UNREAD = "unread"
_log = log("consents")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(TrailEntry).decode


class Ledger:
    """The consents as they are written down. Numbers are E.164; all methods raise StoreUnavailable."""

    def __init__(self, store: Store, tagger: Tagger, clock: Clock) -> None:
        self._audit = Audit(store.link, tagger)
        self._store = store
        self._tagger = tagger
        self._clock = clock

    def look(self, tenant: str, number: str) -> Consent:
        """The consent as it stands: out, where it says so under any pseudonym that the number has or had."""
        state, opened = None, []
        for tag in (self._tagger.number(number), *self._tagger.former(number)):
            found, trail, unclear = self._store.consents.read(tag, tenant)
            state = "out" if "out" in (state, found) else state or found
            opened += [[self._entry(tenant, tag, each) for each in sealed] for sealed in (trail, unclear)]
        return Consent(state, tuple(merge(*opened, key=lambda entry: entry.at)))

    def record(
        self, tenant: str, number: str, state: State, source: str, by: Actor, note: str | None = None
    ) -> Consent:
        """What a caller says of a person's consent. In force at once; answers that alone, without the trail before. The
        note stays in the trail, which can be erased."""
        now, tag = self._clock.now(), self._tagger.number(number)
        entry = TrailEntry(at=now, state=state, source=source, note=note)
        with self._audit.act(now, by, "consent", f"number:{tag}", source, tenant=tenant, state=state):
            self._write(tenant, tag, state, entry)
            self._adopt(tenant, number)
        return Consent(state, (entry,))

    def opted_out(self, tenant: str, tag: str, provider: str, reason: str, sent_at: int | None = None) -> None:
        """A vendor refused a message because the person had opted out there. `tag` is the number's. Of a receipt,
        `sent_at` is when its message was sent: what was said since then is newer."""
        state, trail, _ = self._store.consents.read(tag, tenant)
        if state == "out" or (sent_at is not None and trail and self._entry(tenant, tag, trail[-1]).at > sent_at):
            return
        entry = TrailEntry(at=self._clock.now(), state="out", source="carrier", provider=provider, note=reason)
        self._write(tenant, tag, "out", entry)

    def unread(self) -> list[Unread]:
        """The keywords of the last 90 days whose senders could not be read, the oldest first: the newest thousand."""
        opened = (self._tagger.unseal(sealed, _UNREAD) for sealed in self._store.consents.unreads())
        return [decoders.json(Unread)(plain) for plain in opened]

    def _write(self, tenant: str, tag: str, state: State, entry: TrailEntry) -> None:
        sealed = self._seal(tenant, tag, entry)
        self._store.consents.write(entry.at, tag, tenant, state, entry.source, sealed)

    def _adopt(self, tenant: str, number: str) -> None:
        """Takes over what stands under former pseudonyms, once there is a newer word: until it is gone there, an
        opt-out goes on being one."""
        tag = self._tagger.number(number)
        for former in self._tagger.former(number):
            _, trail, _ = self._store.consents.read(former, tenant)
            sealed = [self._seal(tenant, tag, self._entry(tenant, former, each)) for each in trail]
            self._store.consents.adopt(tag, former, tenant, sealed)

    def _entry(self, tenant: str, tag: str, sealed: bytes) -> TrailEntry:
        return _decode(self._tagger.unseal(sealed, _context(tag, tenant)))

    def _seal(self, tenant: str, tag: str, entry: TrailEntry) -> bytes:
        # Under the key that never rotates: a trail must be readable for as long as it is kept.
        return self._tagger.seal(_encode(entry), _context(tag, tenant))


class Consents(Ledger):
    """The ledger with an ear for what people write."""

    def __init__(self, store: Store, config: Config, keys: KeyRing, tagger: Tagger, clock: Clock) -> None:
        super().__init__(store, tagger, clock)
        self._config = config
        self._keys = keys

    def heard(self, text: InboundText, provider: str, tenants: Iterable[str] | None = None) -> None:
        """A text from a phone, which came by a provider; one that is told twice counts once.

        It concerns `tenants`, or those that its sender serves; START to an address that is nobody's sender takes back
        only what STOP to that same address did. One that is unclear stands in the trail and changes nothing. What is no
        keyword is passed over; a keyword from what cannot be read as a phone is kept, for a person to look at.
        """
        kind = keyword(text.body) or ("unclear" if is_unclear(text.body) else None)
        name, sender = self._sender(text.to, provider)
        number = phone.sender(text.from_, _regions(text.to, sender), national=text.national)
        INBOUND.labels(provider, (kind if number else kind and "unread") or "other").inc()
        if kind is None:
            return
        if number is None:
            self._unread(text, provider, kind)
            return
        now, tag, state = self._clock.now(), self._tagger.number(number.e164), _STATES.get(kind)
        # `default` is whom VERIFY_API_KEY speaks for, which a dispatcher may not have been given.
        served = (sender.tenants if sender else ()) or (*self._config.tenants, "default")
        concerned = sorted(set(tenants or served))
        if state == "in" and sender is None and tenants is None:
            concerned = [tenant for tenant in concerned if self._stopped_at(text.to, tenant, number.e164)]
        source = sender.type if sender and sender.type in ("rcs", "whatsapp") else "sms"
        self._store.deliveries.reachable(tag, [source])
        words, to = _without_digits(text.body[:_MOST_WORDS]), text.to[:_MOST_ADDRESS]
        trails, said_before = [], self._text_tag(provider, text)
        if state or kind == "unclear":
            entry = TrailEntry(
                at=now, state=state or "unclear", source=source, provider=provider, sender=to, words=words
            )
            trails = [(tenant, self._seal(tenant, tag, entry)) for tenant in concerned]
        if kind == "unclear":
            self._store.consents.unclear(said_before, tag, trails)
            return
        answer: list[Argument] = []
        if sender and sender.replies and not text.answered:
            locale, via = tongue(text.body, number.country), f"{provider}/{name}"
            by = next((tenant for tenant in concerned if tenant in self._config.tenants), concerned[0])
            answer = [f"{name}:{kind}", *self._answer(now, kind, number, tag, by, locale, via, source)]
        said = Said(said_before, tag, state, source, trails, answer)
        self._store.consents.heard(now, said)
        for tenant, _ in trails:
            self._adopt(tenant, number.e164)

    def _unread(self, text: InboundText, provider: str, kind: str) -> None:
        """Keeps a keyword whose sender cannot be read. The log says how long the sender is, and not who."""
        at, to, words = self._clock.now(), text.to[:_MOST_ADDRESS], text.body[:_MOST_WORDS]
        unread = Unread(at, provider, text.from_[:_MOST_ADDRESS], to, kind, words)
        sealed = self._tagger.seal(_encode(unread), _UNREAD)
        if self._store.consents.unread(self._text_tag(provider, text), sealed):
            digits = sum(map(str.isdecimal, text.from_))
            form = f"{len(text.from_)} characters, {digits} of them digits"
            _log.warning("the sender of a text cannot be read", provider=provider, keyword=kind, sender=form)

    def _text_tag(self, provider: str, text: InboundText) -> str:
        """What a repetition is known by; a vendor that gives no ids tells once."""
        return self._tagger.tag("text", provider, text.from_, text.id or secrets.token_hex(8))

    def _sender(self, address: str, provider: str) -> tuple[str, SenderConfig | None]:
        """The name of the sender that was written to, and itself; where two have the address, the one of a route by the
        provider."""
        named = [(name, each) for name, each in self._config.senders.items() if _bare(each.address) == _bare(address)]
        used = {(via.provider, via.sender) for route in self._config.routes for via in route.via}
        named.sort(key=lambda pair: (provider, pair[0]) not in used)
        return named[0] if named else ("", None)

    def _stopped_at(self, address: str, tenant: str, number: str) -> bool:
        """Whether a number is out for a tenant because of a text to this address."""
        consent = self.look(tenant, number)
        newest = consent.newest if consent.state == "out" else None
        return bool(newest and newest.sender is not None and _bare(newest.sender) == _bare(address[:_MOST_ADDRESS]))

    def _answer(
        self, now: int, kind: str, number: Number, tag: str, tenant: str, locale: str, via: str, source: str
    ) -> list[Argument]:
        """The outbox entry of an answer."""
        home = self._store.verifications.partition(tag)
        content = Content(number=tag, country=number.country, locale=locale)
        return [
            *("id", partitions.new_id("re", home, self._store.link.partitions)),
            *("expires_at", str(now + ANSWER_LIFE_MS)),
            *("to", self._keys.seal_to(number.e164, tenant, tag)),
            *queued(tenant, source, content, kind="reply", text=kind, via=via),
        ]


def shown(number: str, consent: Consent) -> dict[str, object]:
    """A consent as people and programs outside see it; `source` and `at` are those of what made it so."""
    newest = consent.newest
    return {
        "to": number,
        "state": consent.state or "unknown",
        "source": newest.source if newest else None,
        "at": rfc3339(newest.at) if newest else None,
        "trail": [msgspec.to_builtins(entry) | {"at": rfc3339(entry.at)} for entry in consent.trail],
    }


def _context(tag: str, tenant: str) -> str:
    return f"consent|{tag}|{tenant}"


def _regions(address: str, sender: SenderConfig | None) -> Iterable[str]:
    """Where the phones are that may write to an address: a number's own country, or those of the sender."""
    written = phone.sender(address)
    return [written.country] if written else sender.countries if sender else ()


def _without_digits(words: str) -> str:
    """A person's words with # for each digit, where there are as many as in a code or a number."""
    return re.sub(r"\d", "#", words) if sum(char.isdigit() for char in words) >= _FEWEST_DIGITS else words


def _bare(address: str) -> str:
    """An address without what vendors add to it and leave out of it."""
    return re.sub(r"^\+|[ ()./-]", "", address.rpartition(":")[2]).lower()
