"""What a start and a check cost the store: round trips, its own time, memory, and how that grows with what is live."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.inside import Inside, inside
from benchmarks.report import Table

NO_FILE = ("--appendonly", "no")
SAMPLES_A_KIND = 1_000
BATCHES = 10


def measure(folder: Path, calls: int, stored: int, live: int) -> list[Table]:
    """`calls` are timed at a time, `stored` verifications weighed, and `live` more added to see what size costs."""
    server = Table(
        "Server time and round trips",
        ("call", "live", "round trips", "commands in the script", "server µs"),
        f"{calls:,} calls each, in {BATCHES} batches in turns: round trips as the link counts them, the rest from INFO "
        "commandstats, `server µs` that of FCALL in the quickest batch. No append-only file, no HTTP, no dispatcher.",
    )
    memory = Table(
        "Memory of a live verification",
        ("part", "keys", "bytes"),
        f"Of {stored:,} starts with distinct numbers and addresses, messages settled. `all` is used_memory, with what "
        "a key costs in the server's own tables; the parts are MEMORY USAGE of a sample, per verification.",
    )
    with inside(folder / "small", NO_FILE) as small, inside(folder / "large", NO_FILE) as large:
        _memory(large, memory, stored)
        large.fill(max(0, live - stored))
        info = large.store.link.client().info("memory")
        events = large.store.link.client().xlen("vs:{0}:events")
        _calls({0: small, max(live, stored): large}, server, calls)
    memory.rows.append(
        (f"all, at {live:,} live and {events:,} events", "", int(info["used_memory"]) / max(live, stored))
    )
    return [server, memory]


def _calls(benches: Mapping[int, Inside], table: Table, calls: int) -> None:
    """A batch on each store in turn, so that a busy moment hits both."""
    each = max(1, calls // BATCHES)
    costs = {(live, call): _Costs() for live in benches for call in ("start", "check")}
    for _ in range(BATCHES + 1):  # The first one warms the server's caches and is beaten by the others.
        for live, bench in benches.items():
            with costs[live, "start"].counted(bench, each):
                ids = [bench.start() for _ in range(each)]
            codes = [bench.code(found) for found in ids]
            bench.settle()
            with costs[live, "check"].counted(bench, each):
                for found, code in zip(ids, codes, strict=True):
                    assert bench.service.check("default", found, code).approved
    for (live, call), cost in costs.items():
        table.rows.append((call, live, cost.round_trips, cost.commands, cost.lowest_us))


class _Costs:
    """What one call of a kind costs the store, from batches of it."""

    round_trips = 0.0
    commands = 0.0
    lowest_us = float("inf")

    @contextmanager
    def counted(self, bench: Inside, calls: int) -> Iterator[None]:
        """Takes so many calls in the block as one batch."""
        bench.reset()
        before = bench.store.link.round_trips
        yield
        self.round_trips = (bench.store.link.round_trips - before) / calls
        stats = bench.stats()
        made, microseconds = stats.pop("fcall")
        self.commands = sum(count for name, (count, _) in stats.items() if name != "config|resetstat") / calls
        self.lowest_us = min(self.lowest_us, microseconds / made)


def _memory(bench: Inside, table: Table, stored: int) -> None:
    client = bench.store.link.client()
    before = int(client.info("memory")["used_memory"])
    bench.fill(stored)
    grown = int(client.info("memory")["used_memory"]) - before
    kinds: dict[str, list[bytes]] = defaultdict(list)
    for key in client.scan_iter(count=1000):
        parts = key.decode().split(":")
        kinds[":".join(parts[2:4]) if "limit" in parts else parts[min(2, len(parts) - 1)]].append(key)
    events = int(client.memory_usage("vs:{0}:events", samples=0) or 0)
    table.rows.append(("all, without the events stream", "", (grown - events) / stored))
    table.rows.append(("events stream, while it is not trimmed", "", events / stored))
    for kind, keys in sorted(kinds.items()):
        if len(keys) >= stored:
            sample = keys[:SAMPLES_A_KIND]
            mean = sum(int(client.memory_usage(key, samples=0) or 0) for key in sample) / len(sample)
            table.rows.append((kind, len(keys) / stored, mean * len(keys) / stored))
