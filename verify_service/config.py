"""`verify.toml`, the operator's file: tenants, providers, senders, routes, test numbers."""

import fnmatch
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from verify_service.codes import api_key_digest
from verify_service.duration import Duration, decode_hook
from verify_service.errors import ConfigError
from verify_service.hints import hint
from verify_service.model import Tenant

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
Scope = Literal["verify", "admin", "read"]
Channel = Literal["sms"]
CHANNELS: tuple[Channel, ...] = ("sms",)


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that it does not know is refused."""


class ApiKey(_Section, frozen=True):
    """An API key by its digest, as `verify-service apikey new` prints it."""

    digest: Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = ("verify",)


class TenantConfig(_Section, frozen=True):
    brand: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    api_keys: tuple[ApiKey, ...] = ()


class FakeConfig(_Section, frozen=True, tag_field="kind", tag="fake"):
    """The provider of tests and first steps: messages go to an inbox in the store."""


class WebhookConfig(_Section, frozen=True, tag_field="kind", tag="webhook"):
    """POSTs each message as signed JSON to the operator's own URL."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+")]
    secret: Annotated[str, Meta(pattern=r"^(env|file):.")]
    timeout: Duration = Duration("5 seconds")


ProviderConfig = FakeConfig | WebhookConfig


class SenderConfig(_Section, frozen=True, kw_only=True):
    """An address that messages come from; `per_second` is its throughput in segments."""

    type: Literal["short-code", "toll-free", "10dlc", "long-code", "alphanumeric"]
    address: Annotated[str, Meta(min_length=1, max_length=16)]
    per_second: float | None = None
    countries: tuple[str, ...] = ("*",)


class Via(_Section, frozen=True):
    provider: Name
    sender: Name | None = None
    weight: Annotated[int, Meta(ge=0, le=1000)] = 100


class Route(_Section, frozen=True, kw_only=True):
    """Which providers may carry a channel to a set of countries; the weights share the first tries among them."""

    countries: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    channel: Channel = "sms"
    via: Annotated[tuple[Via, ...], Meta(min_length=1)]
    receipt_within: Duration | None = None
    fallback: tuple[str, ...] = ()

    def serves(self, country: str, channel: str) -> bool:
        return channel == self.channel and ("*" in self.countries or country in self.countries)


class NumberOfTests(_Section, frozen=True):
    """Numbers with a fixed code for app reviewers and test suites: never sent to, never counted."""

    match: Annotated[str, Meta(pattern=r"^\+[0-9]{4,15}\*?\Z")]
    code: Annotated[str, Meta(pattern=r"^[0-9]{4,10}\Z")]
    until: date

    def covers(self, e164: str, now: int) -> bool:
        """`until` is the last day, in UTC."""
        return fnmatch.fnmatchcase(e164, self.match) and datetime.fromtimestamp(now / 1000, UTC).date() <= self.until


class _File(_Section, frozen=True):
    tenants: dict[Name, TenantConfig] = {}
    providers: dict[Name, ProviderConfig] = {}
    senders: dict[Name, SenderConfig] = {}
    routes: tuple[Route, ...] = ()
    test_numbers: tuple[NumberOfTests, ...] = ()
    allow_test_numbers: bool = False
    allow_fake: bool = False


class Principal(msgspec.Struct, frozen=True):
    """Who an API key speaks for. `admin` includes `read`."""

    tenant: str
    scopes: frozenset[str]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's file, checked and ready."""

    tenants: Mapping[str, Tenant]
    principals: Mapping[str, Principal]
    providers: Mapping[str, ProviderConfig]
    senders: Mapping[str, SenderConfig]
    routes: tuple[Route, ...]
    test_numbers: tuple[NumberOfTests, ...]

    @property
    def unheeded(self) -> tuple[str, ...]:
        """What the file says that this version reads and does not act on, for a warning at the start."""
        found = {
            "senders.*.per_second": any(sender.per_second is not None for sender in self.senders.values()),
            "routes.receipt_within": any(route.receipt_within is not None for route in self.routes),
            "routes.fallback": any(route.fallback for route in self.routes),
        }
        return tuple(name for name, said in found.items() if said)

    @property
    def fake(self) -> bool:
        """True where a fake provider is configured, and so its inbox is mounted."""
        return any(isinstance(provider, FakeConfig) for provider in self.providers.values())

    def route(self, country: str, channel: str) -> Route | None:
        """The first route for a country and channel; routes that name the country come before `*`."""
        serving = [route for route in self.routes if route.serves(country, channel)]
        return next((route for route in serving if country in route.countries), serving[0] if serving else None)

    def test_code(self, e164: str, now: int) -> str | None:
        """The fixed code of a test number, or None."""
        return next((entry.code for entry in self.test_numbers if entry.covers(e164, now)), None)


def load(path: Path | None, api_key: str | None) -> Config:
    """The configuration from `path`, or the built-in one: the tenant `default` and a fake provider.

    `api_key` gets the scopes verify and admin for `default`. Raises ConfigError with the key at fault.
    """
    return build(_read(path) if path else _File(providers={"fake-a": FakeConfig()}), api_key)


def _read(path: Path) -> _File:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_File, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}{hint(error, _File)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None


def build(file: _File, api_key: str | None) -> Config:
    """Cross-checks what one table says of another. Raises ConfigError."""
    providers = file.providers
    if not providers:
        raise ConfigError("verify.toml has no [providers.NAME]; with none, no code can be sent")
    routes = file.routes or tuple(
        Route(channel=channel, via=tuple(Via(provider=name) for name in providers)) for channel in CHANNELS
    )
    for index, route in enumerate(routes):
        for via in route.via:
            if via.provider not in providers:
                raise ConfigError(f"routes[{index}]: there is no [providers.{via.provider}]")
            if via.sender is not None and via.sender not in file.senders:
                raise ConfigError(f"routes[{index}]: there is no [senders.{via.sender}]")
        for country in route.countries:
            if country != "*" and not re.fullmatch("[A-Z]{2}", country):
                raise ConfigError(f"routes[{index}].countries: {country!r} is not an ISO 3166 code or *")
        if not any(via.weight for via in route.via):
            raise ConfigError(f"routes[{index}]: every weight is 0, so nothing would be sent")
    fake = [name for name, provider in providers.items() if isinstance(provider, FakeConfig)]
    real = [name for name in providers if name not in fake]
    if fake and real and not file.allow_fake:
        raise ConfigError(
            f"providers: {fake[0]} is fake and {real[0]} is real; codes would go to a readable inbox. "
            "Remove one, or set allow_fake = true at the top of the file"
        )
    if file.test_numbers and real and not file.allow_test_numbers:
        raise ConfigError(
            f"test_numbers beside the real provider {real[0]}: anybody could sign in with such a number. "
            "Remove them, or set allow_test_numbers = true at the top of the file"
        )
    tenants = {name: Tenant(name=name, brand=entry.brand or name.title()) for name, entry in file.tenants.items()}
    principals: dict[str, Principal] = {}
    for name, entry in file.tenants.items():
        for key in entry.api_keys:
            if key.digest in principals:
                raise ConfigError(f"tenants.{name}.api_keys: a digest stands twice; each key belongs to one tenant")
            principals[key.digest] = Principal(name, frozenset(key.scopes))
    if api_key is not None:
        tenants.setdefault("default", Tenant(name="default", brand="Verify"))
        principals[api_key_digest(api_key)] = Principal("default", frozenset({"verify", "admin"}))
    return Config(
        tenants=tenants,
        principals=principals,
        providers=providers,
        senders=file.senders,
        routes=routes,
        test_numbers=file.test_numbers,
    )
