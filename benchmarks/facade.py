"""What a start and a check cost by Twilio's API beside the native one: `python -m benchmarks.facade`, a minute.

The WSGI app in this process and thread, without a server in front, and its Valkey: CPU time, in turns.
"""

import argparse
import base64
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
from werkzeug.test import EnvironBuilder

from benchmarks.cpu_profile import called, environ_of
from benchmarks.inside import API_KEY, Inside, inside
from benchmarks.report import Table
from benchmarks.traffic import Caller

_FORM = "application/x-www-form-urlencoded"


def measure(folder: Path, rounds: int, calls: int) -> Table:
    """Microseconds of CPU time per call, medians of the rounds; the ratios are of each round's own."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with inside(folder, ("--appendonly", "no")) as bench:
        app, service = bench.app(), bench.config.services["default"][0].sid
        ways: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
            "native": (_native_start, _native_check),
            "Twilio": (_twilio_start, _twilio_check),
        }
        for turn in range(rounds + 1):
            for name, (start, check) in sorted(ways.items(), reverse=turn % 2 == 1):
                callers = [bench.callers.next() for _ in range(calls)]
                cost, bodies = _timed(bench, app, [start(bench, service, caller) for caller in callers])
                bench.settle()
                ids = [_id(body) for body in bodies]
                codes = bench.codes(ids)
                checks = [check(bench, service, *each) for each in zip(callers, ids, codes.values(), strict=True)]
                if turn:  # The first is to warm up.
                    found.setdefault(("start", name), []).append(cost)
                    found.setdefault(("check", name), []).append(_timed(bench, app, checks)[0])
    table = Table(
        "Twilio's API beside the native one",
        ("call", "process", "native µs", "Twilio µs", "ratio", "lowest", "highest"),
        f"CPU time per call, {calls:,} calls a round, {rounds} rounds in turns; medians, and the span of the ratio.",
    )
    for call in ("start", "check"):
        for process, part in (("web", _web), ("web and Valkey", _both)):
            native, twilio = (list(map(part, found[call, name])) for name in ("native", "Twilio"))
            ratios = [theirs / ours for ours, theirs in zip(native, twilio, strict=True)]
            medians = [statistics.median(figures) for figures in (native, twilio, ratios)]
            table.rows.append((call, process, *medians, min(ratios), max(ratios)))
    return table


def _web(cost: tuple[float, float]) -> float:
    return cost[0]


def _both(cost: tuple[float, float]) -> float:
    return cost[0] + cost[1]


def _native_start(_bench: Inside, _service: str, caller: Caller) -> dict[str, Any]:
    return environ_of("/start", {"to": caller.to, "ip": caller.ip})


def _native_check(_bench: Inside, _service: str, _caller: Caller, verification_id: str, code: str) -> dict[str, Any]:
    return environ_of("/check", {"id": verification_id, "code": code})


def _twilio_start(bench: Inside, service: str, caller: Caller) -> dict[str, Any]:
    form = {"To": caller.to, "Channel": "sms", "DeviceIp": caller.ip}
    return _form(bench, f"/v2/Services/{service}/Verifications", form)


def _twilio_check(bench: Inside, service: str, _caller: Caller, verification_id: str, code: str) -> dict[str, Any]:
    form = {"VerificationSid": f"VE{verification_id[3:]}", "Code": code}
    return _form(bench, f"/v2/Services/{service}/VerificationCheck", form)


def _form(bench: Inside, path: str, form: dict[str, str]) -> dict[str, Any]:
    login = base64.b64encode(f"{bench.config.accounts['default']}:{API_KEY}".encode()).decode()
    data = urlencode(form).encode()
    environ = EnvironBuilder(path, method="POST", data=data, content_type=_FORM).get_environ()
    return environ | {"HTTP_AUTHORIZATION": f"Basic {login}"}


def _timed(bench: Inside, app: Any, environs: Sequence[dict[str, Any]]) -> tuple[tuple[float, float], list[bytes]]:
    """Microseconds of CPU time per call, of this thread and of the store's process, and the bodies."""

    stored, mine = bench.store_seconds(), time.thread_time()
    bodies = called(app, environs)
    mine, stored = time.thread_time() - mine, bench.store_seconds() - stored
    return (mine / len(environs) * 1e6, stored / len(environs) * 1e6), bodies


def _id(body: bytes) -> str:
    said = msgspec.json.decode(body)
    return f"ve_{said['sid'][2:]}" if "sid" in said else str(said["id"])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.facade", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="rounds in turns (%(default)s)")
    parser.add_argument("--calls", type=int, default=400, help="calls of each kind a round (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        print(measure(Path(folder), options.rounds, options.calls).markdown())


if __name__ == "__main__":
    main()
