"""A user's second factors: enrol, verify, check, remove. It knows no HTTP and no Redis, as service.py does not.

What a code matches is found here, from the record as it was read; the script then decides, on the record as it is. It
counts first: a caller is told `wrong` or `approved` of as many codes as the limits on a user's wrong codes allow.
"""

import secrets
from collections.abc import Mapping

import msgspec

from verify_service import authenticators, codes
from verify_service.approvals import Approvals
from verify_service.asking import idempotency
from verify_service.config import Config
from verify_service.errors import InvalidRequest, NotFound, StoreUnavailable
from verify_service.factors.contacts import Contacts, NewContact, contact_of
from verify_service.factors.nouns import (
    PROVES,
    RECOVERY_CODE,
    Enrolled,
    FactorCheck,
    FactorState,
    NewFactor,
    UserState,
)
from verify_service.factors.records import Records, Secret, codes_left, live
from verify_service.factors.written import Written, counted, outcome, read, shown_id
from verify_service.model import Actor, Clock
from verify_service.packing import text
from verify_service.policy.rulebook import Rulebook, Rules
from verify_service.refusals import refusal
from verify_service.store.audit import Audit
from verify_service.store.shapes import Refused
from verify_service.store.user_layouts import NOTHING, FactorAnswer, FactorAsk, Match, Subject, User
from verify_service.store.users import Seen, Users
from verify_service.store.verifications import CHECK_REPLAY_MS
from verify_service.telemetry import FACTOR_CHECKS, counting_problems

__all__ = [
    "NO_SUCH_FACTOR",
    "RECOVERY_CODE",
    "Enrolled",
    "FactorCheck",
    "FactorState",
    "Factors",
    "NewFactor",
    "UserState",
]

NO_FACTOR = "The user has no verified factor."
NO_SUCH_FACTOR = "The user has no such factor."
_encode = msgspec.json.Encoder(order="deterministic").encode


class Factors:
    """The second factors of all tenants' users. Every method raises StoreUnavailable."""

    def __init__(
        self,
        config: Config,
        rules: Rules,
        keys: codes.KeyRing,
        tagger: codes.Tagger,
        users: Users,
        clock: Clock,
        approvals: Approvals,
    ) -> None:
        self._config = config
        self._rules = rules
        self._records = Records(keys, tagger)
        self._contacts = Contacts(config, keys, tagger, users)
        self._tagger = tagger
        self._users = users
        self._audit = Audit(users.link, tagger)
        self._clock = clock
        self._approvals = approvals

    def tag(self, tenant: str, user: str) -> str:
        """The user's pseudonym, under which all is kept that is known of it."""
        return self._tagger.user(tenant, user)

    def enrol(self, tenant: str, user: str, new: NewFactor) -> Enrolled:
        """A factor for the user, which its first right code verifies within a day. Raises InvalidRequest where the
        user has as many as the policy allows."""
        now = self._clock.now()
        subject = self._records.subject(tenant, user)
        label, issuer = new.label or user, new.issuer or self._config.tenants[tenant].brand
        secret = Secret(new.secret or authenticators.new_secret(new.algorithm), label, issuer)
        factor = self._records.new_factor(subject, new, secret, now)
        most = self._rules().policy.factors.per_user
        if self._users.enrol(now, subject, factor, most) == "full":
            raise InvalidRequest("user", f"has {most} factors, which is as many as the policy allows; remove one first")
        return self._records.enrolled(subject, factor)

    def waiting(self, tenant: str, user: str, factor_id: str) -> Enrolled | None:
        """What `enrol` answered of a factor that still waits for its first code; None of a verified one, whose secret
        nobody is shown. Raises NotFound."""
        now, subject = self._clock.now(), self._records.subject(tenant, user)
        record = self._users.look(now, subject.user, ()).record
        found = next((each for each in live(record, now) if f"fa_{each.id}" == factor_id), None)
        if found is None:
            raise NotFound(NO_SUCH_FACTOR)
        return None if found.status == "verified" else self._records.enrolled(subject, found)

    def verify(self, tenant: str, user: str, factor_id: str, code: str, *, recovery_codes: bool = True) -> FactorCheck:
        """Compares a code with the one factor; the first right one verifies it, and brings recovery codes to a user who
        has none, where `recovery_codes` are wanted. Raises NotFound, RateLimited, InvalidRequest."""
        written = Written(*read(code), factor_id, verifying=True, recovery_codes=recovery_codes)
        return self._decide(tenant, user, written)

    def check(
        self,
        tenant: str,
        user: str,
        code: str,
        *,
        factor: str | None = None,
        receipt: bool = False,
        binding: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> FactorCheck:
        """Compares a code with the user's verified factors, or the one that is named, and with the recovery codes; a
        right one is approved once. Raises NotFound where the user has no verified factor, RateLimited,
        IdempotencyMismatch, and InvalidRequest for what is no code, or where no receipt is possible."""
        written = Written(*read(code), factor, binding, receipt, idempotency_key)
        return self._decide(tenant, user, written)

    def recent(
        self, tenant: str, user: str, max_age: int, binding: Mapping[str, str], *, receipt: bool = False
    ) -> FactorCheck | None:
        """The approval that came with the same binding within `max_age` seconds, at most a day; None where there is
        none. It spends nothing. Raises InvalidRequest."""
        wish = self._approvals.wish(tenant, receipt)
        now = self._clock.now()
        tag = self._tagger.user(tenant, user)
        found = self._users.approval(tag, self._tagger.binding(binding))
        if found is None or not found.at <= now < found.at + max_age * 1000:
            return None
        proven = PROVES[found.kind]
        signed = self._approvals.receipt_of_factor(wish, tenant, user, found.id, now, found.at, binding, proven)
        seen = self._users.look(now, tag, self._rules().limits.of_user(tag))
        return FactorCheck(
            id=found.id,
            status="approved",
            factor=shown_id(found.factor),
            kind=found.kind,
            checks_left=counted(seen.left),
            at=found.at,
            recovery_codes_left=codes_left(seen.record),
            receipt=signed,
        )

    def look(self, tenant: str, user: str) -> UserState:
        """What there is of the user; one that is not known has nothing."""
        now = self._clock.now()
        subject = self._records.subject(tenant, user)
        book = self._rules()
        seen = self._users.look(now, subject.user, book.limits.of_user(subject.user))
        factors = tuple(self._records.state(subject, each) for each in live(seen.record, now))
        wait = -(-seen.wait // 1000) if seen.limit else None
        contact = self._contacts.shown(tenant, seen.record)
        verified = any(each.status == "verified" for each in factors)
        texts = not verified or book.policy.factors.texts != "deny"
        return UserState(factors, codes_left(seen.record), counted(seen.left), wait, texts, contact)

    def parse_contact(self, to: str, region: str | None, channel: str | None, locale: str | None) -> NewContact:
        """Where notices are to go, from what the caller wrote. Raises InvalidNumber, InvalidRequest."""
        return contact_of(to, region, channel, locale, self._config, self._clock.now())

    def set_contact(self, tenant: str, user: str, contact: NewContact | None) -> None:
        """Says where the user's notices go; None: nowhere. A user who is not known is, from then on."""
        sealed = self._contacts.sealed(tenant, contact)
        self._users.set_contact(self._clock.now(), self._records.subject(tenant, user), sealed)

    def named(self, tenant: str, tag: str, record: User) -> tuple[str, tuple[FactorState, ...]]:
        """A user's name and factors, of the record that a store has under a tag. Raises StoreUnavailable where this
        process has no key for them."""
        subject = Subject(tenant, tag)
        try:
            name = self._records.name(subject, record)
        except KeyError as error:
            raise StoreUnavailable(f"a user is sealed by the key {error}, which VERIFY_KEYS does not have") from None
        return name, tuple(self._records.state(subject, each) for each in live(record, self._clock.now()))

    def remove(self, tenant: str, user: str, factor_id: str, by: Actor, reason: str = "") -> None:
        """Takes a factor from the user; with the last verified one, the recovery codes are void. Raises NotFound."""
        now, subject = self._clock.now(), self._records.subject(tenant, user)
        with self._audit.act(now, by, "remove", f"user:{subject.user}", reason, tenant=tenant, factor=factor_id):
            if not self._users.remove(now, subject, factor_id.removeprefix("fa_")):
                raise NotFound(NO_SUCH_FACTOR)

    def renew_recovery_codes(self, tenant: str, user: str) -> tuple[str, ...]:
        """Ten new ones; those of before are void. Raises NotFound where the user has no verified factor."""
        now, subject = self._clock.now(), self._records.subject(tenant, user)
        # Ten slow hashes are for users who may have them.
        known = live(self._users.look(now, subject.user, ()).record, now)
        if any(each.status == "verified" for each in known):
            fresh, salt, kept = self._records.new_codes(subject)
            if self._users.renew_codes(now, subject, salt, kept):
                return fresh
        raise NotFound(NO_FACTOR)

    def erase(self, tenant: str, user: str, by: Actor, reason: str = "") -> bool:
        """Forgets the user; False where there was nothing."""
        now, subject = self._clock.now(), self._records.subject(tenant, user)
        with self._audit.act(now, by, "erase", f"user:{subject.user}", reason, tenant=tenant):
            return self._users.erase(now, subject)

    @counting_problems(FACTOR_CHECKS)
    def _decide(self, tenant: str, user: str, written: Written) -> FactorCheck:
        wish = self._approvals.wish(tenant, written.receipt)
        book = self._rules()
        subject = self._records.subject(tenant, user)
        hits = book.limits.of_user(subject.user)
        said = idempotency(
            self._tagger, written.idempotency_key, lambda: _encode(written._asdict()), tenant, "factors", user
        )
        decided: tuple[FactorAnswer, bool] | Refused = Refused("unread")
        while isinstance(decided, Refused) and decided.kind == "unread":
            now = self._clock.now()
            ask, fresh = self._ask(subject, written, now, self._users.look(now, subject.user, hits), book)
            decided = self._users.check(now, ask, hits, said)
        if isinstance(decided, Refused):
            if decided.kind == "absent":
                raise NotFound(NO_SUCH_FACTOR if written.factor else NO_FACTOR)
            raise refusal(decided, book.policy)
        told, replayed = decided
        FACTOR_CHECKS.labels("replayed" if replayed else told.kind).inc()
        signed = None
        if told.kind == "approved":
            proven = PROVES[told.of_kind]
            signed = self._approvals.receipt_of_factor(
                wish, tenant, user, told.id, told.at, told.at, written.binding, proven
            )
        return outcome(told, fresh if told.codes_kept and not replayed else None, signed)

    def _ask(
        self, subject: Subject, written: Written, now: int, seen: Seen, book: Rulebook
    ) -> tuple[FactorAsk, tuple[str, ...]]:
        """What the script decides by, and the recovery codes that an approval would bring. Raises NotFound,
        StoreUnavailable."""
        only = (written.factor or "").removeprefix("fa_")
        factors = [each for each in live(seen.record, now) if not only or each.id == only]
        if not written.verifying:
            factors = [each for each in factors if each.status == "verified"]
        if not factors:
            raise NotFound(NO_SUCH_FACTOR if only else NO_FACTOR)
        matches: list[Match] = []
        hashed, salt, kept = NOTHING, b"", b""
        fresh: tuple[str, ...] = ()
        unread = seen.limit != ""  # What is refused anyway is not worth a slow hash.
        if written.code and not unread:
            matches = [*self._records.matches(subject, factors, written.code, now, book.policy.factors)]
        if written.recovery and not unread and not only:
            hashed = self._records.recovery_hash(subject, seen.record, written.recovery)
        wanted = written.recovery_codes and not codes_left(seen.record)
        if wanted and matches and factors[0].status != "verified":
            fresh, salt, kept = self._records.new_codes(subject)
        ask = FactorAsk(
            subject=subject,
            id=self._users.new_id("ap", subject.user),
            request=secrets.token_hex(8),
            decision=self._users.new_id("de", subject.user),
            revision=book.revision,
            replay_ms=CHECK_REPLAY_MS,
            matches=matches,
            recovery=hashed,
            verifying=only if written.verifying else "",
            salt=text(salt),
            codes=text(kept),
            binding=self._tagger.binding(written.binding),
            unread=unread,
            notices=self._contacts.wanted(subject.tenant, subject.user),
        )
        return ask, fresh
