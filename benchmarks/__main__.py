"""Every figure of docs/performance.md in one run: `python -m benchmarks --help`."""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks import backtest, cpu_profile, rates, store, waits
from benchmarks.report import Table
from verify_service.embedded import EmbeddedValkey


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, prints tables as they come, and writes all of them where `--json` says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds in turns, for the rates (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="one stretch of load (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="requests under way at once (%(default)s)")
    parser.add_argument("--samples", type=int, default=500, help="unloaded calls, for the waits (%(default)s)")
    parser.add_argument("--calls", type=int, default=5_000, help="calls timed in the store, and profiled (%(default)s)")
    parser.add_argument("--stored", type=int, default=20_000, help="verifications weighed (%(default)s)")
    parser.add_argument(
        "--live", type=int, default=1_000_000, help="live verifications, for what size costs (%(default)s)"
    )
    parser.add_argument("--judged", type=int, default=50_000, help="starts judged in a backtest (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables there too")
    options = parser.parse_args(arguments)
    measures: list[Callable[[Path], list[Table]]] = [
        lambda folder: rates.measure(folder, options.rounds, options.seconds, options.connections),
        lambda folder: waits.measure(folder, options.samples),
        lambda folder: [cpu_profile.measure(folder, options.calls)],
        lambda folder: store.measure(folder, options.calls, options.stored, options.live),
        lambda folder: [backtest.measure(folder, options.judged)],
    ]
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        machine = _machine(Path(folder))
        print(f"{machine}\n")
        for index, measure in enumerate(measures):
            mine = Path(folder, str(index))
            mine.mkdir()
            for table in measure(mine):
                print(table.markdown(), flush=True)
                tables.append(table)
    load = "load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    print(load)
    if options.json:
        report: dict[str, object] = {"machine": machine, "options": vars(options), "load": load}
        report["tables"] = [table.builtins() for table in tables]
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report, enc_hook=str)))


def _machine(folder: Path) -> str:
    """The machine, what runs on it, and how busy it is before anything was measured."""
    with EmbeddedValkey(folder / "probe") as valkey:
        import redis

        info = redis.Redis.from_url(valkey.url).info("server")
    cpu = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    versions = f"Python {platform.python_version()}, Valkey {info.get('valkey_version', info['redis_version'])}"
    load = ", ".join(f"{figure:.1f}" for figure in os.getloadavg())
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"{day}: {os.cpu_count()} cores {cpu}, {sys.platform} {platform.release()}, {versions}; load average {load}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


if __name__ == "__main__":
    main()
