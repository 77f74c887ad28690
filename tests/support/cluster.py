"""A cluster of three primaries of the embedded binary, and where the state of a number or an address lies in it."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import redis

from tests.support.bench import Bench, a_start
from tests.support.concurrency import numbers
from tests.support.limit_state import LimitState, limit_state
from tests.support.live import until
from verify_service.embedded import EmbeddedValkey
from verify_service.model import Verification
from verify_service.store import Store

SLOTS = 16_384
OPTIONS = (
    # A dead primary takes its own slots away and no others.
    *("--cluster-require-full-coverage", "no"),
    # Two seconds are no long time for a busy machine.
    *("--cluster-node-timeout", "5000"),
)
TENANT = "default"
POLICY = """
[code]
guess_ceiling = 1.0
sends = 20
cooldown = ["1 second"]
"""


class Cluster:
    """Three primaries with a third of the slots each."""

    def __init__(self, directory: Path) -> None:
        self.nodes = [
            EmbeddedValkey(directory / str(place), append_fsync="no", cluster=True, extra=OPTIONS) for place in range(3)
        ]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def client(self, node: EmbeddedValkey) -> Any:
        """A plain client of one node."""
        return redis.Redis(port=node.port or 0)

    def start(self) -> None:
        """Forms the cluster and waits until every node serves every slot."""
        for place, node in enumerate(self.nodes):
            node.start()
            with self.client(node) as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
                first, last = SLOTS * place // 3, SLOTS * (place + 1) // 3 - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                for other in self.nodes[:place]:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        for node in self.nodes:
            until(partial(self._agrees, node))

    def _agrees(self, node: EmbeddedValkey) -> bool:
        with self.client(node) as client:
            info = client.execute_command("CLUSTER INFO")
            return (
                info["cluster_state"] == "ok"
                and int(info["cluster_known_nodes"]) == 3
                and info["cluster_slots_assigned"] == str(SLOTS)
            )

    def stop(self) -> None:
        for node in self.nodes:
            node.stop()


def port_of(store: Store, partition: int) -> int:
    """The port of the primary that owns a partition."""
    port: int = store.link.client(partition).connection_pool.connection_kwargs["port"]
    return port


def home_of(bench: Bench, to: str) -> int:
    """The partition of a number."""
    return bench.store.verifications.partition(bench.tagger.number(to))


def ip_partition(bench: Bench, ip: str) -> int:
    """The partition of an address's limits."""
    return bench.store.verifications.partition(bench.tagger.tag("limit", "ip", ip))


def numbers_where(bench: Bench, true: Callable[[int], bool]) -> Iterator[str]:
    """Numbers whose partition is as it is wanted."""
    return (to for to in numbers(415) if true(home_of(bench, to)))


def ip_outside(bench: Bench, *partitions: int) -> str:
    """An address whose limits lie in none of the partitions."""
    return next(
        ip for ip in (f"203.0.113.{last}" for last in range(1, 255)) if ip_partition(bench, ip) not in partitions
    )


def begin(bench: Bench, to: str, key: str | None = None, **fields: str) -> Verification:
    return bench.service.start(TENANT, a_start(to, **fields), key)


def counts(store: Store) -> dict[bytes, LimitState]:
    """Every limit's count, over all nodes; what has been given back to nothing counts as nothing."""
    found = {
        key: limit_state(node.get(key))
        for node in store.link.nodes()
        for key in node.scan_iter(match="vs:*limit:*", count=1000)
    }
    return {key: count for key, count in found.items() if count.hits}


def in_timeline(bench: Bench, verification_id: str, event: str) -> bool:
    return event in [entry.event for entry in bench.service.status(TENANT, verification_id).timeline]


def country_partition(bench: Bench) -> int:
    """Where all that is known of the United States lies."""
    return bench.store.verifications.partition(bench.tagger.tag("country", "US"))
