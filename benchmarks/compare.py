"""Old against new in one run: `python -m benchmarks.compare OLD_TREE`, where OLD_TREE is another checkout.

The bare app, that checkout and this one take turns, so whatever else the machine does hits all alike; compare ratios,
and trust those of CPU time first. Messages are sent and arrive: a start is done when its message has.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.contenders import Contender, Cost, bare, checkout, one_round
from benchmarks.report import Table, spread
from benchmarks.traffic import Callers

Taken = Mapping[str, Sequence[Mapping[str, Cost]]]
"""By contender: for each round, what a call cost."""


def turns(contenders: Sequence[Contender], rounds: int, calls: int, connections: int) -> Taken:
    """A round each in turns, once all are warm; every other round goes backwards. None is warmed for more than four."""
    callers = Callers()
    taken: dict[str, list[Mapping[str, Cost]]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        one_round(contender, callers, min(4 * calls, contender.warm), connections)
    for count in range(rounds):
        for contender in contenders[:: -1 if count % 2 else 1]:
            taken[contender.name].append(one_round(contender, callers, calls, connections))
    return taken


def tables(taken: Taken, against: Sequence[str]) -> list[Table]:
    """CPU time and rates of start, check and cycle; the ratios are taken round by round, and more is better."""
    cpu = Table(
        "CPU microseconds a call, by process",
        (
            "call",
            "who",
            "web",
            "dispatcher",
            "store",
            "sum",
            "dispatcher ÷ web",
            *(f"{name} ÷ this row" for name in against),
        ),
        "Medians, lowest to highest in brackets, user and system. A cycle is a start and its check.",
    )
    rates = Table(
        "Calls a second",
        ("call", "who", "per second", *(f"this row ÷ {name}" for name in against)),
        "From the first request until every answer is there and every message has arrived.",
    )
    for call, parts in {"start": ["start"], "check": ["check"], "cycle": ["start", "check"]}.items():
        costs = {name: [_together(one, parts) for one in found] for name, found in taken.items()}
        for name, found in costs.items():
            pairs = [list(zip(found, costs[other], strict=True)) for other in against]
            processes = [_shown([one.cpu[process] for one in found], 0) for process in ("web", "dispatch", "store")]
            spared = [_shown([theirs.sum / mine.sum for mine, theirs in rounds], 2) for rounds in pairs]
            whole = _shown([one.sum for one in found], 0)
            share = _shown([one.cpu["dispatch"] / one.cpu["web"] for one in found], 2)
            cpu.rows.append((call, name, *processes, whole, share, *spared))
            faster = [_shown([mine.rate / theirs.rate for mine, theirs in rounds], 2) for rounds in pairs]
            rates.rows.append((call, name, _shown([one.rate for one in found], 0), *faster))
    return [cpu, rates]


def _together(one: Mapping[str, Cost], parts: Sequence[str]) -> Cost:
    costs = [one[part] for part in parts]
    cpu = {process: sum(cost.cpu[process] for cost in costs) for process in costs[0].cpu}
    return Cost(costs[0].calls, sum(cost.seconds for cost in costs), cpu)


def _shown(values: Sequence[float], digits: int) -> str:
    median, lowest, highest = spread(values)
    return f"{median:,.{digits}f} ({lowest:,.{digits}f}–{highest:,.{digits}f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables as they come out, with the machine's load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("tree", type=Path, nargs="*", help="other checkouts; each with its own .venv, or ours is taken")
    parser.add_argument("--rounds", type=int, default=5, help="in turns (%(default)s)")
    parser.add_argument("--calls", type=int, default=1_000, help="of a round (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="requests under way at once (%(default)s)")
    options = parser.parse_args(arguments)
    print("load average: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as name, ExitStack() as stack:
        folder = Path(name)

        def place(of: str) -> Path:
            (folder / of).mkdir()
            return folder / of

        contenders = [stack.enter_context(bare(place("bare")))]
        for count, tree in enumerate(options.tree):
            called = tree.resolve().name
            contenders.append(stack.enter_context(checkout(place(f"tree-{count}"), called, tree)))
        contenders.append(stack.enter_context(checkout(place("this"), "this")))
        taken = turns(contenders, options.rounds, options.calls, options.connections)
        for table in tables(taken, [contender.name for contender in contenders[:-1]]):
            print(table.markdown(), flush=True)
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
