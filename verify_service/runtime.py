"""What both roles stand on: settings in, configuration, keys, store and clock out."""

import time
from contextlib import suppress

from verify_service import config as operator
from verify_service import settings, tracing
from verify_service.codes import KeyRing, Tagger
from verify_service.config import Config
from verify_service.consents import Consents
from verify_service.errors import ConfigError, StoreUnavailable
from verify_service.inbox import Inbox
from verify_service.model import Actor
from verify_service.policy import file as policy_file
from verify_service.policy.live import LivePolicy
from verify_service.remote import clock_of
from verify_service.settings import Settings
from verify_service.store import Store
from verify_service.store.policies import Policies
from verify_service.telemetry import log

PATIENCE_AT_START = 10.0
LOST = (
    "right for a new store; one that was in use has lost its data: opt-outs, limits, pending codes, policies that were "
    "pushed"
)
FORGETS = (
    "when it restarts, what was answered may be lost: a code is soon asked for again, but a factor that is lost locks "
    "its user out, and one that was removed, or a recovery code that was used, is good again; switch on its "
    "append-only file, or have replicas confirm"
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
        if settings.traces():
            tracing.judge()
        self.config: Config = operator.load(found.config, found.api_key)
        policy_file.load(found.policy)
        self._policy = found.policy
        self.keys = KeyRing(found.keys or "")
        self.tagger = Tagger(found.tag_key or "")
        self.signing_keys = found.signing_keys
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
                if policies.first(now, Actor("start"), name, text):
                    say, hint = (_log.info, None) if new_store else (_log.warning, LOST)
                    say("the store had no policy; this one is in force now", policy=name, revision=1, hint=hint)

        live = LivePolicy(policies, self.tagger, first)
        with suppress(StoreUnavailable):
            live.refresh()
        return live

    def judge_kept(self) -> None:
        """Looks at what lasts for years, once for each role. Warns of a store that may forget what it has answered.
        Raises ConfigError where a key has left the ring that still seals something; what lies where nobody answers is
        not looked at."""
        if self.store.forgets:
            _log.warning("the store has no append-only file, and no replica that confirms", hint=FORGETS)
        sealed = self.store.keeping.sealed(of_who_answers=True)
        if gone := {kid: count for kid, count in sealed.items() if kid not in self.keys.kids}:
            named = ", ".join(f"{kid} ({count:,})" for kid, count in gone.items())
            raise ConfigError(
                f"VERIFY_KEYS lacks keys that still seal users and their factors: {named}. Put them back behind the "
                "others, run `verify-service keys reseal`, then take them out"
            )

    @property
    def inbox(self) -> Inbox | None:
        return Inbox(self.store, self.keys, self.tagger) if self.config.fake else None

    def consents(self) -> Consents:
        """What people want; from now on it heeds what receipts say of that."""
        made = Consents(self.store, self.config, self.keys, self.tagger, self.clock)
        self.store.deliveries.heed_opt_outs(made.opted_out)
        return made


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
