"""What is kept for years: factors that come from other systems and go to them, and the keys that seal them."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import IO, Annotated, Any, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from verify_service import otpauth
from verify_service.codes import KeyRing, Tagger
from verify_service.duration import rfc3339
from verify_service.errors import StoreUnavailable
from verify_service.factors.records import Records, Secret, authenticator, codes_left, factors_of, live
from verify_service.model import USER, Actor, Clock
from verify_service.otpauth import Unreadable
from verify_service.packing import plain
from verify_service.store import Store
from verify_service.store.audit import Audit
from verify_service.store.layouts import Content
from verify_service.store.user_layouts import Factor, Subject, User

LONGEST_LINE = 65_536
"""Bytes."""
ENOUGH_BYTES = 14
"""112 bits, the least that NIST SP 800-63B-4 (section 3.1.4) asks of a secret."""
PATIENCE_S = 30.0
"""How long a store is waited for that has fallen silent: as long as a failover takes."""
Answer = TypeVar("Answer")


class Line(msgspec.Struct, frozen=True):
    """A line of a file: a tenant's user, and a factor as an `otpauth://` URI. `id` and `created_at` are as an export
    has them; other members are passed over."""

    user: Annotated[str, Meta(pattern=USER)]
    uri: str
    id: Annotated[str, Meta(pattern=r"^fa_[0-9a-f]{32}\Z")] | None = None
    created_at: Annotated[datetime, Meta(tz=True)] | None = None


@dataclass
class Tally:
    """What became of a file's lines. `short` of those that were taken have a secret below 112 bits."""

    lines: int = 0
    taken: int = 0
    known: int = 0
    refused: int = 0
    short: int = 0


class Refusal(NamedTuple):
    """Why a line was not taken, and what to do: nothing of what stands in it."""

    line: int
    reason: str


class Resealed(NamedTuple):
    """How many pieces were sealed anew, how many users were erased, and how many the ring does not open."""

    pieces: int
    erased: int
    unopened: int


class _Arriving(NamedTuple):
    """A line's user, ready for the store."""

    line: int
    tag: str
    record: User
    short: bool


class Keeping:
    """Factors of many users at a time. Methods raise StoreUnavailable once the store has been silent for half a minute.
    Whatever breaks off, calling again goes on: what is done stays done."""

    def __init__(self, store: Store, keys: KeyRing, tagger: Tagger, clock: Clock) -> None:
        self._store = store
        self._keys = keys
        self._records = Records(keys, tagger)
        self._tagger = tagger
        self._clock = clock
        self._audit = Audit(store.link, tagger)

    @property
    def kids(self) -> tuple[str, ...]:
        """The kids of the ring, newest first."""
        return self._keys.kids

    def take(
        self, tenant: str, lines: Iterable[bytes], most: int, refuse: Callable[[Refusal], object], by: Actor
    ) -> Tally:
        """Adds the factors of a file as verified ones, but for users who have `most`. A factor that is here stays as it
        is, with what was learnt of it since: the same file twice changes nothing."""
        with self._audit.act(self._clock.now(), by, "import", "factors", tenant=tenant):
            tally = self._take(tenant, lines, most, refuse)
            if tally.taken:
                told = (self._clock.now(), "factors-imported", tenant, by.name, "", tally.taken)
                self._store.keeping.moved(*told)
        return tally

    def _take(self, tenant: str, lines: Iterable[bytes], most: int, refuse: Callable[[Refusal], object]) -> Tally:
        tally, numbered = Tally(), enumerate(lines, 1)
        while batch := list(islice(numbered, self._store.keeping.at_once)):
            arriving = []
            batch = [(number, line) for number, line in batch if line.strip()]
            for number, line in batch:
                try:
                    arriving.append(self._arriving(tenant, number, line))
                except Unreadable as error:
                    tally.refused += 1
                    refuse(Refusal(number, str(error)))
            users = [(each.tag, each.record) for each in arriving]
            words = _patiently(partial(self._store.keeping.take, most, users))
            for each, word in zip(arriving, words, strict=True):
                tally.taken += word == "taken"
                tally.known += word == "known"
                tally.short += word == "taken" and each.short
                if word == "full":
                    tally.refused += 1
                    refuse(Refusal(each.line, f"the user has {most} factors, as many as the policy allows"))
            tally.lines += len(batch)
        return tally

    def _arriving(self, tenant: str, number: int, line: bytes) -> _Arriving:
        said, found = read(line)
        subject = self._records.subject(tenant, said.user)
        made = found.factor
        factor_id = said.id.removeprefix("fa_") if said.id else self._tagger.factor(subject.user, made.secret)
        secret = Secret(made.secret, found.label or said.user, found.issuer)
        factor = Factor(
            id=factor_id,
            kind=made.kind,
            status="verified",
            sealed=self._records.seal(subject, factor_id, secret),
            algorithm=made.algorithm,
            digits=made.digits,
            period=made.period,
            created_at=round(said.created_at.timestamp() * 1000) if said.created_at else self._clock.now(),
            counter=found.counter if made.kind == "hotp" else -1,
        )
        record = User(tenant, subject.name, [factor])
        return _Arriving(number, subject.user, record, len(made.secret) < ENOUGH_BYTES)

    def give(self, tenant: str, by: Actor, why: str) -> Iterator[dict[str, Any] | None]:
        """The verified factors of the tenant's users, as lines that `take` reads; None for what else is held, `held` in
        all. The event of it comes first: no look at secrets is untold. A user may come twice while the store grows."""
        now = self._clock.now()
        with self._audit.act(now, by, "export", "factors", why, tenant=tenant):
            self._store.keeping.moved(now, "factors-exported", tenant, by.name, why, 0)
        for page in self._store.keeping.pages():
            for tag, user in page:
                yield None
                for factor in factors_of(user):
                    if factor.status == "verified":
                        yield self._line(Subject(tenant, tag), user, factor) if user.tenant == tenant else None

    def _line(self, subject: Subject, user: User, factor: Factor) -> dict[str, Any]:
        opened = self._records.open(subject, factor)
        made = authenticator(factor, opened)
        return {
            "user": self._records.name(subject, user),
            "uri": made.uri(opened.label, opened.issuer, max(0, factor.counter)),
            "id": f"fa_{factor.id}",
            "created_at": rfc3339(factor.created_at),
        }

    def held_of(self, tenant: str, user: str) -> dict[str, Any]:
        """All that is held of a user, ready for JSON: the factors without their secrets, how many recovery codes are
        left, where notices go, and the events under the user's pseudonym. Raises StoreUnavailable also where no key
        opens a factor."""
        now, subject = self._clock.now(), self._records.subject(tenant, user)
        record = self._store.users.look(now, subject.user, ()).record
        states = [msgspec.to_builtins(self._records.state(subject, each)) for each in live(record, now)]
        times = ("created_at", "used_at")
        return {
            "tenant": tenant,
            "at": rfc3339(now),
            "user": user,
            "pseudonym": subject.user,
            "factors": [each | {name: each[name] and rfc3339(each[name]) for name in times} for each in states],
            "recovery_codes_left": codes_left(record),
            "contact": self._contact(tenant, record) if record and record.channel else None,
            "events": [each for each in self._store.events.read(0) if each.get("user") == subject.user],
        }

    def _contact(self, tenant: str, record: User) -> dict[str, Any]:
        content = Content.open(plain(record.message))
        to = self._keys.readable_to(plain(record.to), tenant, content.number)
        return {"to": to, "channel": record.channel, "locale": content.locale or None}

    def erase(self, tenant: str, user: str, by: Actor, why: str) -> bool:
        """Forgets a user; False where there was nothing. An event says who erased and why."""
        now, subject = self._clock.now(), self._records.subject(tenant, user)
        with self._audit.act(now, by, "erase", f"user:{subject.user}", why, tenant=tenant):
            erased = self._store.users.erase(now, subject)
            self._store.data_subjects.told(now, subject.user, tenant, by.name, why)
        return erased

    def held(self) -> int:
        """How many pieces all keys seal: a name for each user, and each factor."""
        return self._store.keeping.sealed().total()

    def foreign(self) -> int:
        """How many pieces are sealed by others than the newest key."""
        return sum(count for kid, count in self._store.keeping.sealed().items() if kid != self._keys.newest)

    def reseal(self, by: Actor, advance: Callable[[int], object] = lambda _: None, *, erase_lost: str = "") -> Resealed:
        """Seals anew, under the newest key, whatever another one sealed; `advance` is told how many pieces so far.
        Checks go on meanwhile. Users of the key `erase_lost`, which is not in the ring, are erased."""
        lost = {"erase_lost": erase_lost} if erase_lost else {}
        with self._audit.act(self._clock.now(), by, "reseal", f"key:{self._keys.newest}", **lost):
            return self._reseal(advance, erase_lost)

    def _reseal(self, advance: Callable[[int], object], erase_lost: str) -> Resealed:
        done, erased, unopened = 0, 0, 0
        for page in self._store.keeping.pages():
            anew = []
            for tag, user in page:
                subject = Subject(user.tenant, tag)
                try:
                    if pieces := self._records.anew(subject, user):
                        anew.append((tag, pieces))
                except (KeyError, ValueError) as error:
                    if erase_lost and isinstance(error, KeyError) and error.args == (erase_lost,):
                        erased += self._store.users.erase(self._clock.now(), subject)
                    else:
                        unopened += 1
            done += _patiently(partial(self._store.keeping.reseal, anew))
            advance(done)
        return Resealed(done, erased, unopened)


def read(line: bytes) -> tuple[Line, otpauth.Found]:
    """What a line says. Raises Unreadable."""
    if len(line) > LONGEST_LINE:
        raise Unreadable(f"the line is longer than {LONGEST_LINE} bytes")
    try:
        said = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf"), type=Line)
    except msgspec.ValidationError as error:
        where = str(error).rpartition("`$")[2].strip(".`")
        raise Unreadable(_FORMS.get(where, _FORMS[""])) from None
    except (msgspec.DecodeError, UnicodeError):
        raise Unreadable(_FORMS[""]) from None
    return said, otpauth.read(said.uri)


def lines(file: IO[bytes], advance: Callable[[int], object]) -> Iterator[bytes]:
    """The lines of a file, each cut where it is longer than one may be; `advance` is told how many bytes are read."""
    done = 0
    while line := file.readline(LONGEST_LINE + 1):
        done += len(line)
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(LONGEST_LINE)):
            done += len(rest)
        advance(done)
        yield line


_FORMS = {
    "": 'the line is no JSON object with "user" and "uri"; write {"user": "…", "uri": "otpauth://totp/…"}',
    "user": '"user" is 1 to 256 characters, without / and control characters',
    "uri": '"uri" is a text, otpauth://totp/… or otpauth://hotp/…',
    "id": '"id" is fa_ and 32 hex digits, as an export has it; leave it out of what comes from elsewhere',
    "created_at": '"created_at" is a time as in RFC 3339, such as 2026-01-31T12:00:00Z; leave it out if unknown',
}


def _patiently(work: Callable[[], Answer]) -> Answer:
    """The answer, also where the store fails over meanwhile: what is asked here may be asked twice."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return work()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.25)
