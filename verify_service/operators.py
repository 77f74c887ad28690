"""The operators of `verify.toml`: people who look after the service, each known by a personal key, or by what an OpenID
provider says of them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from verify_service.adapters import Secret
from verify_service.duration import Duration
from verify_service.errors import ConfigError
from verify_service.model import Actor, Frozen
from verify_service.return_urls import place
from verify_service.routing import Section
from verify_service.tenants import Digest

NAME = r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}\Z"
"""How an operator may be named."""
OperatorScope = Literal["read", "admin"]
_BY_KEY, _BY_OPENID = "operator", "oidc"
_SHORTEST_IDLE_S, _LONGEST_LIFE_S = 60, 604_800


class OperatorConfig(Section, frozen=True, kw_only=True):
    """An entry of `[[operators]]`. `admin` includes `read`."""

    name: Annotated[str, Meta(pattern=NAME, description="letters, digits, spaces and . _ @ -")]
    digest: Digest
    scopes: Annotated[tuple[OperatorScope, ...], Meta(min_length=1)] = ("read",)


class Person(Frozen, frozen=True, array_like=True):
    """Whom an OpenID provider says somebody is. `email` is '' where the provider does not say that it is theirs."""

    issuer: str
    subject: str
    email: str

    @property
    def proof(self) -> str:
        """What a session of theirs says that they are known by."""
        return f"{_BY_OPENID} {msgspec.json.encode(self).decode()}"


class Operator(Frozen, frozen=True):
    """Somebody who may sign in to the console. `proof` is what they are known by: the digest of their key, or a
    person's; `address` is where they are, once they are seen."""

    name: str
    scopes: frozenset[str]
    proof: str
    address: str = ""

    @property
    def actor(self) -> Actor:
        """As what they do is said to be theirs."""
        kind = _BY_OPENID if self.proof.startswith(f"{_BY_OPENID} ") else _BY_KEY
        return Actor(f"{kind}:{self.name}", self.address)

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


def actors(name: str) -> tuple[str, str]:
    """As whom somebody of this name acts, by a key or by an OpenID provider."""
    return f"{_BY_KEY}:{name}", f"{_BY_OPENID}:{_small(name)}"


def by_digest(entries: Sequence[OperatorConfig], taken: Mapping[str, object]) -> dict[str, Operator]:
    """The operators by the digests of their keys; `taken` are those of API keys. Raises ConfigError."""
    found: dict[str, Operator] = {}
    for at, entry in enumerate(entries):
        if entry.digest in found or entry.digest in taken:
            raise ConfigError(f"operators[{at}].digest: stands twice; each key is one operator's or one tenant's")
        if any(entry.name == other.name for other in found.values()):
            raise ConfigError(f"operators[{at}].name: {entry.name} stands twice; what each does is told by the name")
        found[entry.digest] = Operator(entry.name, frozenset(entry.scopes), entry.digest)
    return found


class OidcConfig(Section, frozen=True, kw_only=True):
    """`[console.oidc]`: an OpenID provider, and whom of its people the console lets in. An entry of `admins` or
    `readers` with an @ is an email address that the provider has verified, any other the subject (`sub`) itself."""

    issuer: str
    client_id: Annotated[str, Meta(min_length=1, max_length=256)]
    client_secret: Secret
    admins: tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...] = ()
    readers: tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...] = ()

    def operator(self, person: Person) -> Operator | None:
        """Who that is here, under the entry that lets them in; None where nobody has let them in."""
        if person.issuer != self.issuer:
            return None
        # Some letters are ASCII only once they are small: a mailbox with one is another mailbox.
        email = person.email if person.email.isascii() else ""
        for scope, entries in (("admin", self.admins), ("read", self.readers)):
            for entry in map(_small, entries):
                if entry == (_small(email) if "@" in entry else person.subject):
                    return Operator(entry, frozenset({scope}), person.proof)
        return None


def _small(entry: str) -> str:
    """An entry as it is compared: an email address in small letters."""
    return entry.lower() if "@" in entry else entry


class ConsoleConfig(Section, frozen=True, kw_only=True):
    """`[console]`: how long a session lasts without its person (`idle`), and in all (`life`). As OWASP's session
    management sheet has it, 15 to 30 minutes idle, and a working day."""

    idle: Duration = Duration("30 minutes")
    life: Duration = Duration("12 hours")
    oidc: OidcConfig | None = None

    def judge(self, public_url: str | None) -> None:
        """Raises ConfigError for what no type says."""
        if not _SHORTEST_IDLE_S <= self.idle.seconds <= self.life.seconds:
            raise ConfigError("console.idle: 1 minute at least, and no longer than `life`")
        if self.life.seconds > _LONGEST_LIFE_S:
            raise ConfigError("console.life: 7 days at most")
        if self.oidc is None:
            return
        if not self.oidc.admins and not self.oidc.readers:
            raise ConfigError("console.oidc: neither `admins` nor `readers` names anybody")
        for key, url in (("console.oidc.issuer", self.oidc.issuer), ("public_url", public_url)):
            try:
                if url is None or place(url).query is not None:
                    raise ValueError("is an address without a query; [console.oidc] needs it")
            except ValueError as error:
                raise ConfigError(f"{key}: {error}") from None

    def person(self, proof: str) -> Operator | None:
        """The operator whom a session's proof names, where that is a person of the provider's who is let in now."""
        if self.oidc is None or not proof.startswith(f"{_BY_OPENID} "):
            return None
        return self.oidc.operator(msgspec.json.decode(proof.removeprefix(f"{_BY_OPENID} "), type=Person))
