"""Signed approvals: the receipt that a check answers, which whoever gets it can verify without asking us.

A receipt is a JWT (RFC 7519) as a compact JWS (RFC 7515), EdDSA with Ed25519 (RFC 8037). That signature has no random
part, so the same approval signed by the same key is the same receipt, in whichever process.
"""

from collections.abc import Mapping
from functools import cached_property

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from jwt.utils import base64url_encode

from verify_service.codes import KeyRing, Tagger, decode_ring
from verify_service.errors import ConfigError, InvalidRequest
from verify_service.model import ReceiptWish
from verify_service.store.shapes import Checked
from verify_service.tenants import ReceiptTerms

TYPE = "verification+jwt"
ALGORITHM = "EdDSA"
# What a code by a channel proves, beside `otp` (RFC 8176, section 2); of the other channels it has no word.
PROVES = {"sms": "sms", "voice": "tel"}
FACTOR_PURPOSE = "second-factor"
"""The `purpose` of a receipt that says that a user's second factor was shown."""
_EDDSA = OKPAlgorithm()
_USUAL = ReceiptTerms()


class SigningKeys:
    """The ring that signs: the first key makes receipts, the public halves of all verify them.

    Written as VERIFY_KEYS is, `kid:base64`, each key the 32 bytes that RFC 8032 calls the private key. Raises
    ConfigError.
    """

    def __init__(self, text: str) -> None:
        ring = decode_ring("VERIFY_SIGNING_KEYS", text)
        self._keys = {kid: Ed25519PrivateKey.from_private_bytes(seed) for kid, seed in ring.items()}
        self._heads = {
            kid: base64url_encode(msgspec.json.encode({"alg": ALGORITHM, "kid": kid, "typ": TYPE})) for kid in ring
        }
        self.newest = next(iter(self._keys))

    def sign(self, kid: str, claims: Mapping[str, object]) -> str:
        """The claims as a compact JWS by the key; by the newest, where that one has left the ring. A key's header is
        always the same, and made once: with `jwt.encode` a receipt took a third more."""
        kid = kid if kid in self._keys else self.newest
        signed = self._heads[kid] + b"." + base64url_encode(msgspec.json.encode(claims))
        return (signed + b"." + base64url_encode(_EDDSA.sign(signed, self._keys[kid]))).decode()

    @cached_property
    def jwks(self) -> bytes:
        """The public keys as a JWK Set (RFC 7517), newest first."""
        keys = [
            {**OKPAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", "alg": ALGORITHM}
            for kid, key in self._keys.items()
        ]
        return msgspec.json.encode({"keys": keys})


class Approvals:
    """What each tenant's receipts say. `keys` is None where nothing can sign, `issuer` where nobody could be named."""

    def __init__(
        self,
        ring: KeyRing,
        tagger: Tagger,
        terms: Mapping[str, ReceiptTerms],
        issuer: str | None = None,
        keys: SigningKeys | None = None,
    ) -> None:
        self._ring = ring
        self._tagger = tagger
        self._terms = terms
        self._issuer = issuer
        self.keys = keys

    @property
    def missing(self) -> str | None:
        """Why no receipt can be signed, or None where one can."""
        if self.keys is None:
            return "VERIFY_SIGNING_KEYS is not set; `verify-service keys new` prints one"
        return None if self._issuer else "verify.toml has no public_url, the name that receipts are issued under"

    def judge(self) -> None:
        """Raises ConfigError where a tenant is always to have receipts and none can be signed."""
        for name, terms in self._terms.items():
            if terms.receipts == "always" and self.missing:
                raise ConfigError(f"tenants.{name}.receipts is always: {self.missing}")

    def wish(self, tenant: str, asked: bool) -> ReceiptWish | None:
        """What the store is to tell of an approval, or None where no receipt is wanted. Raises InvalidRequest where one
        is asked for and none can be signed."""
        terms = self._of(tenant)
        if not asked and terms.receipts != "always":
            return None
        if self.keys is None or self.missing:
            raise InvalidRequest("receipt", f"cannot be had here: {self.missing}")
        return ReceiptWish(self.keys.newest, terms.receipt_subject == "to")

    def receipt(self, tenant: str, checked: Checked, binding: Mapping[str, str] | None) -> str | None:
        """The receipt of an approval, whose check brought the binding; None where none is wanted, or the recipient that
        it is to name was sealed by a key that has left the ring."""
        found = checked.approval
        if found is None or (subject := self._subject(tenant, checked)) is None:
            return None
        more: dict[str, object] = {"test": True} if found.test else {}
        proven = _proven(found.test, checked.channel)
        issued = int(found.at)
        return self._signed(found.signer, tenant, subject, checked.id, issued, found.purpose, binding, proven, more)

    def receipt_of_factor(
        self,
        wish: ReceiptWish | None,
        tenant: str,
        user: str,
        approval_id: str,
        issued: int,
        approved_at: int,
        binding: Mapping[str, str] | None,
        proven: list[str],
    ) -> str | None:
        """The receipt that a second factor of the tenant's user was shown at `approved_at`; None where none is wanted.
        `auth_time` is as OpenID Connect has it (Core 1.0, section 2)."""
        if wish is None:
            return None
        subject = user if wish.named else self._tagger.fingerprint("receipt", tenant, self._tagger.user(tenant, user))
        more: dict[str, object] = {"auth_time": approved_at // 1000}
        return self._signed(wish.signer, tenant, subject, approval_id, issued, FACTOR_PURPOSE, binding, proven, more)

    def _signed(
        self,
        signer: str,
        tenant: str,
        subject: str,
        approval_id: str,
        issued: int,
        purpose: str,
        binding: Mapping[str, str] | None,
        proven: list[str],
        more: dict[str, object],
    ) -> str | None:
        if self.keys is None:
            return None
        claims: dict[str, object] = {
            "iss": self._issuer,
            "aud": tenant,
            "sub": subject,
            "jti": approval_id,
            "iat": issued // 1000,
            "exp": issued // 1000 + int(self._of(tenant).receipt_life.seconds),
            "purpose": purpose,
            "binding": dict(sorted(binding.items())) if binding else {},
            "amr": proven,
        }
        return self.keys.sign(signer, claims | more)

    def _of(self, tenant: str) -> ReceiptTerms:
        return self._terms.get(tenant, _USUAL)

    def _subject(self, tenant: str, checked: Checked) -> str | None:
        """A pseudonym of the recipient that is this tenant's alone; where the tenant wants it named, the recipient, or
        None where it cannot be read any more."""
        if self._of(tenant).receipt_subject == "pseudonym":
            return self._tagger.fingerprint("receipt", tenant, checked.number)
        return self._ring.readable_to(checked.sealed_to, tenant, checked.number)


def _proven(test: str, channel: str) -> list[str]:
    """The methods (`amr`, RFC 8176); a test number's code was sent to nobody."""
    proves = None if test else PROVES.get(channel)
    return ["otp", proves] if proves else ["otp"]
