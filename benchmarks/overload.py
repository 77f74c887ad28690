"""More messages than one dispatcher can send: `python -m benchmarks.overload`, or `make bench-overload`; two minutes.

A dispatcher with a vendor at the end of real HTTP connections, in processes of their own. First it gets as much as it
takes, then twice that for a time: how many does it send meanwhile, is any lost, and how soon is it as before?
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from benchmarks.inside import inside
from benchmarks.load import percentile
from benchmarks.report import Table
from benchmarks.stack import cpu_seconds, running, wait_until
from verify_service import codes
from verify_service.embedded import free_port
from verify_service.telemetry import configure_logs

OUTBOX = "vs:{0}:outbox"
AT_ONCE = 100
STEP_S = 0.02
_CONFIG = '[providers.vendor]\nkind = "webhook"\nurl = "http://127.0.0.1:{port}/"\nsecret = "env:VENDOR_SECRET"\n'


@dataclass
class Phase:
    """What was offered and what arrived. `seconds` until all was offered, `drain_s` until the last one had arrived;
    `p50` and `longest` are how many messages took; `cpu_us` is the dispatcher's processor time for each."""

    what: str
    offered: int
    arrived: int
    seconds: float
    drain_s: float
    p50: float
    longest: float
    cpu_us: float

    @property
    def per_second(self) -> float:
        return self.arrived / (self.seconds + self.drain_s)


class Offered:
    """A dispatcher and its vendor, and messages made beforehand: what is measured shares its cores with nobody's
    starts."""

    def __init__(self, client: Any, messages: Sequence[Any], vendor: int, dispatcher: int) -> None:
        self._client = client
        self._messages = iter(messages)
        self._vendor = vendor
        self._dispatcher = dispatcher

    def idle(self, seconds: float) -> float:
        """The share of a core that the dispatcher takes with nothing to do, in percent."""
        began = cpu_seconds(self._dispatcher)
        time.sleep(seconds)
        return (cpu_seconds(self._dispatcher) - began) / seconds * 100

    def load(self, what: str, count: int, per_second: float | None = None) -> Phase:
        """So many messages at this rate; without one, as fast as it takes them."""
        messages = list(islice(self._messages, count))
        self._arrivals()
        cpu, began, done = cpu_seconds(self._dispatcher), time.monotonic(), 0
        offered: list[float] = []
        while done < len(messages):
            if per_second is None:
                room = AT_ONCE - self._client.xlen(OUTBOX)
            else:
                room = int((time.monotonic() - began) * per_second) + 1 - done
            pipe = self._client.pipeline(transaction=False)
            for fields in messages[done : done + max(0, room)]:
                pipe.xadd(OUTBOX, fields)
                offered.append(time.monotonic())
            done = len(offered)
            pipe.execute()
            time.sleep(0.002 if per_second is None else STEP_S)
        ended = time.monotonic()
        wait_until(lambda: self._client.xlen(OUTBOX) == 0, "the queue to be empty")
        arrivals = self._arrivals()
        order = sorted(arrivals.values())
        took = [at - began for at, began in zip(order, offered, strict=False)]
        return Phase(
            what,
            len(messages),
            len(arrivals),
            ended - began,
            max(0.0, order[-1] - ended),
            percentile(took, 0.5),
            max(took),
            (cpu_seconds(self._dispatcher) - cpu) / len(arrivals) * 1e6,
        )

    def _arrivals(self) -> dict[str, float]:
        with urlopen(f"http://127.0.0.1:{self._vendor}/", timeout=10) as answer:
            return msgspec.json.decode(answer.read(), type=dict[str, float])


@contextmanager
def offering(folder: Path, messages: int) -> Iterator[Offered]:
    """With so many messages to offer, each of a live verification."""
    keys = f"k1:{codes.new_key()}"
    with inside(folder / "valkey", ("--appendonly", "no"), keys=keys) as place:
        client: Any = place.store.link.client()
        place.fill(messages, settled=False)
        prepared = [fields for _, fields in client.xrange(OUTBOX)]
        client.xtrim(OUTBOX, 0)
        vendor, file = free_port(), folder / "verify.toml"
        file.write_text(_CONFIG.format(port=vendor))
        env = {
            "VERIFY_KEYS": keys,
            "VERIFY_TAG_KEY": codes.new_key(),
            "VERIFY_CONFIG": str(file),
            "VERIFY_REDIS_URL": place.store.link.url,
            "VENDOR_SECRET": f"whsec_{codes.new_key()}",
        }
        with (
            running(folder, "vendor", ["benchmarks.sink", str(vendor)], {}, vendor),
            running(folder, "dispatch", ["verify_service", "dispatch"], env, None) as dispatcher,
        ):
            wait_until(lambda: bool(client.exists("vs:{0}:dispatcher")), "the dispatcher to say that it lives")
            yield Offered(client, prepared, vendor, dispatcher)


def overload(folder: Path, messages: int) -> list[Phase]:
    """At its best, then twice that until all but a few of the messages are offered, and at its best again."""
    few = messages // 10
    with offering(folder, messages) as it:
        it.load("warm", few)
        best = it.load("as many as it takes", few)
        return [best, it.load("twice as many", 7 * few, 2 * best.per_second), it.load("as many as it takes", few)]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--idle", type=float, default=0.0, help="only see for so many seconds what doing nothing takes")
    parser.add_argument("--messages", type=int, default=60_000, help="in all")
    asked = parser.parse_args(argv)
    configure_logs()
    columns = ("phase", "offered", "arrived", "per second", "÷ best", "p50 s", "longest s", "drained in s", "CPU µs")
    table = Table("More than it can send", columns, "CPU is the dispatcher's, for a message.")
    with tempfile.TemporaryDirectory() as folder:
        if asked.idle:
            with offering(Path(folder), 1) as it:
                print(f"A dispatcher with nothing to do takes {it.idle(asked.idle):.2f} % of a core.")
            return
        phases = overload(Path(folder), asked.messages)
    for each in phases:
        of_best = each.per_second / phases[0].per_second
        row = (each.what, each.offered, each.arrived, each.per_second, of_best, each.p50, each.longest)
        table.rows.append((*row, each.drain_s, each.cpu_us))
    print(table.markdown())


if __name__ == "__main__":
    main()
