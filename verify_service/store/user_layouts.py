"""The layouts of users and their factors, as layouts.py has the others: what is kept grows at its end alone."""

from collections.abc import Sequence
from typing import ClassVar

from verify_service.packing import Answer, Array, Bytes, Empty, Layout, text

NOTHING = text(b"")


class Factor(Array, frozen=True):
    """A second factor. `sealed` has its secret, label and issuer. `counter` is the highest time step that was accepted,
    -1 before the first, or the next counter of HOTP; `used` has a bit for each of the steps below it, the lowest bit
    being the next below; `drift` is how many steps its device's clock was off last; `ahead` is the counter that must
    come next for HOTP to be believed far ahead, 0 where none is waited for."""

    keeps_tail: ClassVar[bool] = True
    id: str
    kind: str
    status: str
    sealed: Bytes
    algorithm: str
    digits: int
    period: int
    created_at: int
    used_at: int = 0
    counter: int = -1
    used: int = 0
    drift: int = 0
    ahead: int = 0


class User(Array, frozen=True):
    """A tenant's user. `name` is sealed; `codes` are hashes of the recovery codes that are left, one behind the other,
    `salt` is theirs. A notice goes `to` a number or address, sealed, by `channel`; `message` is its packed content.
    `wrong` are the wrong codes in a row since the last right one, or since they were told of, at `warned_at`."""

    keeps_tail: ClassVar[bool] = True
    tenant: str
    name: Bytes
    factors: Sequence[Factor] | Empty = ()
    salt: Bytes = NOTHING
    codes: Bytes = NOTHING
    to: Bytes = NOTHING
    message: Bytes = NOTHING
    channel: str = ""
    wrong: int = 0
    warned_at: int = 0


class Contact(Array, frozen=True):
    """Where a user's notices go, as the record has it; `channel` is '' where they go nowhere."""

    to: Bytes = NOTHING
    message: Bytes = NOTHING
    channel: str = ""


class Subject(Array, frozen=True):
    """Whose record a script works on, and with which name it would begin one."""

    tenant: str
    user: str
    name: Bytes = NOTHING


class Match(Array, frozen=True):
    """A counter of a factor whose code was typed; `drift` as it would be learnt, `ahead` where HOTP is not to be
    believed yet. `sealed` is the secret under the newest key, where it was sealed by another."""

    factor: str
    counter: int
    drift: int = 0
    ahead: bool = False
    sealed: Bytes = NOTHING


class NoticeAsk(Array, frozen=True):
    """Of what the tenant's users are told, and the id that a notice has; `wrong_codes` in a row, 0 where of none."""

    id: str
    factor_added: bool
    recovery_codes_used: bool
    wrong_codes: int


class FactorAsk(Array, frozen=True):
    """A check as its script takes it: what the code matches, and the hash that it has as a recovery code. `verifying`
    is the factor that the first right code verifies; it brings `codes` with their `salt`, for a user who has none. With
    a `binding`, its fingerprint, the approval can be asked for again. `unread` where a limit refused so clearly that
    nobody looked what the code matches."""

    subject: Subject
    id: str
    request: str
    decision: str
    revision: int
    replay_ms: int
    matches: Sequence[Match]
    recovery: Bytes
    verifying: str = ""
    salt: Bytes = NOTHING
    codes: Bytes = NOTHING
    binding: str = ""
    unread: bool = False
    notices: NoticeAsk | None = None


class Resealed(Array, frozen=True):
    """Pieces of a user's record as they were read, and each as it was sealed anew."""

    was: Sequence[Bytes]
    now: Sequence[Bytes]


class FactorAnswer(Answer, frozen=True):
    """`check_factor`: a code was compared, and is `approved`, `wrong`, or `used` before. `left` is how many wrong codes
    the user may still type, -1 where nothing counts them; `codes_left` are recovery codes, `codes_kept` is 1 where
    those that were brought are theirs now."""

    kind: str
    id: str
    factor: str
    of_kind: str
    left: int
    codes_left: int
    codes_kept: int
    at: int
    observed: Sequence[str] = ()


class SeenUser(Answer, frozen=True):
    """`user`: the record, nothing where there is none; the limit that refuses a code, '' where none does, and for how
    long in ms; `left` as in FactorAnswer."""

    record: bytes
    limit: str
    wait: int
    left: int


class Approval(Array, frozen=True):
    """An approval that can be asked for again."""

    at: int
    id: str
    factor: str
    kind: str


ALL: tuple[type[Layout], ...] = (
    *(Factor, User, Contact, Subject, Match, NoticeAsk, FactorAsk, Resealed, FactorAnswer, SeenUser, Approval),
)
