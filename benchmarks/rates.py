"""Starts, checks and cycles a second, as ratios to the bare app: rounds in turns, so a busy minute hits all alike."""

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from benchmarks.load import Load, drive, percentile
from benchmarks.report import Table, spread
from benchmarks.stack import Sides, cpu_seconds, side_by_side
from benchmarks.traffic import Callers, post

MOST_A_SECOND = 12_000


def measure(folder: Path, rounds: int, seconds: float, connections: int) -> list[Table]:
    """The rates with their ratios and latencies, and the CPU time that each process took for one of them."""
    taken: dict[str, list[Load]] = {}
    cpu: dict[str, dict[str, list[float]]] = {}
    with side_by_side(folder) as sides:
        callers = Callers()
        for _ in _one_round(sides, callers, min(seconds, 1.0), connections):
            pass  # Warm: every worker has imported, connected and filled its pools.
        for _ in range(rounds):
            for name, load, used in _one_round(sides, callers, seconds, connections):
                taken.setdefault(name, []).append(load)
                for process, spent in used.items():
                    cpu.setdefault(name, {}).setdefault(process, []).append(spent / load.done * 1e6)
    return [_rates(taken, rounds, seconds, connections), _cpu(cpu)]


def _one_round(
    sides: Sides, callers: Callers, seconds: float, connections: int
) -> Iterator[tuple[str, Load, Mapping[str, float]]]:
    """(measure, load, CPU seconds by process) of each measure in turn."""
    service, many = sides.service, round(MOST_A_SECOND * seconds) + connections

    def timed(port: int, requests: Iterator[bytes], pids: Mapping[str, int]) -> tuple[Load, dict[str, float]]:
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        load = drive(port, requests, connections, seconds)
        service.drained()
        used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        return load, used | {"generator": load.generator_cpu}

    def starts() -> Iterator[bytes]:
        return iter([service.start(callers.next()) for _ in range(many // 3)])

    bodies = [{"to": caller.to, "ip": caller.ip} for caller in islice(iter(callers.next, None), many)]
    yield "bare", *timed(sides.bare, iter([post("/set", body, service.api_key) for body in bodies]), sides.bare_pids)
    started, used = timed(sides.port, starts(), service.pids)
    yield "start", started, used
    yield "check", *timed(sides.port, iter(service.checks(started.bodies)), service.pids)

    def follow(body: bytes) -> bytes | None:
        return None if b'"approved"' in body else service.checks([body])[0]

    load = drive(sides.port, starts(), connections, seconds, follow)
    service.drained()
    yield "cycle", load, {"generator": load.generator_cpu}
    service.store.config_set("appendfsync", "no")
    try:
        yield "start, appendfsync no", *timed(sides.port, starts(), service.pids)
    finally:
        service.store.config_set("appendfsync", "always")


def _rates(taken: Mapping[str, list[Load]], rounds: int, seconds: float, connections: int) -> Table:
    table = Table(
        "Rates",
        (
            "measure",
            "per second",
            "min",
            "max",
            "ratio to bare",
            "ratio min",
            "ratio max",
            "p50 ms",
            "p95 ms",
            "p99 ms",
        ),
        f"Median of {rounds} rounds of {seconds:g} s with {connections} connections; the ratios are each round's own. "
        "The dispatcher runs and sends what is started. A cycle is a start and the check of its right code.",
    )
    for name, loads in taken.items():
        ratios = [load.rate / bare.rate for load, bare in zip(loads, taken["bare"], strict=True)]
        latencies = [latency * 1000 for load in loads for latency in load.latencies]
        at = (percentile(latencies, share) for share in (0.5, 0.95, 0.99))
        table.rows.append((name, *spread([load.rate for load in loads]), *spread(ratios), *at))
    return table


def _cpu(cpu: Mapping[str, Mapping[str, list[float]]]) -> Table:
    processes = ("web", "valkey", "dispatch", "vendor", "generator")
    table = Table(
        "CPU time by process",
        ("measure", *(f"{process} µs" for process in processes), "sum", "ratio to bare"),
        "CPU microseconds per call, of each process with its children; medians. What other work on the machine takes "
        "from the rates it takes far less from these, so this ratio is the steadier one.",
    )
    bare = 0.0
    for name, by_process in cpu.items():
        if "web" in by_process:
            row = [spread(by_process[process])[0] if process in by_process else 0.0 for process in processes]
            bare = bare or sum(row)
            table.rows.append((name, *row, sum(row), bare / sum(row)))
    return table
