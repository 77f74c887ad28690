"""How long a caller waits where nobody else calls: to the message, and where Redis is a millisecond away."""

import http.client
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
import redis

from benchmarks.load import drive, percentile
from benchmarks.report import Table
from benchmarks.stack import Service, running, wait_until
from benchmarks.traffic import Callers
from verify_service.embedded import EmbeddedValkey, free_port

ADDED_MS = 1.0


def measure(folder: Path, samples: int) -> list[Table]:
    """Start to provider call; then start and check with and without a slower way to Redis, in turns."""
    with ExitStack() as stack:
        # On a port, because the slower way is one too; its disk is not what is asked about here.
        valkey = stack.enter_context(EmbeddedValkey(folder / "valkey", port=free_port(), append_fsync="no"))
        service = Service(folder, valkey.url)
        stack.enter_context(service.dispatch())
        assert valkey.port is not None
        far = free_port()
        argv = ["benchmarks.proxy", str(far), str(valkey.port), str(ADDED_MS)]
        stack.enter_context(running(folder, "proxy", argv, {}, far))
        far_url = f"redis://127.0.0.1:{far}"
        near_port = stack.enter_context(service.web())
        far_port = stack.enter_context(service.web(far_url))
        callers = Callers()
        for port in (near_port, far_port):
            drive(port, [service.start(callers.next()) for _ in range(50)], 2, 10)
        return [
            _to_provider(service, near_port, callers, samples),
            _distance(service, {"near": near_port, "1 ms away": far_port}, callers, samples, (valkey.url, far_url)),
        ]


def _to_provider(service: Service, port: int, callers: Callers, samples: int) -> Table:
    service.drained()
    _arrivals(service.vendor)
    waits = []
    for _ in range(samples):
        caller = callers.next()
        sent_at = time.monotonic()
        drive(port, [service.start(caller)], 1, 10)
        service.drained()
        waits.append((_arrivals(service.vendor)[caller.to] - sent_at) * 1000)
    table = Table(
        "Start to provider call",
        ("samples", "p50 ms", "p99 ms", "highest ms"),
        "From the first byte of a start to the arrival of its message at the vendor; one start at a time.",
    )
    table.rows.append((samples, percentile(waits, 0.5), percentile(waits, 0.99), max(waits)))
    return table


def _distance(service: Service, ports: dict[str, int], callers: Callers, samples: int, urls: tuple[str, str]) -> Table:
    waits: dict[tuple[str, str], list[float]] = {}
    pings: dict[str, list[float]] = {}
    for _ in range(samples // 20 or 1):
        for (way, port), url in zip(ports.items(), urls, strict=True):
            started = drive(port, [service.start(callers.next()) for _ in range(20)], 1, 10)
            service.drained()
            checked = drive(port, service.checks(started.bodies), 1, 10)
            waits.setdefault((way, "start"), []).extend(started.latencies)
            waits.setdefault((way, "check"), []).extend(checked.latencies)
            with redis.Redis.from_url(url) as client:
                client.ping()
                for _ in range(20):
                    began = time.perf_counter()
                    client.ping()
                    pings.setdefault(way, []).append(time.perf_counter() - began)
    table = Table(
        "One connection, Redis near and a millisecond away",
        ("Redis", "PING p50 ms", "start p50 ms", "start p99 ms", "check p50 ms", "check p99 ms"),
        "A proxy delays every answer of Redis to the web role; PING says by how much in truth. Dispatcher undelayed.",
    )
    for way in ports:
        cells = [percentile(waits[way, call], share) * 1000 for call in ("start", "check") for share in (0.5, 0.99)]
        table.rows.append((way, percentile(pings[way], 0.5) * 1000, *cells))
    return table


def _arrivals(port: int) -> dict[str, float]:
    """What came to the vendor since the last look, waiting for the first: number -> monotonic seconds."""
    found: dict[str, float] = {}

    def look() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/arrivals")
        found.update(msgspec.json.decode(connection.getresponse().read()))
        connection.close()
        return bool(found)

    wait_until(look, "a message to arrive")
    return found
