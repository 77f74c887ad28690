"""Where the CPU time of a start and of a check goes in the web process, by library."""

import cProfile
import io
import pstats
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from werkzeug.test import EnvironBuilder

from benchmarks.inside import API_KEY, Inside, inside
from benchmarks.report import Table

_GROUPS = (
    ("Flask, Werkzeug", ("/flask/", "/werkzeug/", "/blinker/", "/itsdangerous/")),
    ("phonenumbers", ("/phonenumbers/",)),
    ("redis client", ("/redis/", "/hiredis/")),
    ("codes: HMAC, AES, pyotp", ("/pyotp/", "/cryptography/", "/verify_service/codes.py")),
    ("metrics", ("/prometheus_client/", "/verify_service/telemetry.py")),
    ("store (ours)", ("/verify_service/store/",)),
    ("web (ours)", ("/verify_service/web/",)),
    ("service, policy (ours)", ("/verify_service/",)),
)
WAITING = "waiting for Redis"


def measure(folder: Path, calls: int) -> Table:
    """Real time per call without the profiler, and the profiler's shares of it by library."""
    with inside(folder, ("--appendonly", "no")) as bench:
        app = bench.app()
        called(app, _starts(bench, 200))
        plain = _starts(bench, calls)
        began = time.perf_counter()
        bodies = called(app, plain)
        start_us = (time.perf_counter() - began) / calls * 1e6
        checks = _checks(bench, bodies)
        began = time.perf_counter()
        called(app, checks)
        check_us = (time.perf_counter() - began) / calls * 1e6
        starts, bodies = _profile(app, _starts(bench, calls))
        checked, _ = _profile(app, _checks(bench, bodies))
    table = Table(
        "Where the time goes in the web process",
        ("part", "start µs", "check µs"),
        f"{calls:,} calls of the WSGI app in one thread, without a server in front. `all` is measured without a "
        "profiler; the parts are cProfile's shares of it (built-in functions count for the file that calls them), so "
        "code of many small calls looks larger than it is.",
    )
    table.rows.append(("all", start_us, check_us))
    for group in sorted(starts | checked, key=lambda name: -starts[name]):
        share = (starts[group] / starts.total(), checked[group] / checked.total())
        table.rows.append((group, share[0] * start_us, share[1] * check_us))
    return table


def _starts(bench: Inside, count: int) -> list[dict[str, Any]]:
    callers = [bench.callers.next() for _ in range(count)]
    return [environ_of("/start", {"to": caller.to, "ip": caller.ip}) for caller in callers]


def _checks(bench: Inside, bodies: Sequence[bytes]) -> list[dict[str, Any]]:
    bench.settle()
    ids = [msgspec.json.decode(body)["id"] for body in bodies]
    return [environ_of("/check", {"id": found, "code": bench.code(found)}) for found in ids]


def environ_of(path: str, body: Mapping[str, object]) -> dict[str, Any]:
    """A request of the benchmark's caller."""
    data = msgspec.json.encode(body)
    environ = EnvironBuilder(path, method="POST", data=data, content_type="application/json").get_environ()
    return environ | {"HTTP_AUTHORIZATION": f"Bearer {API_KEY}"}


def called(app: Any, environs: Sequence[dict[str, Any]]) -> list[bytes]:
    """The bodies that the app answers, each with a status of success."""

    def respond(status: str, _headers: object, _error: object = None) -> None:
        assert status.startswith("2"), status

    bodies = []
    for environ in environs:
        answer = app(environ, respond)
        bodies.append(b"".join(answer))
        if close := getattr(answer, "close", None):
            close()
    return bodies


def _profile(app: Any, environs: Sequence[dict[str, Any]]) -> tuple[Counter[str], list[bytes]]:
    profiler = cProfile.Profile()
    bodies = profiler.runcall(called, app, environs)
    stats: Any = pstats.Stats(profiler, stream=io.StringIO())
    groups: Counter[str] = Counter()
    for (file, _, name), (_, _, own, _, callers) in stats.stats.items():
        if "_recv" in name or "recv_into" in name or "poll" in name:
            groups[WAITING] += own
        elif file == "~" or "<" in file or ("/python3" in file and "site-packages" not in file):
            for (caller, _, _), (_, _, of_caller, _) in callers.items():
                groups[_group(caller)] += of_caller
        else:
            groups[_group(file)] += own
    return groups, bodies


def _group(file: str) -> str:
    return next((name for name, parts in _GROUPS if any(part in file for part in parts)), "Python itself")
