"""Codes, digests, tags and ciphertext: everything that depends on a key. Nothing here touches a store.

A code is derived, never stored: `HOTP(HMAC-SHA256(master, "code" …))` (RFC 4226, as pyotp has it). What is stored is
`sha1hex(A .. nonce .. tenant .. purpose)` with `A = HMAC-SHA256(master, "check" | code | binding)`: the check script
recomputes the outer hash from the caller's A and the record's own fields, so a code of one purpose, tenant or binding
is worthless in another, and the store alone cannot test a guess.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache

import msgspec
import pyotp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from verify_service import recipient
from verify_service.errors import ConfigError

KEY_BYTES = 32
_canonical = msgspec.json.Encoder(order="deterministic")


def _keyed(key: bytes) -> HMAC:
    """HMAC-SHA256 under a key that is used again and again: the key is hashed in here, once."""
    return HMAC(key, SHA256())


def _mac(keyed: HMAC, *parts: bytes) -> bytes:
    """The MAC of the parts, each preceded by its length, so that no two lists of parts collide."""
    mac = keyed.copy()
    mac.update(b"".join([len(part).to_bytes(4, "big") + part for part in parts]))
    return mac.finalize()


def hotp(secret: bytes, digits: int, counter: int = 0, algorithm: str = "sha1") -> str:
    """The HOTP value of a secret at a counter (RFC 4226, section 5.3; RFC 6238 for other hashes), a fifth of pyotp's
    CPU time. Of secrets below 112 bits, which other systems made and pyotp refuses, as well."""
    mac = hmac.digest(secret, counter.to_bytes(8, "big"), algorithm)
    offset = mac[-1] & 0xF
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return str(number % 10**digits).zfill(digits)


class _MasterKey:
    """One key of the ring with the keys derived from it."""

    __slots__ = ("check", "cipher", "code", "kid", "token")

    def __init__(self, kid: str, secret: bytes) -> None:
        master = _keyed(secret)
        self.kid = kid
        self.code = _keyed(_mac(master, b"verify_service code"))
        self.check = _keyed(_mac(master, b"verify_service check"))
        self.cipher = AESGCM(_mac(master, b"verify_service cipher"))
        self.token = AESSIV(b"".join(_mac(master, b"verify_service token", half) for half in (b"1", b"2")))


def recipient_place(tenant: str, tag: str) -> str:
    """What a sealed recipient is bound to."""
    return f"to|{tenant}|{tag}"


class KeyRing:
    """The master keys, newest first: the first makes, all of them check and decrypt.

    Written `kid:base64,kid:base64` (32 bytes each); a key is retired by leaving it out once what it made has expired.
    """

    def __init__(self, text: str) -> None:
        self._keys = {kid: _MasterKey(kid, secret) for kid, secret in decode_ring("VERIFY_KEYS", text).items()}
        self._newest = next(iter(self._keys.values()))
        probe = _mac(self._newest.code)[:20]
        if hotp(probe, 8) != pyotp.HOTP(base64.b32encode(probe).decode(), digits=8).at(0):
            raise ConfigError("codes would not be as RFC 4226 has them: this Python's HMAC-SHA-1 is at fault")

    @property
    def newest(self) -> str:
        """The kid that new verifications are made with."""
        return self._newest.kid

    @property
    def kids(self) -> tuple[str, ...]:
        """The kids of the ring, newest first."""
        return tuple(self._keys)

    def code(self, kid: str, nonce: str, tenant: str, purpose: str, digits: int) -> str:
        """The code of a nonce: the same inputs give the same code, so a resend or a retry shows the same one.

        Raises KeyError for a kid that has left the ring.
        """
        # 160 bits, the length that RFC 4226 recommends.
        secret = _mac(self._keys[kid].code, nonce.encode(), tenant.encode(), purpose.encode())[:20]
        return hotp(secret, digits)

    def proofs(self, code: str, binding: Mapping[str, str] | None) -> dict[str, str]:
        """A for each key of the ring, by kid: what a check sends in place of the code."""
        parts = (code.encode(), canonical(binding))
        return {kid: _mac(key.check, *parts).hex() for kid, key in self._keys.items()}

    def digest(self, code: str, nonce: str, tenant: str, purpose: str, binding: Mapping[str, str] | None) -> str:
        """What the store keeps of a code made now: 40 hex digits, under the newest key."""
        proof = _mac(self._newest.check, code.encode(), canonical(binding)).hex()
        return hashlib.sha1(f"{proof}{nonce}{tenant}|{purpose}".encode(), usedforsecurity=False).hexdigest()

    def encrypt(self, plain: bytes, context: str) -> bytes:
        """AES-256-GCM under the newest key, bound to its context; kid and nonce travel with it."""
        nonce = secrets.token_bytes(12)
        return self._newest.kid.encode() + b":" + nonce + self._newest.cipher.encrypt(nonce, plain, context.encode())

    def decrypt(self, sealed: bytes, context: str) -> bytes:
        """The plain bytes. Raises KeyError for a kid that has left the ring, ValueError for a forged or moved text."""
        kid, _, rest = sealed.partition(b":")
        key = self._keys[kid.decode("ascii", "replace")]
        try:
            return key.cipher.decrypt(rest[:12], rest[12:], context.encode())
        except InvalidTag:
            raise ValueError("ciphertext does not belong here") from None

    @staticmethod
    def kid_of(sealed: bytes) -> str:
        """The kid of the key that encrypted."""
        return sealed.partition(b":")[0].decode("ascii", "replace")

    def seal_to(self, to: str, tenant: str, tag: str) -> bytes:
        """A recipient, sealed for this tenant and under its own tag alone."""
        return self.encrypt(to.encode(), recipient_place(tenant, tag))

    def unseal_to(self, sealed: bytes, tenant: str, tag: str) -> str:
        """The recipient. Raises as `decrypt` does."""
        return self.decrypt(sealed, recipient_place(tenant, tag)).decode()

    def readable_to(self, sealed: bytes | None, tenant: str, tag: str) -> str | None:
        """The recipient; None where none is kept any more, or its key has left the ring. Raises ValueError as
        `decrypt` does."""
        with suppress(KeyError):
            return self.unseal_to(sealed, tenant, tag) if sealed else None
        return None

    def token(self, plain: bytes, context: str) -> str:
        """A text for a URL that only this ring reads, bound to its context: AES-SIV (RFC 5297) under the newest key, so
        that the same bytes are the same token."""
        sealed = self._newest.token.encrypt(plain, [context.encode()])
        return f"{self._newest.kid}.{_url64(sealed)}"

    def opened(self, token: str, context: str) -> bytes:
        """The bytes of a token. Raises ValueError for whatever is none of this ring, or of another context."""
        kid, _, encoded = token.partition(".")
        try:
            sealed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            if token != f"{kid}.{_url64(sealed)}":
                raise ValueError("the same bytes in other signs")
            return self._keys[kid].token.decrypt(sealed, [context.encode()])
        except (KeyError, ValueError, InvalidTag):
            raise ValueError("this is no token of these keys") from None


class Tagger:
    """Keyed pseudonyms of numbers, addresses, devices and idempotency keys, and the seal of what must be readable as
    long as they are. Its key never rotates."""

    def __init__(self, text: str) -> None:
        secret = _keyed(decode_key("VERIFY_TAG_KEY", text))
        self._key = _keyed(_mac(secret, b"verify_service tag"))
        self._cipher = AESGCM(_mac(secret, b"verify_service seal"))
        self._audit = _keyed(_mac(secret, b"verify_service audit"))
        self.tag: Callable[..., str] = lru_cache(4096)(self.fingerprint)
        """The fingerprint of what comes again and is short, such as a country, a network, a number."""

    def fingerprint(self, kind: str, *values: str) -> str:
        """20 hex digits (80 bits) that name `values` only to who holds the key; kinds never share one."""
        return _mac(self._key, *map(str.encode, (kind, *values))).hex()[:20]

    def number(self, to: str) -> str:
        """The pseudonym of whoever has a number or email address: the same in every key, pointer and event, however it
        is written (`recipient.identity`)."""
        return self.tag("number", recipient.identity(to))

    def user(self, tenant: str, user: str) -> str:
        """The pseudonym of a tenant's user: two tenants' users of one name are two people."""
        return self.tag("user", tenant, user)

    def factor(self, user: str, secret: bytes) -> str:
        """The id of a factor that comes from elsewhere: 32 hex digits, the same each time it comes."""
        return _mac(self._key, b"factor", user.encode(), secret).hex()[:32]

    def binding(self, binding: Mapping[str, str] | None) -> str:
        """The fingerprint of a binding, '' of none."""
        return self.fingerprint("binding", canonical(binding).decode()) if binding else ""

    def recovery(self, user: str, slow: bytes) -> bytes:
        """What is kept of a recovery code, from its slow hash: whoever has the store alone cannot try codes."""
        return _mac(self._key, b"recovery", user.encode(), slow)[: len(slow)]

    def former(self, to: str) -> tuple[str, ...]:
        """Their pseudonyms of earlier versions, under which an opt-out may stand."""
        return tuple(self.tag("number", name) for name in recipient.formerly(to))

    def audit(self, entry: bytes) -> str:
        """What proves that an entry of the audit log was written by who holds the key: 64 hex digits."""
        return _mac(self._audit, entry).hex()

    def seal(self, plain: bytes, context: str) -> bytes:
        """AES-256-GCM, bound to its context; the nonce travels with it."""
        nonce = secrets.token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, plain, context.encode())

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """The plain bytes. Raises ValueError for what another key sealed, or another context."""
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], context.encode())
        except InvalidTag:
            raise ValueError("ciphertext does not belong here") from None


def canonical(binding: Mapping[str, str] | None) -> bytes:
    """One byte string per binding, whatever its order; none and empty are the same."""
    return _canonical.encode(dict(binding)) if binding else b""


def decode_ring(name: str, text: str) -> dict[str, bytes]:
    """The keys of a ring by their kids, in its order, from `kid:base64,kid:base64`. Raises ConfigError, which never
    shows a key."""
    keys: dict[str, bytes] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        kid, _, encoded = entry.partition(":")
        if not kid or not kid.isascii() or not kid.isalnum() or len(kid) > 16:
            raise ConfigError(f"{name}: each key is written kid:base64, its kid 1 to 16 letters or digits")
        if kid in keys:
            raise ConfigError(f"{name}: the kid {kid!r} stands twice; each key needs its own")
        keys[kid] = decode_key(name, encoded)
    if not keys:
        raise ConfigError(f"{name} is empty; make one with `verify-service keys new`")
    return keys


def _url64(data: bytes) -> str:
    """Base64 for a URL, without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode_key(name: str, encoded: str) -> bytes:
    """32 bytes from base64 (either alphabet). Raises ConfigError, which never shows the key."""
    try:
        key = base64.b64decode(encoded.strip().replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{name}: a key is {KEY_BYTES} bytes in base64; make one with `verify-service keys new`")
    return key


def new_key() -> str:
    """A fresh 32-byte key in base64."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def new_ring() -> str:
    """A ring of one fresh key, with a random kid."""
    return f"{secrets.token_hex(4)}:{new_key()}"


def new_api_key(tenant: str) -> str:
    """A fresh API key with 256 random bits; the tenant's name in it is a hint for people, never trusted."""
    return f"vk_{tenant}_{secrets.token_urlsafe(32)}"


def api_key_digest(api_key: str) -> str:
    """What the configuration keeps of an API key: `sha256:` and 64 hex digits. 256 random bits need no slow hash."""
    return "sha256:" + hashlib.sha256(api_key.encode()).hexdigest()
