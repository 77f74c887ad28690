"""The operators of `verify.toml`: people who look after the service, each known by a personal key."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from verify_service.errors import ConfigError
from verify_service.model import Frozen
from verify_service.routing import Section
from verify_service.tenants import Digest

OperatorScope = Literal["read", "admin"]


class OperatorConfig(Section, frozen=True, kw_only=True):
    """An entry of `[[operators]]`. `admin` includes `read`."""

    name: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}\Z", description="letters, digits, spaces and . _ @ -")
    ]
    digest: Digest
    scopes: Annotated[tuple[OperatorScope, ...], Meta(min_length=1)] = ("read",)


class Operator(Frozen, frozen=True):
    """Somebody who may sign in to the console. `proof` is what they are known by: the digest of their key."""

    name: str
    scopes: frozenset[str]
    proof: str

    @property
    def actor(self) -> str:
        """As what they do is said to be theirs."""
        return f"operator:{self.name}"

    def may(self, scope: str) -> bool:
        return scope in self.scopes or "admin" in self.scopes


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
