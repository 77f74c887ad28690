"""One OpenID provider over HTTP: its metadata (Discovery 1.0), its keys, its token endpoint, all of it bounded.

A provider may be down, slow, or not what it was. No redirect is followed, no answer is read beyond its bound, one
length of time is for all of an answer, and so many threads wait for it at most: others are told to come again.
"""

import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Annotated, Any, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
from msgspec import Meta

from verify_service.errors import DeliveryError, ProviderSilent, SignInRefused
from verify_service.model import Clock
from verify_service.openid.tokens import Claims
from verify_service.providers import http
from verify_service.telemetry import log

PATIENCE_S = 5.0
"""For connecting, and for all of one answer, each."""
MOST_BYTES = 262_144
"""Of one answer; the longest sets of keys have some tens of thousands."""
KEPT_MS = 600_000
"""How long metadata and keys are believed before they are asked for again."""
AGAIN_MS = 10_000
"""So long a provider is left in peace after it failed, or after its keys were asked for."""
AT_ONCE = 4
"""Threads of a process that wait for the provider."""
_log = log("console")
_FORM = "application/x-www-form-urlencoded"

T = TypeVar("T")


class Metadata(msgspec.Struct, frozen=True):
    """What a provider says of itself, as far as we need it (Discovery 1.0, section 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Tokens(msgspec.Struct, frozen=True):
    """What a code is redeemed for."""

    id_token: str
    access_token: Annotated[str, Meta(pattern=r"^[\x21-\x7e]+\Z")]


class _Keys(msgspec.Struct, frozen=True):
    keys: tuple[dict[str, Any], ...]


class Provider:
    """`issuer` is the operator's word for it, and what the provider must call itself."""

    def __init__(self, issuer: str, client_id: str, client_secret: str, clock: Clock) -> None:
        self.issuer = issuer
        self._client = client_id, client_secret
        self._clock = clock
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._metadata: tuple[int, Metadata] | None = None
        self._keys: tuple[int, tuple[dict[str, Any], ...]] | None = None
        self._silent = (0, "")

    @contextmanager
    def asked(self) -> Iterator[None]:
        """While one of a few threads asks. Raises ProviderSilent where they all wait, or the provider was of no use a
        moment ago."""
        until, why = self._silent
        if self._clock.now() < until:
            raise ProviderSilent(why)
        if not self._slots.acquire(blocking=False):
            raise ProviderSilent("the provider does not keep up")
        try:
            yield
        finally:
            self._slots.release()

    def metadata(self) -> Metadata:
        """Raises ProviderSilent, or SignInRefused where it is another's, or leads where no sign-in should."""
        if self._metadata and self._clock.now() < self._metadata[0] + KEPT_MS:
            return self._metadata[1]
        with self.asked():
            return self._discovered()

    def redeem(self, code: str, verifier: str, redirect_uri: str) -> Tokens:
        """The tokens of a code (RFC 6749, section 4.1.3; RFC 7636, section 4.5). Call this while `asked`."""
        told = self._known()
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        form["code_verifier"] = verifier
        methods, headers = told.token_endpoint_auth_methods_supported, {}
        if "client_secret_basic" in methods:  # Both parts are form-encoded first (RFC 6749, section 2.3.1).
            pair = ":".join(map(quote_plus, self._client))
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        elif "client_secret_post" in methods:
            form["client_id"], form["client_secret"] = self._client
        else:
            raise SignInRefused("the provider takes no client secret")
        return self._answer(told.token_endpoint, Tokens, headers, form)

    def userinfo(self, access_token: str) -> Claims | None:
        """What the provider tells of the token's person; None where it has no such place. Call this while `asked`."""
        at = self._known().userinfo_endpoint
        return self._answer(at, Claims, {"authorization": f"Bearer {access_token}"}) if at else None

    def keys(self, kid: str | None) -> tuple[dict[str, Any], ...]:
        """Its keys of this id, or all where a token names none. One that is not known is asked for, now and then:
        keys are changed. Call this while `asked`."""
        now = self._clock.now()
        if self._keys is None or now >= self._keys[0] + KEPT_MS:
            self._keys = (now, self._answer(self._known().jwks_uri, _Keys).keys)
        if kid is None:
            return self._keys[1]
        found = tuple(key for key in self._keys[1] if key.get("kid") == kid)
        if not found and now >= self._keys[0] + AGAIN_MS:
            self._keys = (now, self._answer(self._known().jwks_uri, _Keys).keys)
            found = tuple(key for key in self._keys[1] if key.get("kid") == kid)
        return found

    def _known(self) -> Metadata:
        fresh = self._metadata and self._clock.now() < self._metadata[0] + KEPT_MS
        return self._metadata[1] if self._metadata and fresh else self._discovered()

    def _discovered(self) -> Metadata:
        try:
            told = self._told()
        except (ProviderSilent, SignInRefused) as error:
            self._silent = (self._clock.now() + AGAIN_MS, str(error))
            _log.warning("OpenID provider out of order", reason=str(error))
            raise
        self._metadata = (self._clock.now(), told)
        return told

    def _told(self) -> Metadata:
        told = self._answer(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration", Metadata)
        if told.issuer != self.issuer:
            raise SignInRefused("the provider calls itself by another name than `issuer`")
        for at in (told.authorization_endpoint, told.token_endpoint, told.jwks_uri, told.userinfo_endpoint):
            if at is not None and not self._may_lead_to(at):
                raise SignInRefused("the provider leads to an address that is not to be asked")
        return told

    def _may_lead_to(self, url: str) -> bool:
        """The provider's own origin, or another host by https that has a name: nothing in here, and no file."""
        try:
            at, own = urlsplit(url), urlsplit(self.issuer)
            host, port = at.hostname or "", at.port
        except ValueError:
            return False
        if not url.isascii() or not url.isprintable() or " " in url or at.fragment or at.username is not None:
            return False
        if (at.scheme, host, port) == (own.scheme, own.hostname, own.port):
            return True
        return at.scheme == "https" and "." in host and not _is_address(host)

    def _answer(
        self, url: str, kind: type[T], headers: Mapping[str, str] | None = None, form: Mapping[str, str] | None = None
    ) -> T:
        """Its answer as this. Raises ProviderSilent where none came, SignInRefused where it says no or is not that."""
        endpoint = http.Endpoint(url, PATIENCE_S, {"accept": "application/json", **(headers or {})}, MOST_BYTES)
        try:
            answer = (
                endpoint.get() if form is None else endpoint.post(urlencode(form).encode(), {"content-type": _FORM})
            )
        except DeliveryError as error:
            raise ProviderSilent(f"the provider did not answer: {error.reason}") from None
        finally:
            endpoint.close()
        if answer.status >= 500 or answer.status == 429:
            raise ProviderSilent(f"the provider answered HTTP {answer.status}")
        if answer.status != 200:
            raise SignInRefused(f"the provider answered HTTP {answer.status}")
        try:
            return http.json(answer.body, kind)
        except ValueError:
            raise SignInRefused("the provider's answer cannot be read") from None


def _is_address(host: str) -> bool:
    """Whether it is one, in whichever way: browsers and resolvers take 127.1 and 0x7f.1, too."""
    try:
        ip_address(host)
    except ValueError:
        return host.rpartition(".")[2][:1].isdigit()
    return True
