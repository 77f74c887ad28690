"""What counting over time costs: `python -m benchmarks.counting`, the CPU time of folding the events of starts, beside
that of the starts themselves."""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.inside import Inside, inside
from benchmarks.report import Table


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a row a round. Rounds are short and their figures stand side by side, so a ratio holds on a busy machine,
    too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counting", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="(%(default)s)")
    parser.add_argument("--starts", type=int, default=2_000, help="in a round (%(default)s)")
    options = parser.parse_args(arguments)
    table = Table(
        "Counting over time",
        ("events", "looks", "store µs", "service µs", "folding µs", "÷ store", "÷ both"),
        f"CPU µs a start, {options.starts:,} starts a round by the service's own calls, without HTTP, sent and "
        "settled, seven of ten approved: the store's, this process's, and the store's for folding their events.",
    )
    with tempfile.TemporaryDirectory() as folder, inside(Path(folder)) as bench:
        _fold(bench)
        for _ in range(options.rounds):
            table.rows.append(_round(bench, options.starts))
    print(table.markdown())


def _round(bench: Inside, starts: int) -> tuple[float, ...]:
    before, own = bench.store_seconds(), time.process_time()
    bench.fill(starts, approved=7)
    service, between = time.process_time() - own, bench.store_seconds()
    events, looks = _fold(bench)
    store, folding = between - before, bench.store_seconds() - between
    figures = (part / starts * 1e6 for part in (store, service, folding))
    return (events, looks, *figures, folding / store, folding / (store + service))


def _fold(bench: Inside) -> tuple[int, int]:
    """All that waits; how many events in how many looks."""
    events = looks = 0
    while True:
        folded = bench.store.counts.fold(bench.clock.now())
        events, looks = events + folded.counted, looks + 1
        if not folded.more:
            return events, looks


if __name__ == "__main__":
    main()
