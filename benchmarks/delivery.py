"""A provider's bad hour: `python -m benchmarks.delivery`, or `make bench-delivery`.

Two providers at the ends of real HTTP connections, two dispatchers, an even load. One of the providers errs, hangs, is
slow, then takes messages and loses them, in turn; at last a short code gets twice what it may send. The tables say how
long codes took to arrive, and why they went where they went.
"""

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import msgspec

from benchmarks.inside import Inside, a_start, inside
from benchmarks.load import percentile
from benchmarks.report import Table
from verify_service import codes, config
from verify_service.adapters import AdapterContext
from verify_service.dispatch import Dispatcher
from verify_service.errors import StoreUnavailable
from verify_service.model import Receipt
from verify_service.telemetry import configure_logs

Mode = Literal["well", "errs", "hangs", "is slow", "loses"]
MODES: tuple[Mode, ...] = ("well", "errs", "hangs", "is slow", "loses")
TAKES_S = 0.02
SLOW_S = 3.0
RECEIPT_AFTER_S = 0.1
TOLD_AGAIN_S = 0.1
PER_SECOND = 100
LEFT_S = 20.0
WELL_S = 2.5


class Carrier:
    """A provider's side: takes messages as its `mode` says, and gives receipts for those that arrive."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.mode: Mode = "well"
        self.arrived: dict[str, float] = {}
        self.asked: list[float] = []
        self.delivered: SimpleQueue[tuple[float, str] | None] = SimpleQueue()
        self._serial = count(1)

    def take(self, verification_id: str) -> tuple[int, str]:
        """A status and the id of the message."""
        self.asked.append(time.monotonic())
        mode, provider_id = self.mode, f"{self.name}-{next(self._serial)}"
        if mode == "errs":
            return 503, ""
        if mode == "hangs":
            while self.mode == "hangs":
                time.sleep(0.05)
            return 503, ""
        time.sleep(SLOW_S if mode == "is slow" else TAKES_S)
        if mode != "loses":
            self.arrived.setdefault(verification_id, time.monotonic())
            self.delivered.put((time.monotonic() + RECEIPT_AFTER_S, provider_id))
        return 200, provider_id


@dataclass
class Phase:
    """What became of the messages of one phase; times in seconds from a start to its code's arrival."""

    what: str
    messages: int
    took: list[float]
    reasons: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0

    def row(self) -> tuple[str | int | float, ...]:
        why = ", ".join(f"{reason} ({n})" for reason, n in self.reasons.most_common(3)) or "—"
        times = [percentile(self.took, share) for share in (0.5, 0.99, 1.0)]
        return (self.what, self.messages, len(self.took), *times, why)


class Hour:
    """Two carriers, two dispatchers on one store, and a load."""

    dispatchers: tuple[str, ...] = ("first", "second")

    def __init__(self, place: Inside, toml: str) -> None:
        self.place = place
        self.carriers = {name: Carrier(name) for name in "ab"}
        self._toml = toml

    @contextmanager
    def at_work(self, folder: Path) -> Iterator[None]:
        with ExitStack() as stack:
            urls = {name: stack.enter_context(_serving(carrier)) for name, carrier in self.carriers.items()}
            for carrier in self.carriers.values():
                stack.enter_context(self._receipts(carrier))
            file = folder / "verify.toml"
            tables = "".join(
                f'[providers.{name}]\nkind = "webhook"\nurl = "{url}"\nsecret = "env:X"\n' for name, url in urls.items()
            )
            file.write_text(tables + self._toml)
            for name in self.dispatchers:
                stack.enter_context(self._dispatching(config.load(file, None), name))
            yield

    def load(self, what: str, per_second: int, seconds: float) -> Phase:
        """Starts so many a second and waits for what becomes of them."""
        for carrier in self.carriers.values():
            carrier.arrived.clear()
            carrier.asked.clear()
        began, started = time.monotonic(), dict[str, float]()
        for n in range(round(per_second * seconds)):
            time.sleep(max(0.0, began + n / per_second - time.monotonic()))
            at = time.monotonic()
            started[self.place.service.start("default", a_start(self.place.callers.next())).id] = at
        left = time.monotonic() + LEFT_S
        while time.monotonic() < left and not self.is_over(started.keys()):
            time.sleep(0.05)
        phase = Phase(what, len(started), [])
        for verification_id, at in started.items():
            arrivals = [c.arrived[verification_id] for c in self.carriers.values() if verification_id in c.arrived]
            phase.took += [min(arrivals) - at] if arrivals else []
            self._explain(phase, verification_id)
        return phase

    def is_over(self, ids: Any) -> bool:
        """Whether nothing more can come of these."""
        return self.have_arrived(ids) and not self.place.store.outbox.depth()

    def have_arrived(self, ids: Any) -> bool:
        first, second = (carrier.arrived for carrier in self.carriers.values())
        return all(each in first or each in second for each in ids)

    def _explain(self, phase: Phase, verification_id: str) -> None:
        """Every way but the first has a line before it that says why the message went on."""
        lines = self.place.service.status("default", verification_id).timeline
        whys = [line.reason or "" for line in lines if line.event == "failed-over"]
        ways = {line.provider for line in lines if line.event in ("sent", "failed-over")}
        phase.reasons.update(why for why in whys if "after another" not in why)
        phase.unexplained += len(ways) > len(whys) + 1 or not ways

    def _takes(self, carrier: str, receipt: Receipt) -> bool:
        """Whether the service has a receipt; else it is told again, as vendors do."""
        try:
            self.place.store.deliveries.received(self.place.clock.now(), carrier, receipt)
        except StoreUnavailable:
            return False
        return True

    @contextmanager
    def _receipts(self, carrier: Carrier) -> Iterator[None]:
        def tell() -> None:
            while told := carrier.delivered.get():
                due, provider_id = told
                time.sleep(max(0.0, due - time.monotonic()))
                receipt = Receipt(provider_id=provider_id, status="delivered")
                while not self._takes(carrier.name, receipt):
                    time.sleep(TOLD_AGAIN_S)

        thread = threading.Thread(target=tell)
        thread.start()
        try:
            yield
        finally:
            carrier.delivered.put(None)
            thread.join()

    @contextmanager
    def _dispatching(self, operator: config.Config, name: str) -> Iterator[None]:
        secret = f"whsec_{codes.new_key()}"
        providers = {
            provider: made.adapter.provider(
                made.settings, AdapterContext(name=provider, secret=lambda _: secret, clock=self.place.clock)
            )
            for provider, made in operator.providers.items()
        }
        made = Dispatcher(self.place.store, operator, self.place.keys, self.place.clock, providers, name)
        stop = threading.Event()
        thread = threading.Thread(target=made.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


FAILOVER = """
[[routes]]
via = [{ provider = "a", weight = 50 }, { provider = "b", weight = 50 }]
receipt_within = "1 second"
"""
SHORT_CODE = f"""
[senders.short]
type = "short-code"
address = "43721"
per_second = {PER_SECOND}
[[routes]]
via = [{{ provider = "a", sender = "short", weight = 1 }}, {{ provider = "b", weight = 0 }}]
answer_within = "30 seconds"
"""
"""Both do well: a busy machine is no reason to go another way."""


def bad_hour(folder: Path, per_second: int, seconds: float, modes: Sequence[Mode] = MODES) -> list[Phase]:
    """A phase for each mode of provider a, under an even load; each begins when both have done well for a while."""
    phases = []
    with inside(folder) as place, (hour := Hour(place, FAILOVER)).at_work(folder):
        for mode in modes:
            place.store.link.client().delete("vs:{0}:health")
            hour.load("both do well", per_second, WELL_S)
            hour.carriers["a"].mode = mode
            phases.append(hour.load(f"a {mode}", per_second, seconds))
            hour.carriers["a"].mode = "well"
    return phases


def short_code(folder: Path, per_second: int, seconds: float) -> tuple[Phase, int, int]:
    """A short code that gets `per_second`: what became of it, the code's busiest second, how many it sent."""
    with inside(folder) as place, (hour := Hour(place, SHORT_CODE)).at_work(folder):
        phase = hour.load(f"short code given {per_second}/s", per_second, seconds)
        return phase, busiest_second(hour.carriers["a"].asked), len(hour.carriers["a"].asked)


def busiest_second(times: Sequence[float]) -> int:
    """The most calls in any second, wherever it begins."""
    ordered = sorted(times)
    most = first = 0
    for last, end in enumerate(ordered):
        while end - ordered[first] >= 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


@contextmanager
def _serving(carrier: Carrier) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # One packet an answer.

        def do_POST(self) -> None:
            body: dict[str, str] = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
            status, provider_id = carrier.take(body["verification_id"])
            text = msgspec.json.encode({"id": provider_id})
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each phase")
    parser.add_argument("--per-second", type=int, default=30, help="starts a second while a provider does badly")
    asked = parser.parse_args(argv)
    configure_logs()
    columns = ("phase", "messages", "arrived", "p50 s", "p99 s", "longest s", "why they went on")
    table = Table("A provider's bad hour", columns, "Seconds from a start to the arrival of its code.")
    with tempfile.TemporaryDirectory() as folder:
        phases = bad_hour(Path(folder) / "bad", asked.per_second, asked.seconds)
        phase, busiest, by_short = short_code(Path(folder) / "short", 2 * PER_SECOND, asked.seconds)
    for each in (*phases, phase):
        table.rows.append(each.row())
    print(table.markdown())
    print(f"Short code at {PER_SECOND}/s: {by_short} messages, {busiest} in its busiest second.")
    lost = sum(each.messages - len(each.took) for each in (*phases, phase))
    print(f"Lost: {lost}. Without a reason in the timeline: {sum(each.unexplained for each in (*phases, phase))}.")


if __name__ == "__main__":
    main()
