"""The one place where objects are built: settings in, a web app or a dispatcher out."""

import os
import secrets
import signal
import socket
import threading
import time
from contextlib import suppress
from functools import partial
from typing import NamedTuple
from wsgiref.types import WSGIApplication

from verify_service import config as operator
from verify_service import settings
from verify_service.adapters import AdapterContext, Callbacks, Provider
from verify_service.codes import KeyRing, Tagger
from verify_service.config import Config
from verify_service.consents import Consents
from verify_service.data_subjects import DataSubjects
from verify_service.dispatch import Dispatcher
from verify_service.dispatch.acknowledging import acknowledging, straying
from verify_service.dispatch.sending import OptOutRecorder
from verify_service.dispatch.webhooks import DRAIN_S, Webhooks
from verify_service.errors import ConfigError, StoreUnavailable
from verify_service.inbox import Inbox
from verify_service.insight.explain import Explain
from verify_service.model import Clock
from verify_service.policy import file as policy_file
from verify_service.policy.live import PAUSE_S, LivePolicy
from verify_service.process import die_with_parent, keep_what_is_built
from verify_service.relief import Relief
from verify_service.run import TAG_KEY, running_store
from verify_service.service import Service
from verify_service.settings import Settings
from verify_service.store import Store
from verify_service.store.clock import SystemClock, VirtualClock
from verify_service.store.failures import FailedAuthentications
from verify_service.store.policies import Policies
from verify_service.telemetry import configure_logs, log
from verify_service.web import create_app
from verify_service.web.context import WebContext
from verify_service.web.readiness import Readiness

PATIENCE_AT_START = 10.0
LOST = (
    "right for a new store; one that was in use has lost its data: opt-outs, limits, pending codes, policies that were "
    "pushed"
)

_log = log("app")


class Runtime:
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
        policy_file.load(found.policy)
        self._policy = found.policy
        self.keys = KeyRing(found.keys or "")
        self.tagger = Tagger(found.tag_key or "")
        self.store = patiently(found.redis_url)
        self.clock = clock_of(found, self.store)

    def live(self, *, new_store: bool = False) -> LivePolicy:
        """The live policy; where the store has none, VERIFY_POLICY or the shipped default is its first revision. That
        is a warning in the log, but for a `new_store`: a store that was in use has lost what was in it, and a store
        that is empty does not say whether it was.

        Only the web role asks: a dispatcher may have no VERIFY_POLICY. While the store does not answer, no policy is in
        force and every start is a 503. Raises ConfigError for a policy that cannot be used.
        """
        policies = Policies(self.store.link, self.tagger)
        text = self._policy.read_text("utf-8") if self._policy else policy_file.default_text()
        name = "VERIFY_POLICY" if self._policy else "the shipped default"

        def first() -> None:
            if not policies.newest():
                now = self.clock.now()
                policies.rehearse(now, policy_file.parse(text, name))
                if policies.first(now, "start", name, text):
                    say, hint = (_log.info, None) if new_store else (_log.warning, LOST)
                    say("the store had no policy; this one is in force now", policy=name, revision=1, hint=hint)

        live = LivePolicy(policies, self.tagger, first)
        with suppress(StoreUnavailable):
            live.refresh()
        return live

    @property
    def inbox(self) -> Inbox | None:
        return Inbox(self.store, self.keys, self.tagger) if self.config.fake else None

    def consents(self) -> Consents:
        """What people want; from now on it heeds what receipts say of that."""
        made = Consents(self.store, self.config, self.keys, self.tagger, self.clock)
        self.store.deliveries.heed_opt_outs(made.opted_out)
        return made


class Remote(NamedTuple):
    """What a command works with: the store of a service that runs, its pseudonyms, its clock."""

    store: Store
    tagger: Tagger
    clock: Clock

    @property
    def policy(self) -> LivePolicy:
        return LivePolicy(Policies(self.store.link, self.tagger), self.tagger)

    @property
    def rules(self) -> LivePolicy:
        """The policy in force, read now. Raises as `LivePolicy.refresh`."""
        live = self.policy
        live.refresh()
        return live

    @property
    def explain(self) -> Explain:
        return Explain(self.store, self.rules, self.tagger, self.clock)

    @property
    def relief(self) -> Relief:
        return Relief(self.store, self.rules, self.tagger, self.clock)


def remote(found: Settings) -> Remote:
    """The service that the environment names: by VERIFY_REDIS_URL and VERIFY_TAG_KEY, or as the `run` of the state
    folder. Raises ConfigError where there is none, StoreUnavailable."""
    store = store_at_hand(found)
    file = found.state_dir / TAG_KEY
    try:
        tag_key = found.tag_key or file.read_text("utf-8")
    except OSError:
        raise ConfigError(f"VERIFY_TAG_KEY is not set, and there is no file {file}") from None
    return Remote(store, Tagger(tag_key), clock_of(found, store))


def store_at_hand(found: Settings) -> Store:
    """The store of VERIFY_REDIS_URL, or of the `run` that is up in the state folder. Raises ConfigError where there is
    none, StoreUnavailable."""
    url = found.redis_url or running_store(found.state_dir)
    if url is None:
        raise ConfigError(f"no store: set VERIFY_REDIS_URL, or start `verify-service run` with {found.state_dir}")
    store = Store(url)
    store.prepare()
    return store


def clock_of(found: Settings, store: Store) -> Clock:
    return VirtualClock(store.link) if found.clock == "virtual" else SystemClock()


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


def wsgi(*, access_log: bool = False) -> WSGIApplication:
    """The web role's app, in each worker process."""
    die_with_parent()
    # Ctrl-C reaches the workers too: one would end before its parent has asked it to, and be taken for dead.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    configure_logs()
    runtime = Runtime(settings.read())
    live = runtime.live()
    live.watch()
    consents = runtime.consents()
    service = Service(runtime.config, live, runtime.keys, runtime.tagger, runtime.store.verifications, runtime.clock)
    return create_app(
        WebContext(
            config=operator.with_inbox_key(runtime.config, settings.inbox_key()),
            store=runtime.store,
            service=service,
            live=live,
            clock=runtime.clock,
            failures=FailedAuthentications(runtime.store.link, runtime.tagger),
            readiness=Readiness(runtime.store, live),
            consents=consents,
            data_subjects=DataSubjects(runtime.store, runtime.tagger, runtime.clock),
            explain=Explain(runtime.store, live, runtime.tagger, runtime.clock),
            relief=Relief(runtime.store, live, runtime.tagger, runtime.clock),
            callbacks=callbacks(runtime),
            inbox=runtime.inbox,
            multiprocess=settings.metrics_dir() is not None,
        ),
        access_log=access_log,
    )


def judge_web(runtime: Runtime, *, new_store: bool = False) -> int:
    """The policy's revision in force, 0 where the store does not answer. Raises ConfigError for what stops the web
    role: said once, and not by each worker with a traceback."""
    if not runtime.config.principals:
        raise ConfigError("nobody could call: set VERIFY_API_KEY, or give a tenant in verify.toml an api_keys entry")
    callbacks(runtime)
    return runtime.live(new_store=new_store).in_force  # Last: a role that cannot start brings no policy.


def callbacks(runtime: Runtime) -> dict[str, Callbacks]:
    """Those of each provider whose vendor calls us. Raises ConfigError."""
    made = {}
    for name, (_, adapter, table) in runtime.config.providers.items():
        if adapter.callbacks:
            where = runtime.config.callbacks(name)
            stray = straying(runtime.store.deliveries.strays, runtime.clock, name)
            context = AdapterContext(
                name=name, secret=settings.secret, clock=runtime.clock, callbacks=where, stray=stray
            )
            try:
                made[name] = adapter.callbacks(table, context)
            except ConfigError as error:
                raise ConfigError(f"providers.{name}: {error}") from None
    return made


def dispatch(stop: threading.Event) -> None:
    """The dispatch role until `stop` is set: messages to the providers, events to the tenants' own endpoints.

    Raises ConfigError, StoreUnavailable; ConfigError also later on, once it has stopped, where the store is another tag
    key's.
    """
    configure_logs()
    runtime = Runtime(settings.read())
    webhooks = Webhooks(runtime.store.webhooks, runtime.config.webhooks, settings.secret, runtime.clock)
    beside = threading.Thread(target=webhooks.run, args=(stop,), name="webhooks", daemon=True)
    refused: list[ConfigError] = []
    policies = Policies(runtime.store.link, runtime.tagger)
    if policies.current() is None:
        # A store without a policy yet: the web role brings it, and with it the tag key that holds.
        threading.Thread(target=_watch_key, args=(policies, stop, refused), name="tag-key", daemon=True).start()
    if runtime.config.webhooks:
        beside.start()
    made = dispatcher(runtime)
    keep_what_is_built()
    made.run(stop)
    if beside.is_alive():
        beside.join(2 * DRAIN_S)
    if refused:
        raise refused[0]


def _watch_key(policies: Policies, stop: threading.Event, refused: list[ConfigError]) -> None:
    """Looks for a policy until there is one; stops the role where another tag key sealed it."""
    while not stop.wait(PAUSE_S):
        try:
            if policies.current() is not None:
                return
        except StoreUnavailable:
            continue
        except ConfigError as error:
            refused.append(error)
            stop.set()


def dispatcher(runtime: Runtime) -> Dispatcher:
    """What sends, with its providers. Raises ConfigError."""
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    providers: dict[str, Provider] = {}
    consents = runtime.consents()
    made = Dispatcher(runtime.store, runtime.config, runtime.keys, runtime.clock, providers, name)
    for provider, (_, adapter, table) in runtime.config.providers.items():
        context = AdapterContext(
            name=provider,
            secret=settings.secret,
            clock=runtime.clock,
            callbacks=runtime.config.callbacks(provider),
            report=made.report(provider),
            heard=acknowledging(partial(consents.heard, provider=provider)),
            stray=straying(runtime.store.deliveries.strays, runtime.clock, provider),
            inbox=runtime.inbox,
        )
        try:
            sends = adapter.provider(table, context)
        except ConfigError as error:
            raise ConfigError(f"providers.{provider}: {error}") from None
        providers[provider] = OptOutRecorder(sends, provider, consents, runtime.tagger)
    return made
