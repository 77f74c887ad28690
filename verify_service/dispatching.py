"""The dispatch role: settings in, a dispatcher at work out."""

import os
import secrets
import socket
import threading
import time
from functools import partial

from verify_service import settings, tracing
from verify_service.adapters import AdapterContext, Provider
from verify_service.alerts import Alarms
from verify_service.alerts.team import Team
from verify_service.dispatch import Dispatcher
from verify_service.dispatch.acknowledging import acknowledging, straying
from verify_service.dispatch.counting import Counting
from verify_service.dispatch.notices import NoticeGate
from verify_service.dispatch.sending import OptOutRecorder
from verify_service.dispatch.webhooks import DRAIN_S, Webhooks
from verify_service.errors import ConfigError, StoreUnavailable
from verify_service.policy.live import PAUSE_S, LivePolicy
from verify_service.policy.rulebook import Rulebook, Rules
from verify_service.process import keep_what_is_built
from verify_service.runtime import Runtime
from verify_service.store.policies import Policies
from verify_service.telemetry import configure_logs


def dispatch(stop: threading.Event) -> None:
    """The dispatch role until `stop` is set: messages to the providers, events to the tenants' own endpoints.

    Raises ConfigError, StoreUnavailable; ConfigError also later on, once it has stopped, where the store is another tag
    key's.
    """
    configure_logs()
    runtime = Runtime(settings.read())
    if settings.traces():
        tracing.configure("dispatch")
    runtime.judge_kept()
    webhooks = Webhooks(runtime.store.webhooks, runtime.config.webhooks, settings.secret, runtime.clock)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    providers: dict[str, Provider] = {}
    team = Team(runtime.config, settings.secret, providers)
    alarms = Alarms(runtime.store, runtime.config, runtime.tagger, team, runtime.clock, name)
    counting = Counting(runtime.store.counts, runtime.clock)
    works = {"counting": counting.run, "alerts": alarms.run}
    if runtime.config.webhooks:
        works["webhooks"] = webhooks.run
    beside = [threading.Thread(target=work, args=(stop,), name=each, daemon=True) for each, work in works.items()]
    refused: list[ConfigError] = []
    policies = Policies(runtime.store.link, runtime.tagger)
    if policies.current() is None:
        # A store without a policy yet: the web role brings it, and with it the tag key that holds.
        threading.Thread(target=_watch_key, args=(policies, stop, refused), name="tag-key", daemon=True).start()
    made = dispatcher(runtime, providers, name)
    keep_what_is_built()
    for each in beside:
        each.start()
    made.run(stop)
    until = time.monotonic() + 2 * DRAIN_S
    for each in beside:
        each.join(max(0.0, until - time.monotonic()))
    tracing.close()
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


def _newest(runtime: Runtime) -> Rules:
    """The policy in force, looked for whenever it is asked for: notices are few."""
    live = LivePolicy(Policies(runtime.store.link, runtime.tagger), runtime.tagger)

    def rules() -> Rulebook:
        live.refresh()
        return live()

    return rules


def dispatcher(runtime: Runtime, providers: dict[str, Provider], name: str) -> Dispatcher:
    """What sends by the providers, which it makes. `name` tells this process from all others, now and before. Raises
    ConfigError."""
    consents = runtime.consents()
    gate = NoticeGate(runtime.store.notices, runtime.config, runtime.tagger, runtime.clock, _newest(runtime))
    made = Dispatcher(runtime.store, runtime.config, runtime.keys, runtime.clock, providers, name, gate)
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
