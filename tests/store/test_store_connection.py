"""The way to one server: how its URL is written, and what callers are told while it is silent, full or read-only."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.bench import Bench, a_start, make_bench
from tests.support.concurrency import at_once, outcome
from tests.support.live import changed, contents
from verify_service.embedded import EmbeddedValkey, free_port
from verify_service.errors import ConfigError, StoreUnavailable
from verify_service.model import Verification
from verify_service.policy.specs import LimitSpec, Window
from verify_service.store import Store
from verify_service.store.connection import PAUSE, Call, Link, prefix
from verify_service.store.url import CONNECT_PATIENCE, parse

pytestmark = pytest.mark.slow

TENANT = "default"
TO = "+14155550123"
POLICY = '[code]\nguess_ceiling = 1.0\n[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "40/hour"\n'


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A server of this file's own, since its tests stop it, fill it and change its settings."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), append_fsync="no", port=free_port()) as made:
        yield made


@pytest.fixture
def lone(server: EmbeddedValkey) -> Bench:
    """A service on that server."""
    store = Store(server.url)
    store.prepare()
    return make_bench(store, POLICY)


@contextmanager
def configured(server: EmbeddedValkey, **settings: str) -> Iterator[Any]:
    """The server with other settings for a while; gives a plain client."""
    client: Any = redis.Redis.from_url(server.url)
    before = {name: client.config_get(name.replace("_", "-"))[name.replace("_", "-")] for name in settings}
    for name, value in settings.items():
        client.config_set(name.replace("_", "-"), value)
    try:
        yield client
    finally:
        for name, value in before.items():
            client.config_set(name.replace("_", "-"), value)


@contextmanager
def nobody() -> Iterator[int]:
    """A port where nobody listens, and nobody begins to."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield closed.getsockname()[1]


def begin(bench: Bench, to: str = TO, **fields: str) -> Verification:
    return bench.service.start(TENANT, a_start(to, **fields))


@pytest.mark.parametrize(
    ("url", "kind", "hosts"),
    [
        ("redis://h", "single", "redis://h?"),
        ("redis://h:6380/2", "single", "redis://h:6380/2?"),
        ("redis://user:pa%2Fss@h:6380", "single", "redis://user:pa%2Fss@h:6380?"),
        ("redis://[::1]:6380/0", "single", "redis://[::1]:6380/0?"),
        ("redis://h?replicas=1", "single", "redis://h?"),
        ("rediss://h?ssl_cert_reqs=required", "single", "rediss://h?ssl_cert_reqs=required"),
        ("unix:///run/valkey.sock", "single", "unix:///run/valkey.sock?"),
        ("unix:///run/valkey.sock?db=3", "single", "unix:///run/valkey.sock?db=3"),
        ("valkey://h:6380", "single", "redis://h:6380?"),
        ("valkeys://h", "single", "rediss://h?"),
        ("redis+sentinel://h1,h2:26380/main", "sentinel", [("h1", 26379), ("h2", 26380)]),
        ("valkey+sentinel://h1/main?db=1&replicas=2", "sentinel", [("h1", 26379)]),
        ("redis+cluster://h1,h2:7000,[::1]:7001,[fe80::2]", "cluster", "cluster hosts"),
        ("rediss+cluster://user:pa%40ss@h1", "cluster", [("h1", 6379)]),
        ("valkey+cluster://h1", "cluster", [("h1", 6379)]),
    ],
)
def test_every_form_of_the_url_is_read(url: str, kind: str, hosts: object) -> None:
    """One server, TLS, a unix socket, Sentinel and Cluster; `valkey` is spelled the same."""
    if hosts == "cluster hosts":
        hosts = [("h1", 6379), ("h2", 7000), ("::1", 7001), ("fe80::2", 6379)]
    assert parse(url)[:2] == (kind, hosts)


def test_the_parts_of_a_url_reach_the_connection() -> None:
    """Credentials are decoded, TLS is on where the scheme has the s, database and replicas are as they are written."""
    _, _, options, _ = parse("rediss+cluster://user:pa%40s%2Fs@h1")
    assert (options["username"], options["password"], options["ssl"]) == ("user", "pa@s/s", True)
    _, _, options, query = parse("redis+sentinel://:secret@h1,h2/main?db=1&replicas=2")
    assert (options["username"], options["password"], options["db"]) == (None, "secret", 1)
    assert (query["name"], query["replicas"]) == ("main", "2")
    assert "ssl" not in options
    link = Link("redis://user:pa%40s%2Fs@127.0.0.1:1/3?replicas=2")
    found = link.client().connection_pool.connection_kwargs
    assert (found["username"], found["password"], found["db"], link.replicas) == ("user", "pa@s/s", 3, 2)
    assert Link("redis+sentinel://127.0.0.1:1/main").replicas == 1
    assert Link("redis+sentinel://127.0.0.1:1/main?replicas=0").replicas == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:6379",
        "http://h",
        "redis+proxy://h",
        "redis://[::1",
        "redis://:hunter2@h:port",
        "redis://:hunter2@h:99999",
        "redis://:hunter2@h/first",
        "redis://:hunter2@h?nonsense=1",
        "redis://:hunter2@h?socket_timeout=soon",
        "redis://:hunter2@h?replicas=-1",
        "unix://",
        "redis+cluster://",
        "redis+cluster://h1,,h2",
        "redis+cluster://:hunter2@h1:99999",
        "redis+cluster://:hunter2@h1:port",
        "redis+cluster://:hunter/2@h1",
        "redis+cluster://h1?ssl=1",
        "redis+cluster://::1",
        "redis+sentinel://h1,h2",
        "redis+sentinel://h1/main?db=first",
        "redis+sentinel://h1/main?replicas=all",
    ],
)
def test_a_url_that_cannot_be_read_is_refused_in_one_line(url: str) -> None:
    """The line names the setting and how it is written; a password that stands in it is not repeated."""
    with pytest.raises(ConfigError) as refused:
        Link(url)
    line = str(refused.value)
    assert line.startswith("VERIFY_REDIS_URL")
    assert "\n" not in line
    assert "hunter" not in line


def test_a_store_that_evicts_keys_is_refused(server: EmbeddedValkey) -> None:
    """A full store that forgets limits would let attackers through, so it is refused at the start, with the way out."""
    with (
        configured(server, maxmemory_policy="allkeys-lru"),
        pytest.raises(ConfigError, match="Set maxmemory-policy noeviction"),
    ):
        Store(server.url).prepare()
    Store(server.url).prepare()


def test_a_store_first_used_by_a_cluster_is_refused_on_a_single_server(server: EmbeddedValkey) -> None:
    """The partition count is fixed by the first use; a copy of a cluster's data is not where this server would look."""
    url = f"{server.url}/5"
    redis.Redis.from_url(url).set("vs:partitions", 32, px=60_000)
    with pytest.raises(ConfigError, match="32 partitions and this connection has 1"):
        Store(url).prepare()


def test_credentials_of_the_url_are_used_and_wrong_ones_are_the_stores_absence(server: EmbeddedValkey) -> None:
    """A user that may touch keys and channels that begin with vs: and nothing else is enough; a wrong password is
    reported at once, by its kind."""
    client: Any = redis.Redis.from_url(server.url)
    client.execute_command(
        "ACL", "SETUSER", "app", "on", ">s/e@cret", "~vs:*", "&vs:*", "+@all", "-@dangerous", "+info"
    )
    try:
        store = Store(server.url.replace("redis://", "redis://app:s%2Fe%40cret@"))
        store.prepare()
        bench = make_bench(store, POLICY)
        started = begin(bench, ip="203.0.113.9")
        assert bench.service.check(TENANT, started.id, bench.code(started.id), ip="203.0.113.9").approved
        with pytest.raises(StoreUnavailable) as refused:
            Store(server.url.replace("redis://", "redis://app:wrong@")).prepare()
        assert refused.value.reason.startswith("AuthenticationError")
    finally:
        client.execute_command("ACL", "DELUSER", "app")


def test_a_server_that_never_answers_costs_about_a_second() -> None:
    """A port that accepts and stays silent: the caller is told after its patience and one try, neither at once nor
    ever."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        silent.setblocking(False)
        store = Store(f"redis://127.0.0.1:{silent.getsockname()[1]}")
        bench = make_bench(store, POLICY)
        for work in (store.prepare, store.link.ping, store.outbox.alive, lambda: begin(bench)):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                work()
            assert 0.9 < time.monotonic() - began < 5
            silent.accept()[0].close()
            with pytest.raises(BlockingIOError):
                silent.accept()


def test_a_server_that_is_not_there_is_reported_at_once() -> None:
    """A refused connection costs no patience."""
    with nobody() as port:
        store = Store(f"redis://127.0.0.1:{port}")
        bench = make_bench(store, POLICY)
        for work in (store.prepare, store.link.ping, store.outbox.alive, lambda: begin(bench)):
            took = []
            for _ in range(5):
                began = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    work()
                took.append(time.monotonic() - began)
            # The quickest: a busy machine delays some, waiting would delay all.
            assert min(took) < CONNECT_PATIENCE / 5


def test_while_the_server_hangs_callers_do_not_queue_for_it(lone: Bench, server: EmbeddedValkey) -> None:
    """Forty starts while the server is stopped, and forty more, are all refused within about a second, not one after
    the other: of the second forty at most one asks it. When it goes on, so does the service, a moment later."""
    begin(lone)
    link = lone.store.link
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for most in (40, 1):
            asked = link.round_trips
            outcomes = at_once(*[outcome(lambda: begin(lone))] * 40)
            assert all(isinstance(found, StoreUnavailable) for found in outcomes)
            assert link.round_trips - asked <= most
    finally:
        os.kill(server.pid, signal.SIGCONT)
    time.sleep(PAUSE)
    assert begin(lone, "+12125550199").status == "pending"


def test_a_restart_between_two_calls_is_not_noticed(lone: Bench, server: EmbeddedValkey) -> None:
    """Connections that the restart has cut are found out before anything is sent; what was answered is there."""
    started = begin(lone)
    code = lone.code(started.id)
    at_once(*[lambda: lone.service.status(TENANT, started.id)] * 8)  # Several connections wait in the pool.
    server.kill()
    server.start()
    at_once(*[lambda: lone.service.status(TENANT, started.id)] * 8)
    assert lone.service.check(TENANT, started.id, code).approved


def test_an_outage_is_a_503_and_its_end_needs_no_restart(lone: Bench, server: EmbeddedValkey) -> None:
    """While the server is gone, nothing is admitted and nothing approved; as soon as it is back, all is as before."""
    started = begin(lone)
    code = lone.code(started.id)
    server.kill()
    try:
        for work in (
            lambda: begin(lone, "+12125550198"),
            lambda: lone.service.check(TENANT, started.id, code),
            lambda: lone.service.status(TENANT, started.id),
            lambda: lone.service.cancel(TENANT, started.id),
        ):
            with pytest.raises(StoreUnavailable) as refused:
                work()
            assert (refused.value.status, refused.value.members["retry_after"]) == (503, 1)
    finally:
        server.start()
    assert lone.service.check(TENANT, started.id, code).approved


def test_an_error_in_a_pipeline_leaves_no_answer_behind(lone: Bench) -> None:
    """After a pipeline in which one call failed, the answers of the others are thrown away with their connection:
    nobody else is given them."""
    link, base = lone.store.link, f"{prefix(0)}limit:x:"
    spec = LimitSpec("x", True, [Window(1, 60_000)]).pack()
    lone.store.link.client().set(f"{base}bad", "no counts", px=60_000)

    def call(key: str) -> Call:
        return Call(0, "hold", [base + key], [1_800_000_000_000, "nonce", "limit", spec])

    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="store"):
            link.pipeline([call("one"), call("bad"), call("two"), call("three")])
        assert link.call(Call(0, "read", [f"{prefix(0)}{kind}:none" for kind in "abc"], [])) is None
        assert link.command(0, ["ECHO", "mine"]) == b"mine"


def test_a_full_store_admits_nothing_and_approves_nothing(lone: Bench, server: EmbeddedValkey) -> None:
    """At maxmemory, starts and checks are a 503 and leave no key, no count and no message behind; with memory again,
    the code is still right."""
    started = begin(lone)
    code = lone.code(started.id)
    client: Any = redis.Redis.from_url(server.url)
    before = contents(client)
    with configured(server, maxmemory="1"):
        for work in (
            lambda: begin(lone, "+12125550197", ip="203.0.113.9"),
            lambda: lone.service.check(TENANT, started.id, code),
            lambda: lone.service.check(TENANT, started.id, "000000"),
        ):
            with pytest.raises(StoreUnavailable) as refused:
                work()
            assert "OOM" in refused.value.reason or "OutOfMemory" in refused.value.reason
        assert lone.service.status(TENANT, started.id).checks_left == 5
    assert changed(client, before) == set()
    assert lone.service.check(TENANT, started.id, code).approved


def test_a_read_only_server_is_a_503(lone: Bench, server: EmbeddedValkey) -> None:
    """A primary that has become a replica refuses writes: nothing is admitted; as a primary again, it serves."""
    started = begin(lone)
    code = lone.code(started.id)
    client: Any = redis.Redis.from_url(server.url)
    with nobody() as port:
        client.replicaof("127.0.0.1", port)
        try:
            for work in (lambda: begin(lone, "+12125550196"), lambda: lone.service.check(TENANT, started.id, code)):
                with pytest.raises(StoreUnavailable) as refused:
                    work()
                assert "read only replica" in refused.value.reason
        finally:
            client.replicaof("NO", "ONE")
    assert lone.service.check(TENANT, started.id, code).approved


def test_a_server_that_lost_everything_is_readied_by_the_next_call(lone: Bench, tmp_path: Path) -> None:
    """A server that came back empty has neither functions nor data: the next start loads them and is admitted."""
    with EmbeddedValkey(tmp_path, append_fsync="no") as empty:
        bench = make_bench(Store(empty.url), POLICY)
        trips = bench.store.link.round_trips
        started = begin(bench)
        assert bench.store.link.round_trips - trips == 2
        assert bench.service.status(TENANT, started.id).status == "pending"
