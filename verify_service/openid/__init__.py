"""Signing in by OpenID Connect (Core 1.0): the authorization code flow with PKCE (RFC 7636, S256), state and nonce.

The provider says who somebody is; what they may do here is the configuration's to say. Nothing that a provider, or a
browser that claims to come from one, hands over is believed before it is proven.
"""

import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from jwt.utils import base64url_encode

from verify_service.errors import SignInRefused
from verify_service.model import Clock, Frozen
from verify_service.openid.provider import Provider
from verify_service.openid.tokens import Claims, verified
from verify_service.operators import Person

PENDING_MS = 600_000
"""How long a person may take at the provider."""


class Pending(Frozen, frozen=True):
    """A sign-in that has begun: what the browser that began it keeps, sealed, until it comes back."""

    state: str
    nonce: str
    verifier: str
    until: int


class OpenId:
    """One client at one provider. Several threads may sign people in at once."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, redirect_uri: str, clock: Clock) -> None:
        self._client_id = client_id
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._provider = Provider(issuer, client_id, client_secret, clock)

    def begin(self) -> tuple[str, Pending]:
        """The address at the provider where a person signs in, and what their browser is to keep meanwhile. Raises
        SignInRefused or ProviderSilent."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": "openid email",
            "state": state,
            "nonce": nonce,
            "code_challenge": base64url_encode(hashlib.sha256(verifier.encode()).digest()).decode(),
            "code_challenge_method": "S256",
        }
        at = self._provider.metadata().authorization_endpoint
        pending = Pending(state, nonce, verifier, self._clock.now() + PENDING_MS)
        return f"{at}{'&' if '?' in at else '?'}{urlencode(asked)}", pending

    def answered(self, pending: Pending, state: str, issuer: str | None) -> None:
        """Raises SignInRefused where an answer is not to this sign-in, comes too late, or is another provider's (RFC
        9207). Asks nobody."""
        if not hmac.compare_digest(pending.state.encode(), state.encode()):
            raise SignInRefused("the answer belongs to another sign-in")
        if self._clock.now() >= pending.until:
            raise SignInRefused("the sign-in took too long")
        if issuer is not None and issuer != self._provider.issuer:
            raise SignInRefused("the answer is another provider's")

    def finish(self, pending: Pending, code: str) -> Person:
        """Whose code it is. A provider takes each once. Raises SignInRefused or ProviderSilent."""
        with self._provider.asked():
            tokens = self._provider.redeem(code, pending.verifier, self._redirect_uri)
            claims = verified(tokens.id_token, self._provider, self._client_id, pending.nonce)
            if claims.email is None:  # Many providers tell it here alone (Core, section 5.4).
                claims = self._told(claims, tokens.access_token)
        return Person(
            self._provider.issuer, claims.sub, claims.email if claims.email and claims.email_verified is True else ""
        )

    def _told(self, claims: Claims, access_token: str) -> Claims:
        told = self._provider.userinfo(access_token)
        if told is not None and told.sub != claims.sub:  # Core, section 5.3.2
            raise SignInRefused("the provider told of somebody else")
        return told or claims
