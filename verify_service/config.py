"""What `verify.toml` comes to: tenants, providers, senders, routes, test numbers, checked and ready."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from verify_service import config_file, phone, services
from verify_service.adapters import Adapter, find
from verify_service.alerting import AlertsConfig
from verify_service.codes import api_key_digest
from verify_service.config_file import Facades, File, NumberOfTests
from verify_service.duration import decode_hook
from verify_service.errors import ConfigError
from verify_service.hints import hint
from verify_service.messages.own import (
    NONE,
    Own,
    Written,
    answers_of,
    notices_of,
    read,
    texts,
)
from verify_service.model import Tenant
from verify_service.operators import ConsoleConfig, Operator, by_digest
from verify_service.return_urls import LOOPBACK, Place, allowed
from verify_service.routing import CHANNELS, Route, SenderConfig, Via, judge
from verify_service.services import VerifyService
from verify_service.tenants import NoticeConfig, ReceiptTerms, TenantConfig, WebhookConfig


class ProviderConfig(NamedTuple):
    """One provider: its kind's adapter, and its table as that adapter reads it."""

    kind: str
    adapter: Adapter
    settings: Any


class Principal(msgspec.Struct, frozen=True):
    """Who an API key speaks for. `admin` includes `read`."""

    tenant: str
    scopes: frozenset[str]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's file, checked and ready. `base_url` is the public URL, or under `run` where that listens;
    `accounts` has each tenant's account SID, `services` those that are in the file or follow from the tenant's name;
    `operators` are known by the digests of their keys."""

    tenants: Mapping[str, Tenant]
    principals: Mapping[str, Principal]
    providers: Mapping[str, ProviderConfig]
    senders: Mapping[str, SenderConfig]
    routes: tuple[Route, ...]
    test_numbers: tuple[NumberOfTests, ...]
    public_url: str | None = None
    base_url: str | None = None
    webhooks: Mapping[str, WebhookConfig] = {}
    receipts: Mapping[str, ReceiptTerms] = {}
    return_urls: Mapping[str, tuple[Place, ...]] = {}
    colours: Mapping[str, str] = {}
    logos: Mapping[str, Path] = {}
    own: Own = NONE
    facades: Facades = Facades()
    accounts: Mapping[str, str] = {}
    services: Mapping[str, tuple[VerifyService, ...]] = {}
    notices: Mapping[str, NoticeConfig] = {}
    operators: Mapping[str, Operator] = {}
    console: ConsoleConfig = ConsoleConfig()
    alerts: AlertsConfig = AlertsConfig()

    @property
    def fake(self) -> bool:
        """True where a fake provider is configured, and so its inbox is mounted."""
        return any(provider.adapter.fake for provider in self.providers.values())

    def operator(self, proof: str) -> Operator | None:
        """Who is known by this, and let in to the console now: by the digest of a key, or an OpenID provider's word."""
        return self.operators.get(proof) or self.console.person(proof)

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

    def code_length(self, tenant: str, purpose: str) -> int:
        """What the tenant's service of this purpose asks for; 0 where there is none, or it leaves that to the
        policy."""
        return next((each.code_length for each in self.services.get(tenant, ()) if each.purpose == purpose), 0)

    def test_number(self, e164: str, now: int) -> NumberOfTests | None:
        """What the file says of a test number; None of any other."""
        return next((entry for entry in self.test_numbers if entry.covers(e164, now)), None)


def load(path: Path | None, api_key: str | None) -> Config:
    """The configuration from `path`, or the built-in one: the tenant `default`, whose pages lead back to this machine,
    and a fake provider; whoever has the API key may sign in to the console of that one, too.

    `api_key` gets the scopes verify and admin for `default`. Raises ConfigError with the key at fault.
    """
    if path:
        return build(config_file.read(path), api_key, path.parent)
    here = {"default": tuple(allowed("return_urls", url) for url in LOOPBACK)}
    built = build(File(providers={"fake-a": {"kind": "fake"}}), api_key)
    admin = frozenset({"admin"})
    known = {digest: Operator("default", admin, digest) for digest in built.principals}
    return msgspec.structs.replace(built, return_urls=here, operators=known)


def listening_at(config: Config, url: str | None) -> Config:
    """The same; without a public URL, callers of our own find it there."""
    return msgspec.structs.replace(config, base_url=config.public_url or url)


def with_inbox_key(config: Config, digest: str | None) -> Config:
    """The same, and the key of this digest may read the fake provider's inbox of the tenant `default`, and no more."""
    if digest is None:
        return config
    reader = {digest: Principal("default", frozenset({"inbox"}))}
    return msgspec.structs.replace(config, principals={**config.principals, **reader})


def written(path: Path) -> tuple[list[Written], list[str]]:
    """The texts of a file, usable or not, and the brands of its tenants. Raises ConfigError."""
    file = config_file.read(path)
    found = [*texts(file.templates), *answers_of(file.replies), *notices_of(file.notices)]
    return found, [each.brand for each in _tenants(file).values()]


def _tenants(file: File) -> dict[str, Tenant]:
    return {name: Tenant(name=name, brand=entry.brand or name.title()) for name, entry in file.tenants.items()}


def build(file: File, api_key: str | None, folder: Path = Path()) -> Config:
    """Cross-checks what one table says of another; files that it names lie in `folder`. Raises ConfigError."""
    providers = {name: _provider(name, dict(table)) for name, table in file.providers.items()}
    if not providers:
        raise ConfigError("verify.toml has no [providers.NAME]; with none, no code can be sent")
    routes = file.routes or tuple(
        Route(channel=channel, via=carriers)
        for channel in CHANNELS
        if (carriers := tuple(Via(provider=at) for at, made in providers.items() if channel in made.adapter.channels))
    )
    judge(routes, file.senders, {name: (made.kind, made.adapter) for name, made in providers.items()}, file.public_url)
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
    for index, numbers in enumerate(file.test_numbers):
        if not phone.startable(numbers.match):
            raise ConfigError(
                f"test_numbers[{index}].match: no start can be for {numbers.match}: no number that exists, nor one "
                "that a regulator keeps for films, is written so in E.164"
            )
    tenants = _tenants(file)
    principals: dict[str, Principal] = {}
    for name, entry in file.tenants.items():
        entry.judge(f"tenants.{name}")
        for key in entry.api_keys:
            if key.digest in principals:
                raise ConfigError(f"tenants.{name}.api_keys: a digest stands twice; each key belongs to one tenant")
            principals[key.digest] = Principal(name, frozenset(key.scopes))
    if api_key is not None:
        tenants.setdefault("default", Tenant(name="default", brand="Verify"))
        principals[api_key_digest(api_key)] = Principal("default", frozenset({"verify", "admin"}))
    public_url = file.public_url.rstrip("/") if file.public_url else None
    file.console.judge(public_url)
    tables = {name: file.tenants.get(name, TenantConfig()) for name in tenants}
    accounts = {name: table.account_sid or services.account(name) for name, table in tables.items()}
    services.named_once(accounts)
    made = Config(
        tenants=tenants,
        principals=principals,
        providers=providers,
        senders=file.senders,
        routes=routes,
        test_numbers=file.test_numbers,
        public_url=public_url,
        base_url=public_url,
        receipts=file.tenants,
        webhooks={name: entry.webhook for name, entry in file.tenants.items() if entry.webhook},
        return_urls={
            name: tuple(allowed(f"tenants.{name}.return_urls", url) for url in entry.return_urls)
            for name, entry in file.tenants.items()
        },
        colours={name: entry.colour for name, entry in file.tenants.items() if entry.colour},
        logos={name: folder / entry.logo for name, entry in file.tenants.items() if entry.logo},
        facades=file.facades,
        accounts=accounts,
        notices={name: table.notices for name, table in tables.items() if table.notices != NoticeConfig()},
        services={name: services.of_tenant(name, table.services) for name, table in tables.items()},
        operators=by_digest(file.operators, principals),
        console=file.console,
        own=read(
            file.templates,
            file.replies,
            file.notices,
            file.languages,
            [each.brand for each in tenants.values()] or [""],
        ),
        alerts=file.alerts,
    )
    file.alerts.judge(made.route)
    return made


def _provider(name: str, table: dict[str, Any]) -> ProviderConfig:
    """One `[providers.NAME]`, read by the adapter of its kind. Raises ConfigError."""
    kind = table.pop("kind", None)
    if not isinstance(kind, str):
        raise ConfigError(f"providers.{name}: `kind` is required")
    try:
        adapter = find(kind)
        return ProviderConfig(kind, adapter, msgspec.convert(table, adapter.settings, dec_hook=decode_hook))
    except msgspec.ValidationError as error:
        raise ConfigError(f"providers.{name}: {error}{hint(error, adapter.settings)}") from None
    except ConfigError as error:
        raise ConfigError(f"providers.{name}: {error}") from None
