"""Second factors without a store: the codes of an authenticator app, its QR code, and recovery codes.

TOTP is RFC 6238, HOTP is RFC 4226. The `otpauth://` URI is the key URI format that Google Authenticator began and the
other apps read.
"""

import base64
import io
import secrets
import threading
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote

import segno
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from verify_service import typed
from verify_service.codes import hotp
from verify_service.model import Frozen

Kind = Literal["totp", "hotp"]
Algorithm = Literal["SHA1", "SHA256", "SHA512"]

# As long as the hash's output, as RFC 4226 (section 4, R6) and RFC 6238 (section 5.1) recommend.
SECRET_BYTES = {"SHA1": 20, "SHA256": 32, "SHA512": 64}
DIGITS = (6, 8)
PERIOD = (15, 120)
"""Seconds. NIST SP 800-63B-4 (section 3.1.4.1) wants a new code every two minutes at least."""
RESYNC_AHEAD = 50
"""How far ahead two HOTP codes in a row are looked for (RFC 4226, section 7.4)."""
RECOVERY_CODES = 10
SALT_BYTES = 16
HASH_BYTES = 16
# Crockford's Base32: no i, l, o or u, so that nobody takes one sign for another, read aloud or on paper.
_SIGNS = "0123456789abcdefghjkmnpqrstvwxyz"
_MEANT = str.maketrans("oil", "011")
_LENGTH = 10
# OWASP's password storage cheat sheet: Argon2id with 19 MiB, two passes, one lane.
_MEMORY_KIB, _PASSES = 19_456, 2
# Each takes 19 MiB while it runs; a web role has more threads than a host may have room for.
_hashing = threading.BoundedSemaphore(4)


class Authenticator(Frozen, frozen=True):
    """What an app and we agree on. `period` is in seconds, and of HOTP nothing."""

    kind: Kind
    secret: bytes
    digits: int = 6
    period: int = 30
    algorithm: Algorithm = "SHA1"

    @property
    def base32(self) -> str:
        """The secret as people type it into an app: without padding."""
        return base64.b32encode(self.secret).decode().rstrip("=")

    def codes(self, first: int, last: int) -> Iterator[tuple[int, str]]:
        """The codes of the counters from `first` to `last`, both included; there are none below zero. A TOTP's counter
        is its time step."""
        for counter in range(max(0, first), last + 1):
            yield counter, hotp(self.secret, self.digits, counter, self.algorithm.lower())

    def step(self, now: int) -> int:
        """The time step of a moment in milliseconds (RFC 6238, section 4.2)."""
        return now // 1000 // self.period

    def uri(self, label: str, issuer: str, counter: int = 0) -> str:
        """The key URI that a QR code shows, the issuer in both places that apps look for it."""
        name = f"{quote(issuer)}:{quote(label)}" if issuer else quote(label)
        said = {"secret": self.base32, "issuer": quote(issuer)}
        if (self.algorithm, self.digits) != ("SHA1", 6):
            said |= {"algorithm": self.algorithm, "digits": str(self.digits)}
        said |= {"counter": str(counter)} if self.kind == "hotp" else {"period": str(self.period)}
        return f"otpauth://{self.kind}/{name}?{'&'.join(f'{key}={value}' for key, value in said.items() if value)}"


def new_secret(algorithm: Algorithm) -> bytes:
    """A fresh secret, as long as the hash wants it."""
    return secrets.token_bytes(SECRET_BYTES[algorithm])


def qr(uri: str) -> str:
    """The QR code of a URI as an SVG element, to be put into a page or shown as a picture: without styles or scripts,
    in the size of its place."""
    written = io.BytesIO()
    segno.make(uri, error="m", micro=False).save(
        written, kind="svg", scale=4, omitsize=True, light="#fff", xmldecl=False, svgclass=None, lineclass=None
    )
    return written.getvalue().decode().strip()


def new_recovery_codes() -> tuple[str, ...]:
    """Ten, of 50 random bits each, in two groups of five that can be read aloud."""
    drawn = ("".join(secrets.choice(_SIGNS) for _ in range(_LENGTH)) for _ in range(RECOVERY_CODES))
    return tuple(f"{code[:5]}-{code[5:]}" for code in drawn)


def recovery_code(written: str) -> str | None:
    """The ten signs of a recovery code as a person typed it: in capitals, with spaces or dashes, an O for a 0. None of
    what is none."""
    found = typed.code(written).lower().translate(_MEANT)
    return found if len(found) == _LENGTH and set(found) <= set(_SIGNS) else None


def slow_hash(code: str, salt: bytes) -> bytes:
    """Argon2id (RFC 9106) of a recovery code's ten signs. A few run at a time; the others wait."""
    with _hashing:
        return Argon2id(salt=salt, length=HASH_BYTES, iterations=_PASSES, lanes=1, memory_cost=_MEMORY_KIB).derive(
            code.encode()
        )
