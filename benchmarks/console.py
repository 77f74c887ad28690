"""How long the console's pages take with a month of traffic behind them, beside starts that go on."""

import argparse
import os
import random
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.load import Load, drive, percentile
from benchmarks.report import Table
from benchmarks.stack import Service, wait_until
from benchmarks.traffic import Caller, Callers
from verify_service.codes import api_key_digest, new_api_key
from verify_service.embedded import EmbeddedValkey
from verify_service.store import Store
from verify_service.store.connection import prefix
from verify_service.store.layouts import Facts

DAY_MS = 86_400_000
PAGES = (
    *("", "?span=15m", "?span=24h", "?span=7d&by=provider", "?span=30d", "?span=30d&by=place", "decisions"),
    *(f"decisions?{asked}" for asked in ("outcome=refused", "rule=daily-budget", "country=NG", "range=%2B44740")),
    *("lookup", "blocks", "policy", "delivery", "audit"),
)
_PIPELINE = 5_000
_RULES = ("daily-budget", "per-number", "pumping", "countries")


def events(count: int, now: int, days: float) -> Iterator[list[str | bytes]]:
    """So many events as the stream has them, spread over the days before now: starts, of which one in twelve is
    refused, each other one with what became of it."""
    callers, dice, told = Callers(), random.Random(7), 0
    starts = count * 10 // 37
    for nth in range(starts):
        at, caller = now - round(days * DAY_MS * (1 - nth / starts)), callers.next()
        for event in _of_start(at, caller, f"{nth:032x}", dice):
            told += 1
            yield event
    for nth in range(told, count):
        yield ["at", str(now), "event", "wrong", "id", f"ve_{nth:032x}", "tenant", "default"]


def _of_start(at: int, caller: Caller, verification: str, dice: random.Random) -> Iterator[list[str | bytes]]:
    price = "75000"
    facts = Facts(
        tenant="default",
        purpose="login",
        channel="sms",
        number=f"{hash(caller.to) & 0xFFFFFFFFFFFFFFFFFFFF:020x}",
        country=caller.country,
        line_type=caller.line_type,
        range=caller.to[:-3],
        revision="1",
        price=price,
        ip=caller.ip,
    ).pack()
    refused = dice.choice(_RULES) if dice.random() < 1 / 12 else ""
    start: list[str | bytes] = [
        "at",
        str(at),
        "event",
        "start",
        "id",
        f"ve_{verification}",
        "facts",
        facts,
        "observed",
        "",
    ]
    if refused:
        yield [*start, "refused", refused, "decision", f"de_{verification}"]
        return
    yield start
    told = ("sent", "delivered", "approved") if dice.random() < 0.9 else ("sent", "failed")
    for after, event in enumerate(told, 1):
        head: list[str | bytes] = [
            "at",
            str(at + 1000 * after),
            "event",
            event,
            "id",
            f"ve_{verification}",
            "tenant",
            "default",
        ]
        if event == "approved":
            yield [*head, "country", caller.country, "channel", "sms"]
        else:
            way = "vendor//sms"
            yield [*head, "provider", "vendor", "reason", "", "channel", "sms", "country", caller.country, "way", way]


def fill(store: Store, count: int, days: float) -> float:
    """Writes the events and has them all counted; seconds that the counting took."""
    client: Any = store.link.client()
    key = f"{prefix(0)}events"
    pipe = client.pipeline(transaction=False)
    for nth, fields in enumerate(events(count, time.time_ns() // 1_000_000, days), 1):
        pipe.execute_command("XADD", key, "*", *fields)
        if nth % _PIPELINE == 0:
            pipe.execute()
    pipe.execute()
    began = time.monotonic()
    while store.counts.fold(time.time_ns() // 1_000_000).more:
        pass
    return time.monotonic() - began


class Visitor:
    """An operator's browser, which times what it opens."""

    def __init__(self, port: int, key: str) -> None:
        self._url = f"http://127.0.0.1:{port}/console/"
        self._http = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self._http.open(self._url + "sign-in", urlencode({"key": key}).encode()).read()

    def open(self, path: str) -> float:
        """Seconds until the page is here. Raises HTTPError for one that cannot be shown."""
        began = time.perf_counter()
        with self._http.open(self._url + path) as answer:
            answer.read()
            if "sign-in" in answer.url:
                raise RuntimeError("signed out")
        return time.perf_counter() - began


def paced(service: Service, callers: Callers, rate: float, stop: threading.Event) -> Iterator[bytes]:
    """Starts, so many a second, until `stop` is set."""
    began = time.monotonic()
    nth = 0
    while not stop.is_set():
        time.sleep(max(0.0, began + nth / rate - time.monotonic()))
        nth += 1
        yield service.start(callers.next())


def measure(folder: Path, count: int, days: float, rate: float, rounds: int, pages: Sequence[str] = PAGES) -> Table:
    """Each page in turns, while starts go on."""
    key = new_api_key("operator")
    with EmbeddedValkey(folder / "valkey") as valkey:
        service = Service(folder, valkey.url)
        with (folder / "verify.toml").open("a") as toml:
            toml.write(f'[[operators]]\nname = "Ada"\ndigest = "{api_key_digest(key)}"\nscopes = ["admin"]\n')
        counting = fill(Store(valkey.url), count, days)
        took: dict[str, list[float]] = {page: [] for page in pages}
        loads: list[Load] = []
        with service.dispatch(), service.web() as port:
            visitor, stop = Visitor(port, key), threading.Event()
            requests = paced(service, Callers(10_000_000), rate, stop)
            beside = threading.Thread(target=lambda: loads.append(drive(port, requests, 4, 3600.0)))
            beside.start()
            try:
                for page in pages:  # Warm: templates are read, connections made.
                    visitor.open(page)
                for _ in range(rounds):
                    for page in pages:
                        took[page].append(visitor.open(page))
            finally:
                stop.set()
                beside.join()
            wait_until(lambda: service.store.xlen("vs:{0}:outbox") == 0, "the dispatcher to send what is queued")
    load = loads[0]
    tail = 1000 * percentile(load.latencies, 0.99)
    table = Table(
        f"The console's pages with {count:,} events of {days:g} days",
        ("page", "p50 ms", "p95 ms", "longest ms"),
        f"{rounds} rounds, {load.rate:.0f} starts a second beside (p99 {tail:.0f} ms). Counting the events took "
        f"{counting:.0f} s.",
    )
    for page, times in took.items():
        figures = (percentile(times, 0.5), percentile(times, 0.95), max(times))
        table.rows.append((f"/console/{page}", *(1000 * each for each in figures)))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="events (%(default)s)")
    parser.add_argument("--days", type=float, default=30.0, help="that they are of (%(default)s)")
    parser.add_argument("--rate", type=float, default=200.0, help="starts a second beside (%(default)s)")
    parser.add_argument("--rounds", type=int, default=30, help="of all pages (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        print(measure(Path(folder), **vars(options)).markdown())
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
