"""The web role: settings in, a web app out."""

import signal
from wsgiref.types import WSGIApplication

from verify_service import config as operator
from verify_service import look, settings, tracing
from verify_service.adapters import AdapterContext, Callbacks
from verify_service.approvals import Approvals, SigningKeys
from verify_service.backtest.beside import launch
from verify_service.config import Config
from verify_service.data_subjects import DataSubjects
from verify_service.dispatch.acknowledging import straying
from verify_service.errors import ConfigError
from verify_service.factors import Factors
from verify_service.insight.explain import Explain
from verify_service.model import Clock
from verify_service.openid import OpenId
from verify_service.process import die_with_parent
from verify_service.relief import Relief
from verify_service.runtime import Runtime
from verify_service.service import Service
from verify_service.store.audit import Audit
from verify_service.store.backtests import Backtests
from verify_service.store.failures import FailedAuthentications
from verify_service.telemetry import configure_logs
from verify_service.web import create_app
from verify_service.web.context import WebContext
from verify_service.web.readiness import Readiness


def wsgi(*, access_log: bool = False) -> WSGIApplication:
    """The web role's app, in each worker process."""
    die_with_parent()
    # Ctrl-C reaches the workers too: one would end before its parent has asked it to, and be taken for dead.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    configure_logs()
    if settings.traces():
        tracing.configure("web")
    runtime = Runtime(settings.read())
    live = runtime.live()
    live.watch()
    consents = runtime.consents()
    config = operator.listening_at(runtime.config, settings.web_address())
    verifications = runtime.store.verifications
    signing = approvals(runtime, config)
    service = Service(config, live, runtime.keys, runtime.tagger, verifications, runtime.clock, signing)
    return create_app(
        WebContext(
            config=operator.with_inbox_key(config, settings.inbox_key()),
            store=runtime.store,
            service=service,
            factors=Factors(config, live, runtime.keys, runtime.tagger, runtime.store.users, runtime.clock, signing),
            keys=runtime.keys,
            live=live,
            clock=runtime.clock,
            failures=FailedAuthentications(runtime.store.link, runtime.tagger),
            readiness=Readiness(runtime.store, live),
            consents=consents,
            data_subjects=DataSubjects(runtime.store, runtime.tagger, runtime.clock),
            explain=Explain(runtime.store, live, runtime.tagger, runtime.clock),
            relief=Relief(runtime.store, live, runtime.tagger, runtime.clock),
            backtests=Backtests(runtime.store.link, runtime.tagger, launch),
            audit=Audit(runtime.store.link, runtime.tagger),
            callbacks=callbacks(runtime),
            inbox=runtime.inbox,
            multiprocess=settings.metrics_dir() is not None,
            logos=logos(runtime),
            openid=openid(config, runtime.clock),
        ),
        access_log=access_log,
    )


def judge_web(runtime: Runtime, *, new_store: bool = False) -> int:
    """The policy's revision in force, 0 where the store does not answer. Raises ConfigError for what stops the web
    role: said once, and not by each worker with a traceback."""
    runtime.judge_kept()
    if not runtime.config.principals:
        raise ConfigError("nobody could call: set VERIFY_API_KEY, or give a tenant in verify.toml an api_keys entry")
    callbacks(runtime)
    approvals(runtime, operator.listening_at(runtime.config, settings.web_address())).judge()
    logos(runtime)
    openid(runtime.config, runtime.clock)
    return runtime.live(new_store=new_store).in_force  # Last: a role that cannot start brings no policy.


def approvals(runtime: Runtime, config: Config) -> Approvals:
    """What signs receipts, or says why it cannot. Raises ConfigError."""
    keys = SigningKeys(runtime.signing_keys) if runtime.signing_keys else None
    return Approvals(runtime.keys, runtime.tagger, config.receipts, config.base_url, keys)


def openid(config: Config, clock: Clock) -> OpenId | None:
    """What signs operators in by their OpenID provider, None where none is configured. Raises ConfigError."""
    asked = config.console.oidc
    if asked is None:
        return None
    try:
        secret = settings.secret(asked.client_secret)
    except ConfigError as error:
        raise ConfigError(f"console.oidc.client_secret: {error}") from None
    return OpenId(asked.issuer, asked.client_id, secret, f"{config.public_url}/console/sign-in/back", clock)


def logos(runtime: Runtime) -> dict[str, look.Logo]:
    """Those of the tenants' pages: of the web role alone, a dispatcher needs no such files. Raises ConfigError."""
    return {name: look.logo(f"tenants.{name}.logo", path) for name, path in runtime.config.logos.items()}


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
