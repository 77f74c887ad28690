"""What a backtest beside the live service costs its callers: `python -m benchmarks.beside`, a minute.

Starts at a steady rate, alone and beside backtests that follow one another without a pause, in turns.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.inside import Inside
from benchmarks.load import drive, percentile
from benchmarks.report import Table, spread
from benchmarks.stack import Service, wait_until
from benchmarks.traffic import Callers
from verify_service.backtest.beside import launch
from verify_service.codes import Tagger, new_key
from verify_service.embedded import EmbeddedValkey
from verify_service.model import Actor
from verify_service.policy.file import default_text
from verify_service.store import Store
from verify_service.store.backtests import Backtests

_BY = Actor("benchmark")


def measure(folder: Path, events: int, rate: float, seconds: float, rounds: int) -> Table:
    """The waits of starts in both phases, and what they come to against each other, by round."""
    table = Table(
        "A start beside a backtest",
        ("round", "alone p50 ms", "alone p99 ms", "beside p50 ms", "beside p99 ms", "p99 beside ÷ alone", "judged"),
        f"{rate:g} starts/s for {seconds:g} s each; backtests of {events:,} starts, one after the other.",
    )
    with EmbeddedValkey(folder / "valkey") as valkey:
        service = Service(folder, valkey.url)
        Inside(valkey.url).fill(events)
        backtests = Backtests(Store(valkey.url).link, Tagger(new_key()), launch)
        callers = Callers(1_000_000)
        with service.dispatch(), service.web() as port:
            _waits(service, port, callers, rate, 2.0)
            for number in range(1, rounds + 1):
                alone = _waits(service, port, callers, rate, seconds)
                again = _Again(backtests)
                beside = _waits(service, port, callers, rate, seconds, again)
                again.stop()
                cells = [percentile(each, share) * 1000 for each in (alone, beside) for share in (0.5, 0.99)]
                table.rows.append((number, *cells, cells[3] / cells[1], again.judged))
    median, lowest, highest = spread([float(row[5]) for row in table.rows])
    table.note += f" Median {median:.2f}, {lowest:.2f} to {highest:.2f}."
    return table


class _Again:
    """Backtests without a pause. `judged` counts events."""

    def __init__(self, backtests: Backtests) -> None:
        self._backtests = backtests
        self.judged = 0
        self._begin()

    def __call__(self) -> None:
        found = self._backtests.get(self._id)
        if found is not None and found.state != "running":
            if found.state != "done" or found.result is None:
                raise RuntimeError(f"a backtest ended as {found.state}: {found.why}")
            self.judged += found.result["events"]
            self._begin()

    def stop(self) -> None:
        """Cancels the one that runs, and counts what it has judged."""
        found = self._backtests.get(self._id)
        self.judged += found.judged if found else 0
        self._backtests.cancel(_now(), self._id, _BY)

    def _begin(self) -> None:
        wait_until(self._begun, "the backtest before it to leave")

    def _begun(self) -> bool:
        self._id, began = self._start()
        return began

    def _start(self) -> tuple[str, bool]:
        return self._backtests.begin(_now(), _BY, 24, default_text(enforce=True), (1, default_text()))


def _now() -> int:
    return time.time_ns() // 1_000_000


def _waits(
    service: Service,
    port: int,
    callers: Callers,
    rate: float,
    seconds: float,
    each: Callable[[], None] = lambda: None,
) -> list[float]:
    waits: list[float] = []
    began = time.monotonic()
    for n in range(int(rate * seconds)):
        time.sleep(max(0.0, began + n / rate - time.monotonic()))
        waits += drive(port, [service.start(callers.next())], 1, 10).latencies
        if not n % int(rate):
            each()
    return waits


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, with the machine's load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="starts that are judged (%(default)s)")
    parser.add_argument("--rate", type=float, default=100.0, help="starts a second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="each phase (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        print(measure(Path(folder), options.events, options.rate, options.seconds, options.rounds).markdown())
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
