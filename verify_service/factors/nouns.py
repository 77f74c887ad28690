"""The nouns of second factors, as their callers see them. Times are in milliseconds."""

from verify_service.authenticators import Algorithm, Kind
from verify_service.factors.contacts import ContactState
from verify_service.model import Frozen

RECOVERY_CODE = "recovery-code"
# What a factor proves (RFC 8176, section 2); it has no word for a recovery code, which NIST SP 800-63B calls a look-up
# secret.
PROVES = {"totp": ["otp"], "hotp": ["otp"], RECOVERY_CODE: [RECOVERY_CODE]}


class NewFactor(Frozen, frozen=True, kw_only=True):
    """What a caller asks for. `secret` is made where none is brought, `counter` is where HOTP begins; `label` is what
    the app shows beside the issuer, the user's name where it is None, and `issuer` is then the tenant's brand."""

    kind: Kind = "totp"
    label: str | None = None
    issuer: str | None = None
    digits: int = 6
    period: int = 30
    algorithm: Algorithm = "SHA1"
    secret: bytes | None = None
    counter: int = 0


class FactorState(Frozen, frozen=True):
    """A factor as its tenant may see it; never the secret. Times in milliseconds."""

    id: str
    kind: Kind
    status: str
    label: str
    issuer: str
    digits: int
    period: int
    algorithm: Algorithm
    created_at: int
    used_at: int | None


class Enrolled(Frozen, frozen=True):
    """A factor that waits for its first code, with what is shown this once: the secret in Base32, the key URI, and its
    QR code as SVG."""

    factor: FactorState
    secret: str
    uri: str
    qr: str


class FactorCheck(Frozen, frozen=True):
    """The outcome of one code. `status` is approved, wrong or used; `factor` and `kind` say what it was, None where
    nothing is known of it. `checks_left` are the wrong codes that the user may still type, None where nothing counts
    them. `recovery_codes` are there where this code brought them, `recovery_codes_left` where one was used."""

    id: str
    status: str
    factor: str | None
    kind: str | None
    checks_left: int | None
    at: int
    recovery_codes_left: int
    recovery_codes: tuple[str, ...] | None = None
    receipt: str | None = None

    @property
    def approved(self) -> bool:
        return self.status == "approved"


class UserState(Frozen, frozen=True):
    """What a user can do: the factors, how many recovery codes are left, and how many wrong codes may be typed, None
    where nothing counts them. While `retry_after` seconds have not passed, no code is compared. `texts` says whether
    the policy lets a start that names the user send a code, and `contact` where notices go."""

    factors: tuple[FactorState, ...]
    recovery_codes_left: int
    checks_left: int | None
    retry_after: int | None
    texts: bool
    contact: ContactState | None = None
