"""What slow and silent callers cost the others: a start's waiting times with and without them, in one run."""

import argparse
import os
import resource
import tempfile
from pathlib import Path

from benchmarks.load import Load, drive, percentile
from benchmarks.report import Table, spread
from benchmarks.stack import Service, running
from benchmarks.traffic import Callers
from verify_service.embedded import EmbeddedValkey, free_port


def measure(folder: Path, rounds: int, seconds: float, connections: int, slow: int, idle: int) -> Table:
    """Starts on a few connections, alone and beside the others, in turns."""
    taken: dict[str, list[Load]] = {"alone": [], "beside them": []}
    with EmbeddedValkey(folder / "valkey") as valkey:
        service, callers = Service(folder, valkey.url), Callers()
        with service.dispatch(), service.web() as port:

            def starts() -> Load:
                load = drive(port, (service.start(callers.next()) for _ in iter(int, 1)), connections, seconds)
                service.drained()
                return load

            starts()  # Warm: every worker has imported, connected and filled its pools.
            for _ in range(rounds):
                taken["alone"].append(starts())
                ready = free_port()
                argv = ["benchmarks.hangers_on", *map(str, (port, ready, idle, slow))]
                with running(folder, "hangers-on", argv, {}, ready):
                    taken["beside them"].append(starts())
    table = Table(
        f"A start beside {slow} slow bodies and {idle} silent connections",
        ("", "starts", "per second", "p50 ms", "p99 ms", "p99 against alone, round by round"),
        f"{connections} connections, {rounds} rounds of {seconds:g} s each way in turns; the median round, the ratio's "
        "lowest and highest in brackets. Who is sent away comes again; their own CPU time is spent on the same cores.",
    )
    for name, loads in taken.items():
        tails = [percentile(load.latencies, 0.99) for load in loads]
        ratios = [tail / percentile(alone.latencies, 0.99) for tail, alone in zip(tails, taken["alone"], strict=True)]
        median, lowest, highest = spread(ratios)
        halves = spread([percentile(load.latencies, 0.5) for load in loads])
        rate, done = spread([load.rate for load in loads])[0], sum(load.done for load in loads)
        ratio = f"{median:.2f} ({lowest:.2f}–{highest:.2f})"
        table.rows.append((name, done, rate, 1000 * halves[0], 1000 * spread(tails)[0], ratio))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.front", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="each way (%(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round (%(default)s)")
    parser.add_argument("--connections", type=int, default=4, help="that start (%(default)s)")
    parser.add_argument("--slow", type=int, default=100, help="connections with a slow body (%(default)s)")
    parser.add_argument("--idle", type=int, default=3000, help="connections that say nothing (%(default)s)")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        print(measure(Path(folder), **vars(options)).markdown())
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
