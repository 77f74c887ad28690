"""How fast recorded traffic is judged again, and which of the two processes it waits for."""

import itertools
import resource
import time
from pathlib import Path

import msgspec

from benchmarks.report import Table
from verify_service.backtest.runner import Decided, run
from verify_service.policy import file as policy_file
from verify_service.simulate import scenario

SCENARIO = "spread"
TWO_LIMITS = """
[[limit]]
name = "number"
of = ["number"]
allow = "5/10 minutes; 10/day"
[[limit]]
name = "ip"
of = ["ip"]
allow = "30/hour; 150/day"
net_of_approved = true
"""


def measure(folder: Path, starts: int) -> Table:
    """So many starts of simulated traffic, with their checks, under the shipped policy with all enforced and under two
    limits alone."""
    table = Table(
        "Backtest",
        ("policy", "starts/s", "µs a start here", "µs a start in the store"),
        f"{starts:,} starts of `simulate {SCENARIO}` with their checks, read from a file. The last two columns are CPU "
        "time of the two processes, which work at once: the larger one is what a run waits for on two idle cores.",
    )
    events = folder / "events.jsonl"
    _record(events, starts)
    for name, text in (("default --enforce", policy_file.default_text(enforce=True)), ("two limits", TWO_LIMITS)):
        policy = policy_file.parse(text, name)
        began, here, there = time.perf_counter(), time.process_time(), _children()
        judged = sum(isinstance(item, Decided) for item in run(policy, events))
        seconds, here, there = time.perf_counter() - began, time.process_time() - here, _children() - there
        table.rows.append((name, judged / seconds, here / judged * 1e6, there / judged * 1e6))
    return table


def _record(path: Path, starts: int) -> None:
    encode = msgspec.json.Encoder().encode
    left = itertools.count(starts, -1)
    with path.open("wb") as file:
        for event in scenario(SCENARIO, days=30):
            if event.event == "start" and next(left) == 0:
                return
            file.write(encode(event.recorded()) + b"\n")


def _children() -> float:
    """CPU seconds of the processes that have ended: a scratch store ends with its run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
