"""A tenant's services, as Twilio Verify has them: a name that people read, a purpose, a length of code. And the
identifiers (SIDs) that its API calls things by: two capital letters and 32 hex digits."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from verify_service.errors import ConfigError
from verify_service.routing import Section

NAME = re.compile(r"(?!.*[0-9]{4})(?!.*\.\w)[^\W_][\w &'’+!().-]{0,29}")
"""What a caller may have people read for who sends: no code, no link, and it fits into a message."""
LENGTHS = range(6, 11)
"""Of codes: with fewer digits they are too easy to guess, and HOTP has no more."""
NAME_WORDS = "is 30 letters, digits and spaces at most, and holds neither four digits in a row nor a link"


class ServiceConfig(Section, frozen=True, kw_only=True):
    """An entry of `services` in a tenant's table."""

    sid: Annotated[str, Meta(pattern=r"^VA[0-9a-f]{32}\Z", description="VA and 32 hex digits")] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    purpose: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}\Z")] = "login"
    code_length: Annotated[int, Meta(ge=LENGTHS.start, lt=LENGTHS.stop)] | None = None


class VerifyService(msgspec.Struct, frozen=True, kw_only=True):
    """A service. `name` is in its messages; '' is the tenant's brand. `code_length` is 0 where the policy's holds.
    Times are milliseconds, 0 of one that is written in verify.toml."""

    sid: str
    purpose: str
    name: str = ""
    code_length: int = 0
    created_at: int = 0
    updated_at: int = 0

    @property
    def written(self) -> bool:
        """Whether verify.toml has it, or nobody made it: it cannot be changed by the API."""
        return not self.created_at


def derived(letters: str, *names: str) -> str:
    """A SID that follows from names: the same on every host and at every start. It hides nothing."""
    text = "\n".join(("verify_service", letters, *names))
    return letters + hashlib.sha256(text.encode()).hexdigest()[:32]


def account(tenant: str) -> str:
    """The account SID of a tenant whose table names none."""
    return derived("AC", tenant)


def of_tenant(tenant: str, entries: Sequence[ServiceConfig]) -> tuple[VerifyService, ...]:
    """A tenant's services by its table; one for the purpose `login` where that names none. Raises ConfigError."""
    found = tuple(
        VerifyService(
            sid=entry.sid or derived("VA", tenant, entry.purpose),
            purpose=entry.purpose,
            name=entry.name or "",
            code_length=entry.code_length or 0,
        )
        for entry in entries or (ServiceConfig(),)
    )
    for place, service in enumerate(found):
        where = f"tenants.{tenant}.services[{place}]"
        for name in ("sid", "purpose"):
            if [getattr(each, name) for each in found].count(getattr(service, name)) > 1:
                raise ConfigError(f"{where}.{name}: stands twice; codes of two services never cross")
    return found


def named_once(tenants: Mapping[str, str]) -> None:
    """Raises ConfigError where two tenants have one account SID."""
    for tenant, sid in tenants.items():
        if list(tenants.values()).count(sid) > 1:
            raise ConfigError(f"tenants.{tenant}.account_sid: stands twice; an account is one tenant's")
