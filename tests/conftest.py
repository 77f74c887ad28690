"""The parts that many tests stand on: a real Valkey, a store on it, the service, and the live server of the plugin."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.bench import Bench, make_bench
from tests.support.cluster import Cluster
from tests.support.dispatching import Post
from tests.support.live import PATIENCE_S, patient
from tests.support.vendor import Vendor, vendor_at_work
from tests.support.webhook_bench import WebhookBench
from verify_service.embedded import EmbeddedValkey
from verify_service.store import Store
from verify_service.store.url import COMMON

# These need what `make test-peers` installs, and run there.
collect_ignore = ["peers"]

# How long an example takes is the machine's matter; examples share a store, and keep apart by their keys.
# Each run has the same examples: what is found is found on every machine, or on none.
settings.register_profile(
    "ours",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("ours")

# Whoever runs the tests in the background of a script passes on that Ctrl-C is ignored, also to what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first: side by side with it, the quick ones fill what time is left."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """One real Valkey for the session; tests keep apart by their keys, never by emptying it."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), append_fsync="no") as server:
        yield server


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Store:
    """A store on the session's server."""
    made = Store(patient(valkey.url))
    made.prepare()
    return made


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store for a module's own tests, small enough to compare all of it before and after."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), append_fsync="no") as server:
        made = Store(patient(server.url))
        made.prepare()
        yield made


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Store]:
    """A store that nobody else speaks to, with its append-only file."""
    with EmbeddedValkey(tmp_path, append_fsync="no") as server:
        made = Store(patient(server.url))
        made.prepare()
        yield made


@pytest.fixture
def bench(store: Store) -> Bench:
    """A service under the shipped default policy."""
    return make_bench(store)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries, a module's own."""
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def spread(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store on the cluster, which waits for its answers however busy the machine is. Each test has its own time, so
    how far approvals were carried before says nothing."""
    monkeypatch.setitem(COMMON, "socket_timeout", PATIENCE_S)
    monkeypatch.setattr("verify_service.store.pipeline.OPTIONAL_PATIENCE", PATIENCE_S)
    made = Store(cluster.url)
    made.prepare()
    for part in range(made.outbox.partitions):
        made.link.command(part, ["DEL", f"vs:{{{part}}}:credited"])
    return made


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Post]:
    """A store of the test's own with dispatchers at work on it."""
    # Otherwise each end waits up to a second for the last read.
    monkeypatch.setattr("verify_service.dispatch.reader.BLOCK_MS", 50)
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        store = Store(patient(server.url))
        store.prepare()
        yield Post(server, tmp_path, make_bench(store))


@pytest.fixture
def webhook_bench(tmp_path: Path) -> Iterator[WebhookBench]:
    """A store of the test's own for endpoints that are told of events."""
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        yield WebhookBench(server)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A server that a provider or a webhook calls; it takes everything until told otherwise."""
    with vendor_at_work() as made:
        yield made
