"""What the views work with, hung on the Flask app when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flask import current_app

from verify_service.adapters import Callbacks
from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.consents import Consents
from verify_service.data_subjects import DataSubjects
from verify_service.factors import Factors
from verify_service.inbox import Inbox
from verify_service.insight.explain import Explain
from verify_service.look import Logo
from verify_service.model import Clock
from verify_service.openid import OpenId
from verify_service.policy.live import LivePolicy
from verify_service.relief import Relief
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.audit import Audit
from verify_service.store.backtests import Backtests
from verify_service.store.failures import FailedAuthentications
from verify_service.web.readiness import Readiness

EXTENSION = "verify_service"


@dataclass(frozen=True, slots=True)
class WebContext:
    """Built once per worker process by `verify_service.app`. `inbox` is None where no fake provider is configured;
    `multiprocess` says that metrics of several processes are gathered; `callbacks` are those of each provider whose
    vendor calls us; `keys` seal the tokens of hosted pages, `logos` are those of tenants; `openid` signs operators
    in, None where no provider does."""

    config: Config
    store: Store
    service: Service
    factors: Factors
    keys: KeyRing
    live: LivePolicy
    clock: Clock
    failures: FailedAuthentications
    readiness: Readiness
    consents: Consents
    data_subjects: DataSubjects
    explain: Explain
    relief: Relief
    backtests: Backtests
    audit: Audit
    callbacks: Mapping[str, Callbacks]
    inbox: Inbox | None
    multiprocess: bool
    logos: Mapping[str, Logo] = field(default_factory=dict)
    openid: OpenId | None = None


def context() -> WebContext:
    """Of the app that serves this request."""
    found: WebContext = current_app.extensions[EXTENSION]
    return found
