"""What so many starts a second need: `python -m benchmarks.capacity` measures the costs here, and reckons with them.

`docs/capacity.md` says what it means; a test holds the page's table to what `needs` makes of the page's figures.
"""

import argparse
import math
import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Self

from redis.crc import key_slot

from benchmarks import cluster
from benchmarks.cluster import PARTITIONS, SLOTS
from benchmarks.contenders import Contender, Cost, Message
from benchmarks.inside import Inside, inside
from benchmarks.report import Table
from benchmarks.stack import Service
from benchmarks.traffic import Callers
from verify_service.embedded import EmbeddedValkey
from verify_service.store import KEEP_EVENTS

RATES = (1_000, 10_000, 100_000)
USED = 0.6
"""How much of a core is planned with: the rest is for what comes in bursts, and for a neighbour's failure."""
HOURS = 12
"""A day has as many starts as so many of its busiest hours."""
DAYS = 7
"""In how many days a person starts once."""
APPROVED = 0.8
A_DAY = 86_400
LABELS = {
    "web_start": "web role, a start, µs",
    "web_check": "web role, a check, µs",
    "message": "dispatcher, a message, µs",
    "store_start": "single server, a start and its message, µs",
    "store_check": "single server, a check, µs",
    "cluster_start": "primaries of a cluster, a start and its message, µs",
    "busiest": "of it in the busiest partition, many countries, µs",
    "one_country": "of it in the busiest partition, one country, µs",
    "refused": "primaries of a cluster, a refused start of one number, µs",
    "network": "store's network, a start, its message and a check, bytes",
    "events": "events, a start and its check",
    "event": "an event, bytes",
    "soon": "what ends within two hours: byte hours a start",
    "daily": "what ends within days: byte days a start",
    "person": "what is known of a person, bytes",
}


@dataclass(frozen=True)
class Costs:
    """What was measured, as `LABELS` names it."""

    web_start: float
    web_check: float
    message: float
    store_start: float
    store_check: float
    cluster_start: float
    busiest: float
    one_country: float
    refused: float
    network: float
    events: float
    event: float
    soon: float
    daily: float
    person: float

    @classmethod
    def read(cls, page: str) -> Self:
        """The figures of a page that has them as `table` prints them."""
        found = dict(re.findall(r"^\| (.+?) \| ([\d,.]+) \|$", page, re.MULTILINE))
        return cls(*(float(found[LABELS[field.name]].replace(",", "")) for field in fields(cls)))

    def table(self) -> Table:
        """A row each."""
        table = Table("Costs", ("cost", "measured"), "CPU time is user and system.")
        for field, value in zip(fields(self), astuple(self), strict=True):
            table.rows.append((LABELS[field.name], f"{value:,.0f}" if value >= 10 else f"{value:.1f}"))
        return table


def needs(costs: Costs) -> Table:
    """What each rate of starts needs, with one check a start."""
    titles = (f"{rate:,} starts/s" for rate in RATES)
    table = Table("What so many starts need", ("", *titles), f"At most {USED:.0%} of each core is used.")
    a_core = USED * 1e6
    rows: dict[str, list[str]] = defaultdict(list)
    for rate in RATES:
        rows["web cores"].append(_count(rate * (costs.web_start + costs.web_check) / a_core))
        rows["dispatcher cores"].append(_count(rate * costs.message / a_core))
        rows["cores of a single server, whose scripts use one"].append(
            _count(rate * (costs.store_start + costs.store_check) / a_core)
        )
        rows["primaries, many countries"].append(_primaries(costs, rate, costs.busiest))
        rows["primaries, one country"].append(_primaries(costs, rate, costs.one_country))
        day = rate * 3600 * HOURS
        memory = rate * 3600 * costs.soon + day * costs.daily + day * DAYS * costs.person
        rows["store's memory, GB"].append(f"{memory / 1e9:,.1f}")
        rows["events are kept for, s"].append(f"{KEEP_EVENTS / (rate * costs.events):,.1f}")
        rows["store's network, Mbit/s"].append(f"{rate * costs.network * 8 / 1e6:,.0f}")
    table.rows += [(name, *cells) for name, cells in rows.items()]
    return table


def walls(costs: Costs) -> Table:
    """The rates that no number of nodes raises."""
    table = Table("Walls", ("wall", "starts/s"), f"At {USED:.0%} of the core that is full first.")
    a_core = USED * 1e6
    table.rows += [
        ("a single server", _round(a_core / (costs.store_start + costs.store_check))),
        ("the busiest partition, many countries", _round(a_core / costs.busiest)),
        ("the busiest partition, one country", _round(a_core / costs.one_country)),
        ("one number, all refused", _round(a_core / costs.refused)),
        ("events kept for ten seconds", _round(KEEP_EVENTS / costs.events / 10)),
    ]
    return table


def slots() -> Table:
    """How many of the partitions the busiest primary has: with the slots cut evenly, and moved as well as may be."""
    table = Table("Partitions of the busiest primary", ("primaries", "even slots", "moved"), f"Of {PARTITIONS}.")
    homes = [key_slot(str(part).encode()) for part in range(PARTITIONS)]
    for primaries in (3, 4, 6, 8, 16, 32):
        even = Counter(slot * primaries // SLOTS for slot in homes)
        table.rows.append((primaries, max(even.values()), math.ceil(PARTITIONS / primaries)))
    return table


def _primaries(costs: Costs, rate: int, busiest: float) -> str:
    """So few, from three on, that the one with the busiest partition and its part of the others is not full; slots are
    moved."""
    rest = costs.cluster_start + costs.store_check - busiest
    for primaries in range(3, PARTITIONS + 1):
        most = rest * math.ceil(PARTITIONS / primaries) / PARTITIONS + busiest
        if rate * most <= USED * 1e6:
            return f"{primaries}"
    return "none is enough"


def _count(cores: float) -> str:
    return f"{max(1, math.ceil(cores)):,}"


def _round(rate: float) -> str:
    """To two digits: nobody's machine is this one."""
    size = 10 ** max(0, math.floor(math.log10(rate)) - 1)
    return f"{round(rate / size) * size:,}"


def measure(folder: Path, calls: int, connections: int, rounds: int) -> Costs:
    """All of them here: both roles on a single server, then on a cluster of six nodes, then what a store keeps."""
    (folder / "cluster").mkdir()
    starts, checks, network = _single(folder, calls, connections, rounds)
    many, one, number = cluster.runs(folder / "cluster", calls, connections)
    with inside(folder / "kept", ("--appendonly", "no")) as kept:
        kept.fill(calls, approved=round(10 * APPROVED))
        soon, daily, person = _kept(kept, calls)
        client = kept.store.link.client()
        events = int(client.xlen("vs:{0}:events"))
        event = int(client.memory_usage("vs:{0}:events", samples=0) or 0) / events
    return Costs(
        web_start=starts.cpu["web"],
        web_check=checks.cpu["web"],
        message=starts.cpu["dispatch"],
        store_start=starts.cpu["store"],
        store_check=checks.cpu["store"],
        cluster_start=sum(many.primaries),
        busiest=sum(many.primaries) * many.share(0),
        one_country=sum(one.primaries) * one.share(0),
        refused=sum(number.primaries) * number.share(0),
        network=network,
        events=events / calls,
        event=event,
        soon=soon,
        daily=daily,
        person=person,
    )


def _single(folder: Path, calls: int, connections: int, rounds: int) -> tuple[Cost, Cost, float]:
    """The cheapest of so many rounds of starts and of checks, and the bytes that the store took and gave for one of
    each."""
    callers, taken = Callers(), list[tuple[Cost, Cost, float]]()
    with ExitStack() as stack:
        valkey = stack.enter_context(EmbeddedValkey(folder / "valkey", append_fsync="no"))
        service = Service(folder, valkey.url)
        stack.enter_context(service.dispatch())
        port = stack.enter_context(service.web())
        pids = {"web": service.pids["web"], "dispatch": service.pids["dispatch"], "store": valkey.pid}

        def check(message: Message) -> bytes:
            return service.check(message.verification_id, message.code)

        contender = Contender("single", port, pids, service.start, check, service.vendor)
        for _ in range(rounds + 1):  # The first one warms.
            before = _bytes(service)
            started, messages = contender.starts([callers.next() for _ in range(calls)], connections)
            checked = contender.checks(messages, connections)
            taken.append((started, checked, (_bytes(service) - before) / calls))
    starts, checks, network = zip(*taken[1:], strict=True)
    return min(starts, key=lambda cost: cost.sum), min(checks, key=lambda cost: cost.sum), min(network)


def _bytes(service: Service) -> int:
    info: Mapping[str, int] = service.store.info("stats")
    return info["total_net_input_bytes"] + info["total_net_output_bytes"]


def _kept(bench: Inside, starts: int) -> tuple[float, float, float]:
    """Of a start: byte hours of what ends within two hours, byte days of what ends within days, and the bytes that are
    known of a person."""
    client = bench.store.link.client()
    soon = daily = person = 0.0
    for key in client.scan_iter(count=1000):
        left, size = client.pttl(key) / 1000, int(client.memory_usage(key, samples=0) or 0)
        if b":known:" in key:
            person += size / APPROVED
        elif 0 < left <= 7_200:
            soon += size * left / 3600
        elif b":limit:" in key and left <= 3 * A_DAY:
            daily += size * left / A_DAY
    return soon / starts, daily / starts, person / starts


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the costs, what they make of each rate, and the walls."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--calls", type=int, default=2_000, help="of a measure (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="on the single server, the cheapest counts (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="requests under way at once (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        costs = measure(Path(folder), options.calls, options.connections, options.rounds)
    for table in (costs.table(), needs(costs), walls(costs), slots()):
        print(table.markdown())
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
