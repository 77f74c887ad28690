"""What a signed receipt adds to a check: `python -m benchmarks.receipts`, half a minute.

Checks with and without one in turns, in one process, so that both meet the same machine.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cpu_profile import called, environ_of
from benchmarks.inside import Inside, inside
from benchmarks.report import Table
from verify_service.approvals import Approvals, SigningKeys
from verify_service.codes import new_ring

GOAL_US = 100
_WARM = 200


def measure(folder: Path, rounds: int, calls: int) -> Table:
    """CPU time of the web process and of the store a check, and what the receipt adds."""
    table = Table(
        "A receipt",
        ("check", "web µs", "store µs", "sum µs", "to a check without"),
        f"{rounds} rounds of {calls} checks by the WSGI app, with and without a receipt in turns: CPU time of this "
        "process and of the store. Medians; in brackets the middle half of the rounds.",
    )
    with inside(folder, ("--appendonly", "no")) as bench:
        keys = SigningKeys(new_ring())
        bench.service.approvals = Approvals(bench.keys, bench.tagger, {}, "https://verify.example.com", keys)
        app = bench.app()
        for wanted in (False, True):
            called(app, _checks(bench, _WARM, wanted))
        pairs = [[_cost(bench, app, calls, wanted) for wanted in (False, True)] for _ in range(rounds)]
    without, with_one = zip(*pairs, strict=True)
    ratios = [sum(one) / sum(none) for none, one in pairs]
    table.rows.append(("without a receipt", *_cells(without), "1"))
    table.rows.append(("with a receipt", *_cells(with_one), _shown(ratios, ".2f")))
    added = [tuple(more - less for less, more in zip(none, one, strict=True)) for none, one in pairs]
    table.rows.append(("the receipt", *_cells(added), f"goal: {GOAL_US} µs"))
    return table


def _cost(bench: Inside, app: Any, calls: int, receipt: bool) -> tuple[float, float]:
    """Microseconds a check: of this process, and of the store."""
    checks = _checks(bench, calls, receipt)
    stored, mine = bench.store_seconds(), time.process_time()
    bodies = called(app, checks)
    mine, stored = time.process_time() - mine, bench.store_seconds() - stored
    assert all((b'"receipt":"' in body) == receipt for body in bodies)
    return mine / calls * 1e6, stored / calls * 1e6


def _checks(bench: Inside, count: int, receipt: bool) -> list[dict[str, Any]]:
    ids = [bench.start() for _ in range(count)]
    bench.settle()
    asked = {"receipt": True} if receipt else {}
    return [environ_of("/check", {"id": one, "code": code, **asked}) for one, code in bench.codes(ids).items()]


def _cells(costs: Sequence[tuple[float, ...]]) -> list[str]:
    columns = [*zip(*costs, strict=True), [sum(cost) for cost in costs]]
    return [_shown(column, ".0f") for column in columns]


def _shown(values: Sequence[float], form: str) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:{form}} ({low:{form}}–{high:{form}})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receipts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="rounds in turns (%(default)s)")
    parser.add_argument("--calls", type=int, default=100, help="checks in each (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        print(measure(Path(folder), options.rounds, options.calls).markdown())


if __name__ == "__main__":
    main()
