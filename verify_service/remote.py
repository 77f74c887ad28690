"""A service that runs, as a command reaches it: by its settings, or by the state folder of its `run`."""

from pathlib import Path
from typing import NamedTuple

from verify_service.codes import KeyRing, Tagger
from verify_service.errors import ConfigError
from verify_service.insight.explain import Explain
from verify_service.model import Clock
from verify_service.policy.live import LivePolicy
from verify_service.relief import Relief
from verify_service.settings import Settings
from verify_service.store import Store
from verify_service.store.audit import Audit
from verify_service.store.clock import SystemClock, VirtualClock
from verify_service.store.policies import Policies

# Files of the state folder.
STORE_URL = "store-url"
TAG_KEY = "tag-key"
KEYS = "keys"


class Remote(NamedTuple):
    """What a command works with: the store of a service that runs, its pseudonyms, its clock."""

    store: Store
    tagger: Tagger
    clock: Clock

    @property
    def audit(self) -> Audit:
        return Audit(self.store.link, self.tagger)

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
    tag_key = found.tag_key or _kept(found, "VERIFY_TAG_KEY", TAG_KEY)
    return Remote(store, Tagger(tag_key), clock_of(found, store))


def ring(found: Settings) -> KeyRing:
    """The master keys of VERIFY_KEYS, or of the state folder. Raises ConfigError."""
    return KeyRing(found.keys or _kept(found, "VERIFY_KEYS", KEYS))


def _kept(found: Settings, name: str, file: str) -> str:
    path = found.state_dir / file
    try:
        return path.read_text("utf-8")
    except OSError:
        raise ConfigError(f"{name} is not set, and there is no file {path}") from None


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


def running_store(state_dir: Path) -> str | None:
    """The address of the embedded store that a `run` with this state folder has up now, or None."""
    try:
        return (state_dir.resolve() / STORE_URL).read_text().strip() or None
    except OSError:
        return None
