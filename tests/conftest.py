"""The parts that many tests stand on: a real Valkey, a store on it, the service, and the live server of the plugin."""

import secrets
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.vendor import Vendor, vendor_at_work
from verify_service import codes, config, phone
from verify_service.embedded import EmbeddedValkey
from verify_service.model import Start
from verify_service.policy import file as policy_file
from verify_service.policy.rulebook import fixed
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.records import unpack_record

# These need what `make test-peers` installs, and run there.
collect_ignore = ["peers"]

if TYPE_CHECKING:
    from tests.cluster import Cluster
    from tests.dispatching import Post
    from tests.hooked import Hooked

# How long an example takes is the machine's matter; examples share a store, and keep apart by their keys.
settings.register_profile(
    "ours", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("ours")

# Whoever runs the tests in the background of a script passes on that Ctrl-C is ignored, also to what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: side by side with it, the quick ones fill what time is left."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@dataclass
class ManualClock:
    """A clock that stands still until it is moved."""

    ms: int = 1_800_000_000_000

    def now(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


@dataclass
class Bench:
    """A service on a real store, without HTTP: what tests of the scripts work with."""

    store: Store
    keys: codes.KeyRing
    tagger: codes.Tagger
    clock: ManualClock
    service: Service

    def code(self, verification_id: str) -> str:
        """The code of the verification, as the dispatcher would derive it from the record."""
        part = self.store.verifications.partition(verification_id[3:])
        key = f"vs:{{{part}}}:verification:{verification_id}"
        record = unpack_record(self.store.link.command(part, ["GET", key]))
        return self.keys.code(record["kid"], record["nonce"], record["tenant"], record["purpose"], 6)


def wrong(code: str) -> str:
    """Another code of the same length."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def a_start(to: str, purpose: str = "login", **fields: Any) -> Start:
    """A start for a number in E.164."""
    return Start(number=phone.parse(to, None), channel="sms", purpose=purpose, **fields)


def make_bench(store: Store, policy: str | None = None, keys: str | None = None) -> Bench:
    """A service with its own keys on the store, so that tests do not see each other's numbers."""
    ring = codes.KeyRing(keys or f"k1:{codes.new_key()}")
    tagger = codes.Tagger(codes.new_key())
    clock = ManualClock()
    # A week of its own: the room for decision records goes by the minute.
    clock.advance(604_800 * secrets.randbelow(3000))
    rules = policy_file.parse(policy or policy_file.default_text(), "test policy")
    service = Service(
        config.load(None, secrets.token_hex(16)), fixed(rules, tagger), ring, tagger, store.verifications, clock
    )
    return Bench(store, ring, tagger, clock, service)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """One real Valkey for the session; tests keep apart by their keys, never by emptying it."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), append_fsync="no") as server:
        yield server


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    """A store on the session's server."""
    made = Store(valkey.url)
    made.prepare()
    return made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Store]:
    """A store that nobody else speaks to, with its append-only file."""
    with EmbeddedValkey(tmp_path, append_fsync="no") as server:
        made = Store(server.url)
        made.prepare()
        yield made


@pytest.fixture
def bench(store: Store) -> Bench:
    """A service under the shipped default policy."""
    return make_bench(store)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Cluster"]:
    """Three primaries, a module's own."""
    from tests.cluster import Cluster  # which stands on this file

    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def spread(cluster: "Cluster") -> Store:
    """A store on the cluster. Each test has its own time, so how far approvals were carried before says nothing."""
    made = Store(cluster.url)
    made.prepare()
    for part in range(made.outbox.partitions):
        made.link.command(part, ["DEL", f"vs:{{{part}}}:credited"])
    return made


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["Post"]:
    """A store of the test's own with dispatchers at work on it."""
    from tests.dispatching import Post  # which stands on this file

    # Otherwise each end waits up to a second for the last read.
    monkeypatch.setattr("verify_service.dispatch.dispatcher.BLOCK_MS", 50)
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        store = Store(server.url)
        store.prepare()
        yield Post(server, tmp_path, make_bench(store))


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator["Hooked"]:
    """A store of the test's own for endpoints that are told of events."""
    from tests.hooked import Hooked  # which stands on this file

    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        yield Hooked(server)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A server that a provider or a webhook calls; it takes everything until told otherwise."""
    with vendor_at_work() as made:
        yield made
