"""`verify.toml`, the operator's file: tenants, providers, senders, routes, test numbers."""

import fnmatch
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from verify_service.adapters import Adapter, Secret, find
from verify_service.codes import api_key_digest
from verify_service.duration import Duration, decode_hook
from verify_service.errors import ConfigError
from verify_service.hints import hint
from verify_service.messages.own import NONE, Languages, Own, Replies, Templates, Written, answers_of, read, texts
from verify_service.model import Tenant

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
Scope = Literal["verify", "admin", "read"]
Channel = Literal["sms", "rcs", "voice", "whatsapp", "email"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
WEBHOOK_PATIENCE_S = 20
WebhookEvent = Literal[
    "started", "refused", "sent", "delivered", "failed", "failed-over", "wrong", "approved", "canceled"
]
# Where no message arrives from a sender with letters in it.
NUMERIC_ONLY = frozenset({"US", "CA"})


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that it does not know is refused."""


class ApiKey(_Section, frozen=True):
    """An API key by its digest, as `verify-service apikey new` prints it."""

    digest: Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = ("verify",)


class WebhookConfig(_Section, frozen=True, kw_only=True):
    """The tenant's own endpoint, and what it is told of. `secret` may be a list while it is changed: the newest first.
    `timeout` is for connecting and for the answer each."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+")]
    secret: Secret | Annotated[tuple[Secret, ...], Meta(min_length=1, max_length=3)]
    events: Annotated[tuple[WebhookEvent, ...], Meta(min_length=1)] = ("delivered", "failed", "approved")
    timeout: Duration = Duration("10 seconds")

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.secret,) if isinstance(self.secret, str) else self.secret


class TenantConfig(_Section, frozen=True):
    brand: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    api_keys: tuple[ApiKey, ...] = ()
    webhook: WebhookConfig | None = None


class ProviderConfig(NamedTuple):
    """One provider: its kind's adapter, and its table as that adapter reads it."""

    kind: str
    adapter: Adapter
    settings: Any


class SenderConfig(_Section, frozen=True, kw_only=True):
    """An address that messages come from. `per_second` is its throughput in segments (calls, on voice), shared by all
    dispatchers; `countries` where it may be used. `tenants` are those whose consent a STOP to it withdraws (all, where
    none is named); `replies` says whether we answer STOP, HELP and START, which some vendors do themselves."""

    type: Literal["short-code", "toll-free", "10dlc", "long-code", "alphanumeric", "rcs", "whatsapp", "email"]
    address: Annotated[str, Meta(min_length=1, max_length=64)]
    per_second: Annotated[float, Meta(gt=0, le=100_000)] | None = None
    countries: tuple[str, ...] = ("*",)
    tenants: tuple[Name, ...] = ()
    replies: bool = True

    def serves(self, country: str) -> bool:
        """Whether it may be used there; where carriers refuse letters, an alphanumeric one may not."""
        if self.type == "alphanumeric" and country in NUMERIC_ONLY:
            return False
        return "*" in self.countries or country in self.countries


class Via(_Section, frozen=True):
    provider: Name
    sender: Name | None = None
    weight: Annotated[int, Meta(ge=0, le=1000)] = 100


class Route(_Section, frozen=True, kw_only=True):
    """Which providers may carry a channel to a set of countries; the weights share the first tries among them.

    A provider that has not answered after `answer_within` goes on, and the next in line is tried beside it. Where no
    receipt says that a message was delivered within `receipt_within`, the next in line, and then the channels of
    `fallback`, get it.
    """

    countries: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    channel: Channel = "sms"
    via: Annotated[tuple[Via, ...], Meta(min_length=1)]
    answer_within: Duration = Duration("1 second")
    receipt_within: Duration | None = None
    fallback: tuple[Channel, ...] = ()

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
    providers: dict[Name, dict[str, Any]] = {}
    public_url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+[^\s?#]*\Z")] | None = None
    senders: dict[Name, SenderConfig] = {}
    routes: tuple[Route, ...] = ()
    test_numbers: tuple[NumberOfTests, ...] = ()
    templates: Templates = {}
    replies: Replies = {}
    languages: Languages = {}
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
    public_url: str | None = None
    webhooks: Mapping[str, WebhookConfig] = {}
    own: Own = NONE

    @property
    def fake(self) -> bool:
        """True where a fake provider is configured, and so its inbox is mounted."""
        return any(provider.adapter.fake for provider in self.providers.values())

    def callbacks(self, provider: str) -> str | None:
        """Where a provider's vendor reaches us, without the last part (`/receipts`, `/inbound`)."""
        return f"{self.public_url}/providers/{provider}" if self.public_url else None

    def carriers(self, route: Route, country: str) -> tuple[Via, ...]:
        """The ways of a route whose sender may be used in the country."""
        return tuple(via for via in route.via if via.sender is None or self.senders[via.sender].serves(country))

    def route(self, country: str, channel: str) -> Route | None:
        """The first route for a country and channel with a sender for it; routes that name the country come first."""
        serving = [route for route in self.routes if route.serves(country, channel) and self.carriers(route, country)]
        return next((route for route in serving if country in route.countries), serving[0] if serving else None)

    def test_code(self, e164: str, now: int) -> str | None:
        """The fixed code of a test number, or None."""
        return next((entry.code for entry in self.test_numbers if entry.covers(e164, now)), None)


def load(path: Path | None, api_key: str | None) -> Config:
    """The configuration from `path`, or the built-in one: the tenant `default` and a fake provider.

    `api_key` gets the scopes verify and admin for `default`. Raises ConfigError with the key at fault.
    """
    return build(_read(path) if path else _File(providers={"fake-a": {"kind": "fake"}}), api_key)


def written(path: Path) -> tuple[list[Written], list[str]]:
    """The texts of a file, usable or not, and the brands of its tenants. Raises ConfigError."""
    file = _read(path)
    return [*texts(file.templates), *answers_of(file.replies)], [each.brand for each in _tenants(file).values()]


def _tenants(file: _File) -> dict[str, Tenant]:
    return {name: Tenant(name=name, brand=entry.brand or name.title()) for name, entry in file.tenants.items()}


def _read(path: Path) -> _File:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=_File, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {error}{hint(error, _File)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: tables or lists are nested too deeply; no key of it needs that") from None


def build(file: _File, api_key: str | None) -> Config:
    """Cross-checks what one table says of another. Raises ConfigError."""
    providers = {name: _provider(name, dict(table)) for name, table in file.providers.items()}
    if not providers:
        raise ConfigError("verify.toml has no [providers.NAME]; with none, no code can be sent")
    routes = file.routes or tuple(
        Route(channel=channel, via=carriers)
        for channel in CHANNELS
        if (carriers := tuple(Via(provider=at) for at, made in providers.items() if channel in made.adapter.channels))
    )
    for index, route in enumerate(routes):
        for via in route.via:
            if via.provider not in providers:
                raise ConfigError(f"routes[{index}]: there is no [providers.{via.provider}]")
            if route.channel not in providers[via.provider].adapter.channels:
                kind = providers[via.provider].kind
                raise ConfigError(f"routes[{index}]: {via.provider} (kind {kind}) does not carry {route.channel}")
            if via.sender is not None and via.sender not in file.senders:
                raise ConfigError(f"routes[{index}]: there is no [senders.{via.sender}]")
            sender = file.senders[via.sender] if via.sender else None
            named = NUMERIC_ONLY & {*route.countries, *(sender.countries if sender else ())}
            if sender and sender.type == "alphanumeric" and named:
                raise ConfigError(
                    f"routes[{index}]: the sender {via.sender} is alphanumeric, and carriers in "
                    f"{' and '.join(sorted(named))} refuse those; use a short code, toll-free or 10DLC number there"
                )
        if "email" in route.fallback or (route.channel == "email" and route.fallback):
            raise ConfigError(f"routes[{index}].fallback: an email address has no phone, and a number no email")
        if route.channel == "email" and "*" not in route.countries:
            raise ConfigError(f"routes[{index}].countries: an email address has no country; leave them out")
        for country in route.countries:
            if country != "*" and not re.fullmatch("[A-Z]{2}", country):
                raise ConfigError(f"routes[{index}].countries: {country!r} is not an ISO 3166 code or *")
        if not any(via.weight for via in route.via):
            raise ConfigError(f"routes[{index}]: every weight is 0, so nothing would be sent")
    for name, sender in file.senders.items():
        for tenant in sender.tenants:
            if tenant not in file.tenants and tenant != "default":
                raise ConfigError(f"senders.{name}.tenants: there is no [tenants.{tenant}]")
    fake = [name for name, provider in providers.items() if provider.adapter.fake]
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
    tenants = _tenants(file)
    principals: dict[str, Principal] = {}
    for name, entry in file.tenants.items():
        if entry.webhook and entry.webhook.timeout.seconds > WEBHOOK_PATIENCE_S:
            raise ConfigError(f"tenants.{name}.webhook.timeout: {WEBHOOK_PATIENCE_S} seconds at most")
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
        public_url=file.public_url.rstrip("/") if file.public_url else None,
        webhooks={name: entry.webhook for name, entry in file.tenants.items() if entry.webhook},
        own=read(file.templates, file.replies, file.languages, [each.brand for each in tenants.values()] or [""]),
    )


def _provider(name: str, table: dict[str, Any]) -> ProviderConfig:
    """One `[providers.NAME]`, read by the adapter of its kind. Raises ConfigError."""
    kind = table.pop("kind", None)
    if not isinstance(kind, str):
        raise ConfigError(f"providers.{name}: `kind` is required")
    try:
        adapter = find(kind)
        return ProviderConfig(kind, adapter, msgspec.convert(table, adapter.settings, dec_hook=decode_hook))
    except (ConfigError, msgspec.ValidationError) as error:
        raise ConfigError(f"providers.{name}: {error}") from None
