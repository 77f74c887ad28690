"""What a start and a check cost the store: round trips, its own time, memory, and how that grows with what is live."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.inside import Inside, inside
from benchmarks.load import percentile
from benchmarks.report import Table

NO_FILE = ("--appendonly", "no")
SAMPLES_A_KIND = 1_000
STARTED = 10_000  # what is more is made of copies of these
BATCHES = 20
APPROVED_OF_TEN = 8  # as most people do; a crowd of which nobody does is an attack to the detector
OURS = ("config|resetstat", "slowlog|reset", "info")
YARDSTICK = "redis.call('SET', KEYS[1], ARGV[1], 'PX', 600000)"


def measure(folder: Path, calls: int, stored: int, live: int) -> list[Table]:
    """`calls` are timed at a time and `stored` live verifications weighed. What size costs is seen beside a store where
    `live` are within their life, most of them approved."""
    server = Table(
        "Server time and round trips",
        ("call", "live", "round trips", "commands in the script", "server µs", "median µs", "÷ empty"),
        f"{calls:,} calls each, in {BATCHES} batches in turns: round trips as the link counts them, commands by INFO "
        "commandstats, times of each call by the slow log. A tenth of the calls take less than `server µs`, which the "
        "machine's other work disturbs least; `÷ empty` is of those. No append-only file, no HTTP, no dispatcher. Of "
        f"what is live, {APPROVED_OF_TEN} in 10 are approved. `set` is a script that sets a key and no more: a "
        "yardstick for other machines.",
    )
    memory = Table(
        "Memory of a live verification",
        ("part", "keys", "bytes"),
        f"Of {stored:,} starts with distinct numbers and addresses, messages settled. `all` is used_memory, with what "
        "a key costs in the server's own tables; the parts are MEMORY USAGE of a sample, per verification.",
    )
    with inside(folder / "weighed", NO_FILE) as weighed:
        _memory(weighed, memory, stored)
    with inside(folder / "small", NO_FILE) as small, inside(folder / "large", NO_FILE) as large:
        large.fill(min(live, STARTED), approved=APPROVED_OF_TEN)
        large.multiply(max(1, live // STARTED))
        info = large.store.link.client().info("memory")
        events = large.store.link.client().xlen("vs:{0}:events")
        _calls({0: small, live: large}, server, calls)
    most = f"all, at {live:,} within their life, {APPROVED_OF_TEN} in 10 approved, and {events:,} events"
    memory.rows.append((most, "", int(info["used_memory"]) / live))
    return [server, memory]


def _calls(benches: Mapping[int, Inside], table: Table, calls: int) -> None:
    """A batch on each store in turn, so that a busy moment hits both."""
    each = max(1, calls // BATCHES)
    costs = {(live, call): _Costs() for call in ("set", "start", "check") for live in benches}
    for _ in range(BATCHES + 1):  # The first one warms the server's caches and is beaten by the others.
        for live, bench in benches.items():
            client = bench.store.link.client()
            with costs[live, "set"].counted(bench, each, "eval"):
                for n in range(each):
                    client.eval(YARDSTICK, 1, f"yardstick:{n}", "1")
            with costs[live, "start"].counted(bench, each):
                ids = [bench.start() for _ in range(each)]
            codes = [bench.code(found) for found in ids]
            bench.settle()
            with costs[live, "check"].counted(bench, each):
                for found, code in zip(ids, codes, strict=True):
                    assert bench.service.check("default", found, code).approved
    for (live, call), cost in costs.items():
        low, empty = percentile(cost.us, 0.1), percentile(costs[min(benches), call].us, 0.1)
        table.rows.append((call, live, cost.round_trips, cost.commands, low, percentile(cost.us, 0.5), low / empty))


class _Costs:
    """What one call of a kind costs the store, from batches of it."""

    round_trips = 0.0
    commands = 0.0

    def __init__(self) -> None:
        self.us: list[float] = []  # of each call

    @contextmanager
    def counted(self, bench: Inside, calls: int, by: str = "fcall") -> Iterator[None]:
        """Takes so many calls in the block, `by` this command, as one batch."""
        client = bench.store.link.client()
        client.config_set("slowlog-max-len", 2 * calls)
        client.config_set("slowlog-log-slower-than", 0)
        bench.reset()
        client.slowlog_reset()
        before = bench.store.link.round_trips
        yield
        self.round_trips = (bench.store.link.round_trips - before) / calls
        stats = bench.stats()
        client.config_set("slowlog-log-slower-than", -1)
        entries = client.slowlog_get(2 * calls)
        self.us += [entry["duration"] for entry in entries if entry["command"].startswith(by.upper().encode())]
        made, _ = stats.pop(by)
        self.commands = sum(count for name, (count, _) in stats.items() if name not in OURS) / made


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
