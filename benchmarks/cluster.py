"""How load lies on a cluster of six nodes: `python -m benchmarks.cluster`, two minutes.

Three primaries with a replica each, both roles, the shipped policy. Starts of seven countries, of one country, and of
one number: what they cost each process, and which partitions they meet. A partition is one slot, so one thread serves
it, however many nodes there are.
"""

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from benchmarks.contenders import Contender
from benchmarks.report import Table
from benchmarks.stack import Service, cpu_seconds, wait_until
from benchmarks.traffic import Caller, Callers
from verify_service.codes import Tagger, new_key
from verify_service.embedded import EmbeddedValkey
from verify_service.simulate import scenario
from verify_service.store.partitions import of_tag

PRIMARIES = 3
PARTITIONS = 32
SLOTS = 16_384
COUNTRY = "IN"


class Nodes:
    """Three primaries with a third of the slots each, and a replica of each; `append_fsync` is "no"."""

    def __init__(self, folder: Path) -> None:
        extra = ("--cluster-slot-stats-enabled", "yes")
        self.nodes = [
            EmbeddedValkey(folder / f"node-{place}", append_fsync="no", cluster=True, extra=extra)
            for place in range(2 * PRIMARIES)
        ]

    @property
    def url(self) -> str:
        """What VERIFY_REDIS_URL says of it."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @contextmanager
    def running(self) -> Iterator["Nodes"]:
        """Until the end of the block, each node at work and each replica in step."""
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            for place, node in enumerate(self.nodes):
                self.ask(node, "CLUSTER", "SET-CONFIG-EPOCH", place + 1)
                if place:
                    self.ask(node, "CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
                if place < PRIMARIES:
                    first, last = SLOTS * place // PRIMARIES, SLOTS * (place + 1) // PRIMARIES - 1
                    self.ask(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
            wait_until(lambda: all(self._known(node) == len(self.nodes) for node in self.nodes), "nodes to meet")
            for primary, replica in zip(self.nodes[:PRIMARIES], self.nodes[PRIMARIES:], strict=True):
                self.ask(replica, "CLUSTER", "REPLICATE", self.ask(primary, "CLUSTER", "MYID"))
            wait_until(lambda: all(map(self._follows, self.nodes[PRIMARIES:])), "replicas to follow")
            wait_until(lambda: all(self._info(node)["cluster_state"] == "ok" for node in self.nodes), "slots")
            yield self

    def ask(self, node: EmbeddedValkey, *command: Any) -> Any:
        """A node's answer to one command."""
        with redis.Redis(port=node.port or 0, decode_responses=True) as client:
            return client.execute_command(*command)

    def busy(self) -> dict[int, int]:
        """Microseconds that each partition's commands have taken so far, by the slot's own statistics."""
        found: dict[str, int] = {}
        for node in self.nodes[:PRIMARIES]:
            for slot, stats in self.ask(node, "CLUSTER", "SLOT-STATS", "SLOTSRANGE", 0, SLOTS - 1):
                found[str(slot)] = stats["cpu-usec"]
        return {part: found[str(key_slot(str(part).encode()))] for part in range(PARTITIONS)}

    def _info(self, node: EmbeddedValkey) -> Any:
        return self.ask(node, "CLUSTER INFO")

    def _known(self, node: EmbeddedValkey) -> int:
        return int(self._info(node)["cluster_known_nodes"])

    def _follows(self, node: EmbeddedValkey) -> bool:
        return bool(self.ask(node, "INFO", "replication").get("master_link_status") == "up")


@dataclass(frozen=True)
class Run:
    """Starts of one kind: CPU microseconds a start of each process, and what each partition's commands took of it."""

    name: str
    starts: int
    cpu: dict[str, float]
    partitions: dict[int, float]

    @property
    def primaries(self) -> list[float]:
        return [spent for name, spent in self.cpu.items() if name.startswith("primary")]

    @property
    def replicas(self) -> list[float]:
        return [spent for name, spent in self.cpu.items() if name.startswith("replica")]

    def share(self, rank: int) -> float:
        """The share of all partitions' time that the busiest has; with a rank, the next one."""
        return sorted(self.partitions.values())[-1 - rank] / sum(self.partitions.values())


class OneCountry(Callers):
    """Those of one country alone."""

    def next(self) -> Caller:
        while (caller := super().next()).country != COUNTRY:
            pass
        return caller


class OneNumber(Callers):
    """One number, each time from another address."""

    def next(self) -> Caller:
        caller = super().next()
        return caller._replace(to="+14153999999", country="US")


def runs(folder: Path, calls: int, connections: int, policy: Path | None = None) -> list[Run]:
    """Each kind of starts once, after a few that warm; under the shipped policy or another."""
    with Nodes(folder).running() as nodes, ExitStack() as stack:
        service = Service(folder, nodes.url, policy=policy)
        stack.enter_context(service.dispatch())
        port = stack.enter_context(service.web())
        pids = {"web": service.pids["web"], "dispatch": service.pids["dispatch"]}
        for place, node in enumerate(nodes.nodes):
            pids[f"{'primary' if place < PRIMARIES else 'replica'} {place % PRIMARIES}"] = node.pid
        contender = Contender("cluster", port, pids, service.start, None, service.vendor)
        contender.starts([caller for _, caller in zip(range(200), iter(Callers().next, None), strict=False)], 4)
        found = []
        for name, callers in (
            ("seven countries", Callers(1_000)),
            ("one country", OneCountry(3_000_000)),
            ("one number", OneNumber(6_000_000)),
        ):
            asked = [callers.next() for _ in range(calls)]
            busy, before = nodes.busy(), {role: cpu_seconds(pid) for role, pid in pids.items()}
            contender.starts(asked, connections, admitted=name != "one number")
            time.sleep(1.0)  # Events are carried to other partitions, and replicas follow.
            cpu = {role: (cpu_seconds(pid) - before[role]) / calls * 1e6 for role, pid in pids.items()}
            after = nodes.busy()
            found.append(Run(name, calls, cpu, {part: (after[part] - busy[part]) / calls for part in busy}))
        return found


def simulated(starts: int) -> Table:
    """Where the numbers and addresses of simulated people lie."""
    table = Table(
        "Simulated people",
        ("counted by", "starts", "busiest partition ÷ mean", "busiest primary ÷ mean"),
        "Starts of `simulate normal` by the partition of what they are counted by. No command is sent.",
    )
    tagger = Tagger(new_key())
    asked = list(islice((event for event in scenario("normal") if event.event == "start"), starts))
    for name, tags in (
        ("number", [tagger.number(event.to or "") for event in asked]),
        ("address", [tagger.tag("limit", "ip", event.ip or "") for event in asked]),
    ):
        parts = Counter(of_tag(tag, PARTITIONS) for tag in tags)
        primaries = Counter(key_slot(str(of_tag(tag, PARTITIONS)).encode()) * PRIMARIES // SLOTS for tag in tags)
        uneven = [max(each.values()) * of / len(tags) for each, of in ((parts, PARTITIONS), (primaries, PRIMARIES))]
        table.rows.append((name, len(tags), *uneven))
    return table


def tables(found: Sequence[Run]) -> list[Table]:
    """The costs by process, and how they lie on the partitions."""
    costs = Table(
        "A start on six nodes: CPU microseconds",
        ("starts of", "web", "dispatcher", "primaries, each", "primaries, all", "replicas, all"),
        f"{found[0].starts:,} starts of each kind, sent to the last message; three primaries and three replicas.",
    )
    parts = Table(
        f"How it lies on {PARTITIONS} partitions",
        ("starts of", "busiest", "second", "third", "median", "primaries, highest ÷ mean"),
        "Shares of the time of all commands, by the slots' own statistics; even would be "
        f"{1 / PARTITIONS:.3f}. The last column is of the primaries' CPU time.",
    )
    for run in found:
        each = ", ".join(f"{spent:.0f}" for spent in run.primaries)
        row = (run.name, run.cpu["web"], run.cpu["dispatch"], each, sum(run.primaries), sum(run.replicas))
        costs.rows.append(row)
        uneven = max(run.primaries) * PRIMARIES / sum(run.primaries)
        parts.rows.append((run.name, *(run.share(rank) for rank in (0, 1, 2, PARTITIONS // 2)), uneven))
    return [costs, parts]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, with the machine's load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--calls", type=int, default=3_000, help="starts of each kind (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="requests under way at once (%(default)s)")
    parser.add_argument("--policy", type=Path, help="a file in place of the shipped policy")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        for table in tables(runs(Path(folder), options.calls, options.connections, options.policy)):
            print(table.markdown())
    print(simulated(100 * options.calls).markdown())
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
