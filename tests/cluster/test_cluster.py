"""Redis Cluster: three primaries of the embedded binary, the partitions spread over all of them."""

import itertools
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.support.authenticator import enrolled
from tests.support.bench import make_bench, wrong
from tests.support.cluster import (
    POLICY,
    TENANT,
    Cluster,
    begin,
    home_of,
    in_timeline,
    ip_outside,
    ip_partition,
    numbers_where,
    port_of,
)
from tests.support.concurrency import at_once, numbers
from tests.support.limit_state import limit_state
from tests.support.live import PATIENCE_S, clean, dispatching, until
from verify_service.codes import KeyRing, new_key
from verify_service.embedded import free_port
from verify_service.errors import ConfigError, StoreUnavailable
from verify_service.factors import NewFactor
from verify_service.factors.keeping import Keeping
from verify_service.inbox import Inbox, Rule
from verify_service.insight.counts import stats
from verify_service.model import Actor, Verification
from verify_service.store import Store
from verify_service.store.connection import CLUSTER_PARTITIONS, prefix
from verify_service.testing import VerifyClient, VerifyInbox, VerifyServer

pytestmark = pytest.mark.slow


def code_in(inbox: Inbox, to: str) -> str:
    """The code that arrives."""
    messages = inbox.messages(TENANT, to, None, 30.0)
    assert messages, f"no message to {to}"
    return messages[0].code


def test_partitions_are_spread_over_all_primaries(spread: Store) -> None:
    """Thirty-two partitions, and every primary owns some."""
    assert spread.link.partitions == CLUSTER_PARTITIONS == 32
    owners = [port_of(spread, part) for part in range(32)]
    assert len(set(owners)) == 3
    assert min(owners.count(port) for port in owners) >= 5


def test_start_send_and_check_work_on_every_primary(spread: Store) -> None:
    """A number of each primary gets its code by the real dispatcher and is approved with it; the timeline is whole."""
    bench = make_bench(spread)
    ports = sorted({port_of(spread, part) for part in range(32)})
    parts = [{part for part in range(32) if port_of(spread, part) == port} for port in ports]
    phones = [next(numbers_where(bench, own.__contains__)) for own in parts]
    with dispatching(bench) as inbox:
        for to in phones:
            started = begin(bench, to, ip="203.0.113.77")
            assert spread.verifications.partition(started.id[3:]) == home_of(bench, to)
            code = code_in(inbox, to)
            assert code == bench.code(started.id)
            until(partial(in_timeline, bench, started.id, "delivered"))
            assert bench.service.check(TENANT, started.id, code, ip="203.0.113.77").approved
            events = [event.event for event in bench.service.status(TENANT, started.id).timeline]
            assert events == ["started", "queued", "sent", "delivered", "approved"]


def spent(store: Store, work: Callable[[], Any]) -> tuple[int, int]:
    """(round trips that the process waited for, calls of functions that the servers counted)."""

    def fcalls() -> int:
        stats = [node.info("commandstats") for node in store.link.nodes()]
        return sum(each.get("cmdstat_fcall", {}).get("calls", 0) for each in stats)

    trips, calls = store.link.round_trips, fcalls()
    work()
    return store.link.round_trips - trips, fcalls() - calls


def test_a_start_costs_two_round_trips_on_a_cluster_and_a_check_one(spread: Store) -> None:
    """Where nothing is refused: everything outside the number's partition goes in one pipeline, then the number's
    script. A check without an address is one trip."""
    bench = make_bench(spread)
    phones = numbers(415)
    to = next(phones)
    ip = ip_outside(bench, home_of(bench, to))
    assert spent(spread, lambda: begin(bench, to, ip=ip))[0] == 2
    key = next(
        key
        for key in map(str, itertools.count())
        if spread.verifications.partition(bench.tagger.tag("idempotency", TENANT, "start", key))
        not in (home_of(bench, to), ip_partition(bench, ip))
    )
    bench.clock.advance(40)
    assert spent(spread, lambda: begin(bench, to, key, ip=ip))[0] == 2
    started = begin(bench, next(phones))
    code = bench.code(started.id)
    assert spent(spread, lambda: bench.service.check(TENANT, started.id, wrong(code))) == (1, 1)
    assert spent(spread, lambda: bench.service.check(TENANT, started.id, code)) == (1, 1)


def test_a_start_and_a_check_cost_one_round_trip_on_a_single_server(alone: Store) -> None:
    """With every default limit and an Idempotency-Key."""
    bench = make_bench(alone)
    started: list[Verification] = []
    assert spent(bench.store, lambda: started.append(begin(bench, "+14155550123", "key", ip="203.0.113.9"))) == (1, 1)
    code = bench.code(started[0].id)
    assert spent(
        bench.store,
        lambda: bench.service.check(TENANT, started[0].id, code, ip="203.0.113.9", idempotency_key="key"),
    ) == (1, 1)


def test_a_factor_is_checked_on_every_primary_in_two_round_trips(spread: Store) -> None:
    """All that is kept of a user lies in one partition, so a cluster costs no more than a single server; and of
    concurrent right codes one is approved there as well."""
    bench = make_bench(spread)
    users = {port_of(spread, int(bench.tagger.user(TENANT, user)[:4], 16) % 32): user for user in map(str, range(40))}
    assert len(users) == 3
    for user in users.values():
        app = enrolled(bench, user)
        check = partial(bench.factors.check, TENANT, user, app.at())
        before = spread.link.round_trips
        assert check().approved
        assert spread.link.round_trips == before + 2
        bench.clock.advance(30)
        check = partial(bench.factors.check, TENANT, user, app.at(), binding={"session": user})
        assert sorted(each.status for each in at_once(*[check] * 20)) == ["approved", *["used"] * 19]
        assert bench.factors.recent(TENANT, user, 300, {"session": user})


def test_users_are_read_from_every_primary_whichever_process_is_asked(spread: Store, cluster: Cluster) -> None:
    """Where one process says that the next begin, another finds them."""
    bench = make_bench(spread)
    names = [f"read-{n}" for n in range(12)]
    for name in names:
        bench.factors.enrol(TENANT, name, NewFactor())
    found, place = set[str](), ""
    for store in itertools.cycle((spread, Store(cluster.url))):
        place, page = store.keeping.page(place, 10)
        found |= {tag for tag, _ in page}
        if not place:
            break
    assert {bench.tagger.user(TENANT, name) for name in names} <= found


def test_users_come_from_a_file_to_every_primary_and_move_to_another_key(spread: Store) -> None:
    """A trip has users of many partitions; each key's count is right over all of them, and an export finds them all."""
    keys = f"c1:{new_key()}"
    bench = make_bench(spread, keys=keys)
    uri = f"otpauth://totp/x?secret={'A' * 32}"
    users = [f"user-{n}" for n in range(200)]
    lines = [json.dumps({"user": user, "uri": uri}).encode() for user in users]
    keeping = Keeping(spread, bench.keys, bench.tagger, bench.clock)
    trips = spread.link.round_trips
    assert keeping.take("moved", lines, 5, print, Actor("ops")).taken == 200
    assert spread.link.round_trips - trips < 5  # And not one for each partition.
    assert keeping.take("moved", lines, 5, print, Actor("ops")).known == 200
    assert spread.keeping.sealed()["c1"] == 400
    found = [each["user"] for each in keeping.give("moved", Actor("ops"), "a test") if each]
    assert sorted(found) == sorted(users)
    both = KeyRing(f"c2:{new_key()},{keys}")
    assert Keeping(spread, both, bench.tagger, bench.clock).reseal(Actor("ops")).pieces == 400
    assert (spread.keeping.sealed()["c1"], spread.keeping.sealed()["c2"]) == (0, 400)


def test_a_node_that_has_lost_the_functions_gets_them_again(spread: Store) -> None:
    """A primary without our functions, such as one restored empty, is given them by the next call; it counts once."""
    bench = make_bench(spread, POLICY + '[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "5/hour"\n')
    to = next(numbers(415))
    home = home_of(bench, to)
    ip = next(
        ip
        for ip in (f"203.0.113.{last}" for last in range(1, 255))
        if port_of(spread, ip_partition(bench, ip)) != port_of(spread, home)
    )
    spread.link.client(ip_partition(bench, ip)).function_flush()
    assert spent(spread, lambda: begin(bench, to, ip=ip))[0] == 3
    owner = spread.link.client(ip_partition(bench, ip))
    tag = bench.tagger.tag("limit", "ip", ip)
    assert limit_state(owner.get(f"{prefix(ip_partition(bench, ip))}limit:ip:{tag}")).hits == [1]
    spread.link.client(home).function_flush()
    bench.clock.advance(2)
    assert spent(spread, lambda: begin(bench, to, ip=ip))[0] == 3


def test_a_store_that_was_used_with_another_partition_count_is_refused(spread: Store, cluster: Cluster) -> None:
    """The count is fixed by the first use: numbers would be looked for where they are not."""
    owner = spread.link._cluster
    owner.set("vs:partitions", 1)
    try:
        with pytest.raises(ConfigError, match="1 partitions and this connection has 32"):
            Store(cluster.url).prepare()
    finally:
        owner.set("vs:partitions", 32)


def test_a_cluster_node_named_as_a_single_server_is_refused(cluster: Cluster) -> None:
    """A URL without +cluster that names a node of a cluster is told how to write it."""
    with pytest.raises(ConfigError, match=r"redis\+cluster://"):
        Store(cluster.nodes[0].url).prepare()


def test_a_slot_that_moves_to_another_primary_is_followed(spread: Store, cluster: Cluster) -> None:
    """What was started before a slot moved is approved after it, at the price of one more round trip for the first
    call; the dispatcher follows too."""
    bench = make_bench(spread)
    to = next(numbers(415))
    home = home_of(bench, to)
    with dispatching(bench) as inbox:
        started = begin(bench, to)
        assert code_in(inbox, to) == bench.code(started.id)
        source: Any = spread.link.client(home)
        target = next(node for node in cluster.nodes if node.port != port_of(spread, home))
        with cluster.client(target) as client:
            target_id = client.execute_command("CLUSTER MYID")
        slot = source.execute_command("CLUSTER KEYSLOT", prefix(home))
        source.execute_command("CLUSTER MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target_id)
        until(
            lambda: (
                b"success" in [field for job in source.execute_command("CLUSTER GETSLOTMIGRATIONS") for field in job]
            )
        )
        until(lambda: port_of(Store(cluster.url), home) == target.port, "any node to know of the move")
        code = code_in(inbox, to)
        assert bench.service.check(TENANT, started.id, code).approved
        assert port_of(spread, home) == target.port
        bench.clock.advance(40)
        again = begin(bench, to)
        until(lambda: inbox.messages(TENANT, to, None, 0)[0].verification_id == again.id)


def test_a_dead_primary_takes_down_its_own_partitions_and_no_others(tmp_path: Path) -> None:
    """Without a replica, starts for a dead primary's numbers are a 503 within the caller's patience and admit nothing;
    other numbers are served and sent to; when it is back, all are, without a restart."""
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        store = Store(cluster.url)
        store.prepare()
        # Only limits of the number and of the address: a rule that counts by country needs the country's partition too.
        policy = POLICY + '[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "30/hour"\n'
        bench = make_bench(store, policy)
        doomed = next(node for node in cluster.nodes if node.port != port_of(store, 0))
        dead = {part for part in range(32) if port_of(store, part) == doomed.port}
        lost = numbers_where(bench, lambda part: part in dead)
        fine = numbers_where(bench, lambda part: part not in dead)
        waiting = next(lost)
        before = begin(bench, waiting)
        with dispatching(bench) as inbox:
            code = code_in(inbox, waiting)
            in_flight = next(lost)
            inbox.set_behaviour((Rule(to=in_flight, do="slow", delay_ms=3000),))
            held = begin(bench, in_flight)
            stream = f"{prefix(home_of(bench, in_flight))}outbox"
            until(lambda: store.link.command(home_of(bench, in_flight), ["XPENDING", stream, "dispatch"])[0] == 1)
            doomed.kill()
            took = []
            works: list[Callable[[], object]] = [partial(begin, bench, to) for to in itertools.islice(lost, 3)]
            works.append(lambda: bench.service.check(TENANT, before.id, code))
            for work in works:
                began = time.monotonic()
                with pytest.raises(StoreUnavailable):
                    work()
                took.append(time.monotonic() - began)
            assert median(took) < 5  # A patience is a second; the median, for a machine that has other things to do.
            assert code_in(inbox, in_flight)  # It is sent, and cannot be settled now: no other may wait for it.
            for to in itertools.islice(fine, 3):
                started = begin(bench, to)
                assert code_in(inbox, to) == bench.code(started.id)
                until(partial(in_timeline, bench, started.id, "delivered"))
                assert bench.service.check(TENANT, started.id, bench.code(started.id)).approved
            to = next(fine)
            ip = next(ip for ip in (f"203.0.113.{last}" for last in range(255)) if ip_partition(bench, ip) in dead)
            with pytest.raises(StoreUnavailable):
                begin(bench, to, ip=ip)
            home = home_of(bench, to)
            pointer = f"{prefix(home)}live:{bench.tagger.number(to)}:{TENANT}:login"
            assert store.link.client(home).exists(pointer) == 0
            with cluster.client(next(node for node in cluster.nodes if node is not doomed)) as client:
                until(lambda: int(client.execute_command("CLUSTER INFO")["cluster_slots_fail"]) > 0)
            late = Store(cluster.url)
            late.prepare()  # A role that starts now is of use to the living.
            late_bench = make_bench(late, policy)
            started = begin(late_bench, next(numbers_where(late_bench, lambda part: part not in dead)))
            assert late_bench.service.check(TENANT, started.id, late_bench.code(started.id)).approved

            doomed.start()

            def served() -> bool:
                with suppress(StoreUnavailable):
                    return bench.service.check(TENANT, before.id, code).approved
                return False

            until(served)
            until(partial(in_timeline, bench, held.id, "delivered"))
            to = next(lost)
            started = begin(bench, to)
            assert code_in(inbox, to) == bench.code(started.id)
    finally:
        cluster.stop()


def test_the_two_roles_serve_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """`verify-service web` and `verify-service dispatch`, each a process of its own, against the cluster: twelve
    numbers are started, sent to and approved."""
    link = Store(cluster.url).link
    for part in range(CLUSTER_PARTITIONS):  # Users of other tests were sealed by keys that these roles lack.
        link.command(part, ["DEL", f"{prefix(part)}sealed"])
    port = free_port()
    env = clean() | {
        "VERIFY_REDIS_URL": cluster.url,
        "VERIFY_KEYS": f"k1:{new_key()}",
        "VERIFY_TAG_KEY": new_key(),
        "VERIFY_API_KEY": "an-api-key-for-the-cluster",
        "VERIFY_CLOCK": "virtual",
    }
    roles = (["web", "--port", str(port), "--workers", "1"], ["dispatch"])
    log = tmp_path / "roles.log"
    processes: list[subprocess.Popen[bytes]] = []
    client = VerifyClient(VerifyServer(f"http://127.0.0.1:{port}", env["VERIFY_API_KEY"], tmp_path, 0))
    try:
        with log.open("wb") as output:
            for role in roles:
                command = [sys.executable, "-m", "verify_service", *role]
                processes.append(subprocess.Popen(command, env=env, stdout=output, stderr=output))

        def ready() -> bool:
            assert all(process.poll() is None for process in processes), log.read_text()
            with suppress(OSError):
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    pass
                return client.request("GET", "/readyz")[0] == 200
            return False

        until(ready)
        inbox = VerifyInbox(client)
        for to in itertools.islice(numbers(646), 12):
            started = client.start(to, ip="203.0.113.9", idempotency_key=f"key-{to}")
            assert client.check(id=started["id"], code=inbox.code(to), ip="203.0.113.9")["approved"]
    finally:
        client.close()
        for process in processes:
            process.terminate()
        for process in processes:
            assert process.wait(PATIENCE_S) in (0, -15)


def test_all_sessions_of_an_operator_end_in_one_step(spread: Store) -> None:
    """They lie in one partition, whatever their tokens are; so does what says that a sign-in came back before."""
    sessions = spread.sessions
    for n in range(5):
        sessions.begin(0, f"clustered {n}", "proof", "operator:clustered", 60_000)
    assert all(sessions.use(1, f"clustered {n}", 60_000, 60_000) for n in range(5))
    assert sessions.end_all("operator:clustered") == 5
    assert not any(sessions.use(1, f"clustered {n}", 60_000, 60_000) for n in range(5))
    assert [sessions.first("a state of the cluster's", 60_000) for _ in range(2)] == [True, False]


def test_each_partition_counts_its_own_events_and_a_look_adds_them_up(spread: Store) -> None:
    """Forty starts in more than one partition, each counted once however often somebody looks."""
    bench = make_bench(spread, POLICY)
    to = list(itertools.islice(numbers(415), 40))
    assert len({home_of(bench, each) for each in to}) > 1
    for each in to:
        begin(bench, each)
    for _ in range(2):
        while spread.counts.fold(bench.clock.now()).more:
            pass
    for by, name in (("total", "total"), ("country", "US"), ("tenant", TENANT)):
        found = stats(spread, bench.clock.now(), bench.clock.now() + 1, "hour", by)
        assert {group: series["starts"] for group, series in found.groups.items()} == {name: (40,)}
