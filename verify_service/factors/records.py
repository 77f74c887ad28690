"""What is sealed of a user and its factors, and which counters a code belongs to."""

import hmac
import secrets
from collections.abc import Iterator, Sequence

import msgspec

from verify_service import authenticators, codes
from verify_service.authenticators import RESYNC_AHEAD, SALT_BYTES, Authenticator
from verify_service.errors import StoreUnavailable
from verify_service.factors.nouns import Enrolled, FactorState, NewFactor
from verify_service.packing import plain, text
from verify_service.policy.base import DAY_MS
from verify_service.policy.sections import FactorSettings
from verify_service.store.layouts import Content
from verify_service.store.user_layouts import NOTHING, Factor, Match, Subject, User


class Secret(msgspec.Struct, frozen=True, array_like=True):
    """What is sealed of a factor."""

    secret: bytes
    label: str
    issuer: str


class Records:
    """Reads and makes what a user's record holds."""

    def __init__(self, keys: codes.KeyRing, tagger: codes.Tagger) -> None:
        self._keys = keys
        self._tagger = tagger

    def subject(self, tenant: str, user: str) -> Subject:
        """Whose record it is, with the name sealed."""
        tag = self._tagger.user(tenant, user)
        return Subject(tenant, tag, text(self._keys.encrypt(user.encode(), _name_place(tenant, tag))))

    def new_factor(self, subject: Subject, new: NewFactor, secret: Secret, now: int) -> Factor:
        """A factor that waits for its first code."""
        factor_id = secrets.token_hex(16)
        return Factor(
            id=factor_id,
            kind=new.kind,
            status="unverified",
            sealed=self.seal(subject, factor_id, secret),
            algorithm=new.algorithm,
            digits=new.digits,
            period=new.period,
            created_at=now,
            counter=new.counter if new.kind == "hotp" else -1,
        )

    def enrolled(self, subject: Subject, factor: Factor) -> Enrolled:
        """The factor with what is shown of it until it is verified. Raises StoreUnavailable as `open` does."""
        opened = self.open(subject, factor)
        made = authenticator(factor, opened)
        uri = made.uri(opened.label, opened.issuer, max(0, factor.counter))
        return Enrolled(self.state(subject, factor), made.base32, uri, authenticators.qr(uri))

    def state(self, subject: Subject, factor: Factor) -> FactorState:
        """The factor as its tenant may see it. Raises StoreUnavailable as `open` does."""
        opened = self.open(subject, factor)
        return FactorState(
            id=f"fa_{factor.id}",
            kind=factor.kind,  # type: ignore[arg-type]
            status=factor.status,
            label=opened.label,
            issuer=opened.issuer,
            digits=factor.digits,
            period=factor.period,
            algorithm=factor.algorithm,  # type: ignore[arg-type]
            created_at=factor.created_at,
            used_at=factor.used_at or None,
        )

    def open(self, subject: Subject, factor: Factor) -> Secret:
        """What is sealed of it. Raises StoreUnavailable where this process has no key for it: another one may."""
        try:
            opened = self._keys.decrypt(plain(factor.sealed), _place(subject, factor.id))
        except KeyError as error:
            raise StoreUnavailable(f"a factor is sealed by the key {error}, which VERIFY_KEYS does not have") from None
        return _read_secret(opened)

    def matches(
        self, subject: Subject, factors: Sequence[Factor], code: str, now: int, settings: FactorSettings
    ) -> Iterator[Match]:
        """Each counter whose code this is: of TOTP one step around now and around what was learnt of its device's
        drift, of HOTP the one that was used last, the next few, and those further ahead as not to be believed yet."""
        for factor in factors:
            if factor.digits != len(code):
                continue
            opened = self.open(subject, factor)
            made = authenticator(factor, opened)
            sealed = self._sealed_anew(subject, factor, opened)
            if factor.kind == "hotp":
                near = factor.counter + settings.look_ahead
                for counter, right in made.codes(factor.counter - 1, factor.counter + RESYNC_AHEAD):
                    if hmac.compare_digest(right, code):
                        yield Match(factor.id, counter, ahead=counter >= near, sealed=sealed)
                continue
            step = made.step(now)
            for counter, right in made.codes(step + min(0, factor.drift) - 1, step + max(0, factor.drift) + 1):
                if hmac.compare_digest(right, code):
                    drift = max(-settings.drift, min(settings.drift, counter - step))
                    yield Match(factor.id, counter, drift, sealed=sealed)

    def recovery_hash(self, subject: Subject, record: User | None, code: str) -> msgspec.Raw:
        """What is kept of a recovery code; nothing where the user has none."""
        salt = plain(record.salt) if record else b""
        return text(self._tagger.recovery(subject.user, authenticators.slow_hash(code, salt))) if salt else NOTHING

    def new_codes(self, subject: Subject) -> tuple[tuple[str, ...], bytes, bytes]:
        """Fresh recovery codes, their salt, and what is kept of them."""
        fresh, salt = authenticators.new_recovery_codes(), secrets.token_bytes(SALT_BYTES)
        signs = (code.replace("-", "") for code in fresh)
        kept = b"".join(self._tagger.recovery(subject.user, authenticators.slow_hash(code, salt)) for code in signs)
        return fresh, salt, kept

    def name(self, subject: Subject, record: User) -> str:
        """The user's name. Raises KeyError for a kid that has left the ring, ValueError for a forged or moved text."""
        return self._keys.decrypt(plain(record.name), _name_place(subject.tenant, subject.user)).decode()

    def anew(self, subject: Subject, record: User) -> dict[bytes, bytes]:
        """Each piece of the record that another than the newest key sealed, and what it is under the newest. Raises as
        `name`."""
        places = {plain(record.name): _name_place(subject.tenant, subject.user)}
        if record.channel:
            number = Content.open(plain(record.message)).number
            places[plain(record.to)] = codes.recipient_place(subject.tenant, number)
        places |= {plain(factor.sealed): _place(subject, factor.id) for factor in factors_of(record)}
        return {
            sealed: self._keys.encrypt(self._keys.decrypt(sealed, place), place)
            for sealed, place in places.items()
            if self._keys.kid_of(sealed) != self._keys.newest
        }

    def seal(self, subject: Subject, factor_id: str, secret: Secret) -> msgspec.Raw:
        """A factor's secret and names under the newest key."""
        return text(self._keys.encrypt(msgspec.msgpack.encode(secret), _place(subject, factor_id)))

    def _sealed_anew(self, subject: Subject, factor: Factor, opened: Secret) -> msgspec.Raw:
        """The secret under the newest key; nothing where it is sealed by that."""
        if self._keys.kid_of(plain(factor.sealed)) == self._keys.newest:
            return NOTHING
        return self.seal(subject, factor.id, opened)


def _name_place(tenant: str, tag: str) -> str:
    return f"user|{tenant}|{tag}"


def _place(subject: Subject, factor_id: str) -> str:
    return f"factor|{subject.tenant}|{subject.user}|{factor_id}"


_read_secret = msgspec.msgpack.Decoder(Secret).decode


def authenticator(factor: Factor, opened: Secret) -> Authenticator:
    """What makes the factor's codes."""
    return Authenticator(
        factor.kind,  # type: ignore[arg-type]
        opened.secret,
        factor.digits,
        factor.period,
        factor.algorithm,  # type: ignore[arg-type]
    )


def factors_of(record: User) -> Sequence[Factor]:
    """All that the record has, those that nobody verified among them."""
    return () if isinstance(record.factors, dict) else record.factors


def live(record: User | None, now: int) -> list[Factor]:
    """The factors of a user without those that nobody verified within a day."""
    factors = factors_of(record) if record else ()
    return [each for each in factors if each.status == "verified" or each.created_at > now - DAY_MS]


def codes_left(record: User | None) -> int:
    """How many recovery codes a user has."""
    return len(plain(record.codes)) // authenticators.HASH_BYTES if record else 0
