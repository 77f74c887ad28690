"""The one place where objects are built: settings in, a web app or a dispatcher out."""

import os
import secrets
import socket
import time
from wsgiref.types import WSGIApplication

from verify_service import config as operator
from verify_service import settings
from verify_service.codes import KeyRing, Tagger
from verify_service.config import Config, FakeConfig, ProviderConfig
from verify_service.dispatch import Dispatcher
from verify_service.errors import ConfigError, StoreUnavailable
from verify_service.inbox import Inbox
from verify_service.model import Clock
from verify_service.policy import file as policy_file
from verify_service.process import die_with_parent
from verify_service.providers import Provider, Report
from verify_service.providers.fake import FakeProvider
from verify_service.providers.webhook import WebhookProvider
from verify_service.service import Service
from verify_service.settings import Settings
from verify_service.store import Store
from verify_service.store.clock import SystemClock, VirtualClock
from verify_service.store.failures import FailedAuthentications
from verify_service.telemetry import configure_logs, log
from verify_service.web import create_app
from verify_service.web.parts import Parts

PATIENCE_AT_START = 10.0

_log = log("app")


class Foundation:
    """What both roles stand on: settings, configuration, keys, store, clock.

    Raises ConfigError for anything that cannot be used, StoreUnavailable where the store stays silent for ten seconds.
    """

    def __init__(self, found: Settings) -> None:
        if not found.redis_url:
            raise ConfigError("VERIFY_REDIS_URL is not set; `verify-service run` brings a store, this role needs one")
        for name, value in (("VERIFY_KEYS", found.keys), ("VERIFY_TAG_KEY", found.tag_key)):
            if not value:
                raise ConfigError(f"{name} is not set; `verify-service keys new` prints both keys")
        self.config: Config = operator.load(found.config, found.api_key)
        self.policy = policy_file.load(found.policy)
        if self.config.unheeded:
            _log.warning("verify.toml asks for what this version does not do", keys=self.config.unheeded)
        self.keys = KeyRing(found.keys or "")
        self.tagger = Tagger(found.tag_key or "")
        self.store = patiently(found.redis_url)
        self.clock: Clock = VirtualClock(self.store.link) if found.clock == "virtual" else SystemClock()

    @property
    def inbox(self) -> Inbox | None:
        return Inbox(self.store, self.keys, self.tagger) if self.config.fake else None


def patiently(url: str) -> Store:
    """A store that is ready; one that is only starting is waited for. Raises ConfigError, StoreUnavailable."""
    deadline = time.monotonic() + PATIENCE_AT_START
    said = False
    while True:
        try:
            store = Store(url)
            store.prepare()
            return store
        except StoreUnavailable as error:
            if time.monotonic() > deadline:
                raise
            if not said:
                _log.warning("the store does not answer yet", reason=error.reason)
            said = True
            time.sleep(0.1)


def wsgi() -> WSGIApplication:
    """The web role's app, in each worker process."""
    die_with_parent()
    configure_logs()
    base = Foundation(settings.read())
    if not base.config.principals:
        raise ConfigError("nobody could call: set VERIFY_API_KEY, or give a tenant in verify.toml an api_keys entry")
    service = Service(base.config, base.policy, base.keys, base.tagger, base.store.verifications, base.clock)
    return create_app(
        Parts(
            config=base.config,
            store=base.store,
            service=service,
            clock=base.clock,
            failures=FailedAuthentications(base.store.link, base.tagger),
            inbox=base.inbox,
            multiprocess=settings.metrics_dir() is not None,
        )
    )


def dispatcher() -> Dispatcher:
    """The dispatch role."""
    configure_logs()
    base = Foundation(settings.read())
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    providers: dict[str, Provider] = {}
    made = Dispatcher(base.store.outbox, base.config, base.keys, base.clock, providers, name)
    for provider, entry in base.config.providers.items():
        providers[provider] = _provider(provider, entry, base, made.report(provider))
    return made


def _provider(name: str, entry: ProviderConfig, base: Foundation, report: Report) -> Provider:
    if isinstance(entry, FakeConfig):
        return FakeProvider(name, Inbox(base.store, base.keys, base.tagger), base.clock, report)
    return WebhookProvider(entry.url, settings.secret(entry.secret), entry.timeout.seconds)
