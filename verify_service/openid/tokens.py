"""ID tokens (OpenID Connect Core 1.0, sections 2 and 3.1.3.7): what must be true of one before it says who somebody
is."""

import hmac
from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import jwt
import msgspec
from msgspec import Meta

from verify_service.errors import SignInRefused

# By a private key of the provider's alone: none of them works with what is public, or with what we have.
ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
LEEWAY_S = 60
"""How far the provider's clock may be from ours."""
_MUST_SAY = ["iss", "sub", "aud", "exp", "iat", "nonce"]


class Claims(msgspec.Struct, frozen=True):
    """What a provider says of a person. `email_verified` counts where it is `true`, and not the word "true"."""

    sub: Annotated[str, Meta(pattern=r"^[ -~]{1,255}\Z")]
    email: Annotated[str, Meta(max_length=320)] | None = None
    email_verified: Any = None


class _Bound(Claims, frozen=True, kw_only=True):
    nonce: str
    aud: str | list[str]
    azp: str | None = None


class _Issuer(Protocol):
    issuer: str

    def keys(self, kid: str | None) -> Sequence[dict[str, Any]]: ...


def verified(token: str, provider: _Issuer, client_id: str, nonce: str) -> Claims:
    """What a token says that the provider signed for this client and this sign-in, and that holds now. Raises
    SignInRefused; ProviderSilent where the keys cannot be had."""
    try:
        head = jwt.get_unverified_header(token)
        algorithm = head.get("alg", "")
        if algorithm not in ALGORITHMS:
            raise SignInRefused("the ID token is signed by an algorithm that is not taken")
        found = jwt.decode(
            token,
            _key(provider.keys(head.get("kid")), algorithm),
            algorithms=[algorithm],
            audience=client_id,
            issuer=provider.issuer,
            leeway=LEEWAY_S,
            options={"require": _MUST_SAY, "enforce_minimum_key_length": True},
        )
        claims = msgspec.convert(found, _Bound)
    except (jwt.PyJWTError, msgspec.ValidationError) as error:
        raise SignInRefused(f"the ID token does not hold ({type(error).__name__})") from None
    if not hmac.compare_digest(claims.nonce.encode(), nonce.encode()):
        raise SignInRefused("the ID token belongs to another sign-in")
    others = isinstance(claims.aud, list) and len(claims.aud) > 1
    if (others or claims.azp is not None) and claims.azp != client_id:
        raise SignInRefused("the ID token is for another client as well")
    return claims


def _key(keys: Sequence[dict[str, Any]], algorithm: str) -> jwt.PyJWK:
    """The one key that may have signed so. Raises SignInRefused where there is none, or it cannot be told which."""
    fitting = [
        key
        for key in keys
        if key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
    ]
    if len(fitting) != 1:
        raise SignInRefused("the ID token is signed by a key that the provider does not show")
    try:
        return jwt.PyJWK(fitting[0], algorithm)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        raise SignInRefused("the provider shows a key that cannot be used") from None
