"""What the shipped policy stops, and whom it turns away: `python -m benchmarks.fraud --help`.

Only seeds that the detector was not tuned on are worth a run; it was tuned on 1 to 4.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.inside import inside
from benchmarks.report import Table
from verify_service import phone
from verify_service.backtest.runner import Decided, run
from verify_service.model import Start
from verify_service.policy import file as policy_file
from verify_service.policy.sections import Policy
from verify_service.simulate import SCENARIOS, Event, scenario
from verify_service.simulate.clock import DAY
from verify_service.simulate.normal import Service

ENFORCED, LIMITS, SHIPPED = "default --enforce", "limits alone", "default, as shipped"
PUMPER, FLOODER = "pumper", "flooder"
BATCH = 20
"""Starts timed at a time."""


class Figures(msgspec.Struct):
    """One scenario of one seed under one policy. What only observes counts as refusing where the policy is the shipped
    one: it is what would have been refused.

    `attack_spend` (US dollars) and its `stopped` part are of starts labelled as fraud; the `legitimate` ones are those
    of the last day, in all countries, of all days for the scenario `normal`. `before_block` has for each attacked
    prefix the pumper's messages until his first refused as pumping, or all where none was. `texts_to_victim` is the
    most that one flooded number got in any 24 hours, its owner's own included.
    """

    scenario: str
    seed: int
    policy: str
    attack_starts: int = 0
    attack_spend: float = 0.0
    stopped: float = 0.0
    legitimate: int = 0
    refused: dict[str, int] = {}
    before_block: list[int] = []
    never_blocked: int = 0
    texts_to_victim: int | None = None

    def cells(self) -> tuple[str, ...]:
        """The row of the table."""
        share = f"{100 * self.stopped / self.attack_spend:.1f} %" if self.attack_spend else ""
        wrongly = sum(self.refused.values())
        by = ", ".join(f"{name} {count:,}" for name, count in sorted(self.refused.items()))
        most, mean = "", ""
        if self.before_block:
            most = f"{max(self.before_block):,}" + (f" ({self.never_blocked} never)" if self.never_blocked else "")
            mean = f"{sum(self.before_block) / len(self.before_block):.1f}"
        victim = "" if self.texts_to_victim is None else str(self.texts_to_victim)
        spend = f"${self.attack_spend:,.0f}" if self.attack_spend else ""
        lost = f"{wrongly:,} of {self.legitimate:,} ({100 * wrongly / max(1, self.legitimate):.3f} %)"
        return self.scenario, str(self.seed), self.policy, spend, share, lost, by, most, mean, victim


COLUMNS = (
    "scenario",
    "seed",
    "policy",
    "fraud",
    "stopped",
    "legitimate refused",
    "by",
    "before the block, most",
    "mean",
    "texts to a victim",
)


class Task(NamedTuple):
    """A scenario to play once and to judge under each of the policies."""

    scenario: str
    seed: int
    per_day: float
    policies: tuple[str, ...]


def policies() -> dict[str, Policy]:
    """The three that are compared. Without its rules the shipped policy is limits (and line types) alone."""
    shipped = policy_file.parse(policy_file.default_text(), SHIPPED)
    return {
        ENFORCED: policy_file.parse(policy_file.default_text(enforce=True), ENFORCED),
        LIMITS: msgspec.structs.replace(shipped, rule=()),
        SHIPPED: shipped,
    }


def judged(task: Task) -> list[Figures]:
    """The figures of a task, a policy each."""
    with tempfile.TemporaryDirectory(prefix="verify-fraud-") as folder:
        path = Path(folder, "events.jsonl")
        starts: list[Event] = []
        encode = msgspec.json.Encoder().encode
        with path.open("wb") as file:
            for event in scenario(task.scenario, task.seed, per_day=task.per_day):
                file.write(encode(event.recorded()) + b"\n")
                if event.event == "start":
                    starts.append(event)
        found = []
        for name, policy in policies().items():
            if name not in task.policies:
                continue
            began = time.monotonic()
            decided = [item for item in run(policy, path) if isinstance(item, Decided)]
            found.append(figures(task, name, zip(starts, decided, strict=True)))
            rate = len(starts) / (time.monotonic() - began)
            print(f"{task.scenario}, seed {task.seed}, {name}: {len(starts):,} starts, {rate:,.0f}/s", file=sys.stderr)
        return found


def figures(task: Task, policy: str, starts: Iterable[tuple[Event, Decided]]) -> Figures:
    """What became of the starts, by their labels."""
    days = SCENARIOS[task.scenario].days
    since = Service(task.seed, days, 1).last_day if task.scenario != "normal" else 0.0
    found = Figures(task.scenario, task.seed, policy)
    refused: Counter[str] = Counter()
    sent: dict[str, list[float]] = defaultdict(list)
    passed: Counter[str] = Counter()
    blocked: set[str] = set()
    victims: set[str] = set()
    for event, decided in starts:
        by = decided.rule or next(iter(decided.observed if policy == SHIPPED else ()), None)
        number, price = event.to or "", event.price or 0.0
        if by is None:
            sent[number].append(event.at)
        if event.fraud:
            found.attack_starts += 1
            found.attack_spend += price
            found.stopped += 0.0 if by is None else price
        elif event.at >= since:
            found.legitimate += 1
            refused.update([by] if by else [])
        if event.who == FLOODER:
            victims.add(number)
        elif event.who == PUMPER:
            prefix = phone.parse(number, None).prefix
            if by == "pumping":
                blocked.add(prefix)
            elif prefix not in blocked:
                passed[prefix] += by is None
    found.refused = dict(refused)
    found.before_block = sorted(passed[prefix] for prefix in passed.keys() | blocked)
    found.never_blocked = len(passed.keys() - blocked)
    if victims:
        found.texts_to_victim = max(_most_in_a_day(sent[number]) for number in victims)
    return found


def _most_in_a_day(moments: Sequence[float]) -> int:
    """How many of the moments lie in one stretch of 24 hours at most; they are in order."""
    first = most = 0
    for place, moment in enumerate(moments):
        while moment - moments[first] >= DAY:
            first += 1
        most = max(most, place + 1 - first)
    return most


class _Clock:
    """A clock that shows what it was set to, in milliseconds since the epoch."""

    def __init__(self, shown: int) -> None:
        self.shown = shown

    def now(self) -> int:
        return self.shown


def _users() -> Iterator[Event]:
    """The first start of each user."""
    seen = set()
    for event in scenario("normal", 31):
        if event.event == "start" and event.to not in seen:
            seen.add(event.to)
            yield event


def server_time(folder: Path, calls: int) -> Table:
    """What a start's script takes with all rules enforced and as shipped, by the server's own count."""
    table = Table(
        "Server time of a start",
        ("policy", "server µs, quickest batch", "mean"),
        f"{calls:,} starts of simulated users at the pace of 12,000 a day, all approved; FCALL by INFO "
        f"commandstats. No append-only file, no HTTP. Load average {os.getloadavg()[0]:.1f}.",
    )
    users = list(islice(_users(), calls))
    ahead = time.time() - users[0].at
    for enforce, name in ((True, ENFORCED), (False, SHIPPED)):
        clock = _Clock(0)
        store = folder / name.replace(" ", "-")
        with inside(store, ("--appendonly", "no"), enforce=enforce, clock=clock) as bench:
            batches = []
            for begin in range(0, len(users), BATCH):
                bench.reset()
                ids = []
                for user in users[begin : begin + BATCH]:
                    clock.shown = round((user.at + ahead) * 1000)
                    number = phone.parse(user.to or "", None)
                    start = Start(number=number, channel="sms", purpose="login", ip=user.ip, device=user.device)
                    ids.append(bench.service.start("default", start).id)
                made, microseconds = bench.stats()["fcall"]
                batches.append(microseconds / made)
                bench.settle()
                for found in ids:
                    assert bench.service.check("default", found, bench.code(found)).approved
                while bench.store.outbox.carry(0, 1000):  # The detector hears of approvals so, from the dispatcher.
                    pass
        table.rows.append((name, min(batches), sum(batches) / len(batches)))
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Judges every scenario, prints a row as soon as it is known, and writes all of them where `--json` says.

    `--calls 0` leaves out the server time.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fraud", description=__doc__)
    parser.add_argument("--seeds", default="41,42", help="of the simulator, none that was tuned on (%(default)s)")
    parser.add_argument("--per-day", type=float, default=12_000, help="verifications of real users (%(default)s)")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS), help="some of them only (all)")
    names = ";".join(policies())
    parser.add_argument("--policies", default=names, help="some of them only (%(default)s)")
    parser.add_argument("--calls", type=int, default=5_000, help="starts timed in the store (%(default)s)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="scenarios at once (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args(arguments)
    time_table = None
    if options.calls:
        with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
            time_table = server_time(Path(folder), options.calls)
        print(time_table.markdown(), flush=True)
    tasks = [
        Task(name, int(seed), options.per_day, tuple(options.policies.split(";")))
        for seed in options.seeds.split(",")
        for name in options.scenarios.split(",")
    ]
    note = f"{options.per_day:,.0f} verifications a day; the docstring of `Figures` says what is counted."
    print(Table("Fraud", COLUMNS, note).markdown(), end="", flush=True)
    found: list[Figures] = []
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for each in pool.map(judged, tasks):
            found += each
            for row in each:
                print(f"| {' | '.join(row.cells())} |", flush=True)
    if options.json:
        report = {"per_day": options.per_day, "server_time": time_table and time_table.builtins(), "figures": found}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))


if __name__ == "__main__":
    main()
