"""More messages than one dispatcher can send: `python -m benchmarks.overload`, or `make bench-overload`; five minutes.

A dispatcher with a vendor at the end of real HTTP connections, in processes of their own. First it gets as much as it
takes, then twice that for two minutes: how many does it send meanwhile, is any lost, and how soon is it as before?
"""

import argparse
import itertools
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
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
AT_ONCE = 400
STEP_S = 0.02
PARTS = 12
# So many verifications, each of which gets its message again and again: to make as many as are offered would outlast
# their codes.
VERIFICATIONS = 5_000
_CONFIG = '[providers.vendor]\nkind = "webhook"\nurl = "http://127.0.0.1:{port}/"\nsecret = "env:VENDOR_SECRET"\n'


@dataclass
class Phase:
    """What was offered and what arrived. `seconds` until all was offered, `queue` what waited then, `drain_s` until the
    last one had arrived; `took` is how long each was on its way; `rates` those of arrivals a second in equal parts of
    the time; `cpu_us` the dispatcher's processor time for each message."""

    what: str
    offered: int
    arrived: int
    again: int
    seconds: float
    queue: int
    drain_s: float
    took: list[float]
    rates: Sequence[float]
    cpu_us: float

    @property
    def per_second(self) -> float:
        """While messages were offered."""
        return sum(self.rates) / len(self.rates)


class Offered:
    """A dispatcher and its vendor, and messages made beforehand: what is measured shares its cores with nobody's
    starts."""

    def __init__(self, client: Any, messages: Sequence[Any], vendor: int, dispatcher: int) -> None:
        self._client = client
        self._messages = itertools.cycle(messages)
        self._vendor = vendor
        self._dispatcher = dispatcher

    def load(self, what: str, most: int | None, seconds: float = 300.0, per_second: float | None = None) -> Phase:
        """So many messages, or for so long, at this rate; without one, as fast as it takes them."""
        self._sends()
        cpu, began = cpu_seconds(self._dispatcher), time.monotonic()
        offered: dict[str, float] = {}
        while (most is None or len(offered) < most) and time.monotonic() < began + seconds:
            if per_second is None:
                room = AT_ONCE - self._client.xlen(OUTBOX)
            else:
                room = int((time.monotonic() - began) * per_second) + 1 - len(offered)
            self._offer(offered, room if most is None else min(room, most - len(offered)))
            time.sleep(0.002 if per_second is None else STEP_S)
        ended, queue = time.monotonic(), self._client.xlen(OUTBOX)
        wait_until(lambda: self._client.xlen(OUTBOX) == 0, "the queue to be empty")
        used = cpu_seconds(self._dispatcher) - cpu
        sends = self._sends()
        came = dict(reversed(sends))  # When each came first.
        part = (ended - began) / PARTS
        parts = Counter(int((at - began) / part) for at in came.values())
        return Phase(
            what,
            len(offered),
            len(offered.keys() & came.keys()),
            len(sends) - len(came),
            ended - began,
            queue,
            max(0.0, max(came.values()) - ended),
            [came[each] - at for each, at in offered.items() if each in came],
            [parts[n] / part for n in range(PARTS)],
            used / len(sends) * 1e6,
        )

    def _offer(self, offered: dict[str, float], count: int) -> None:
        messages = list(itertools.islice(self._messages, max(0, count)))
        pipe = self._client.pipeline(transaction=False)
        for fields in messages:
            pipe.xadd(OUTBOX, fields)
        at = time.monotonic()
        for fields, place in zip(messages, pipe.execute(), strict=True):
            offered[f"{fields[b'id'].decode()}.{place.decode()}"] = at

    def _sends(self) -> list[tuple[str, float]]:
        with urlopen(f"http://127.0.0.1:{self._vendor}/sends", timeout=30) as answer:
            return msgspec.json.decode(answer.read(), type=list[tuple[str, float]])


@contextmanager
def offering(folder: Path, verifications: int) -> Iterator[Offered]:
    """With the messages of so many live verifications to offer."""
    keys = f"k1:{codes.new_key()}"
    with inside(folder / "valkey", ("--appendonly", "no"), keys=keys) as place:
        client: Any = place.store.link.client()
        place.fill(verifications, settled=False)
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


def overload(folder: Path, few: int, many: int | None, seconds: float = 300.0) -> list[Phase]:
    """A few messages at its best, then twice that rate until so many are offered or the time is over, and a few at its
    best again."""
    with offering(folder, min(few, VERIFICATIONS)) as it:
        it.load("warm", few)
        best = it.load("as many as it takes", few)
        twice = it.load("twice as many", many, seconds, 2 * best.per_second)
        return [best, twice, it.load("as many as it takes", few)]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=120.0, help="of twice as many (%(default)s)")
    parser.add_argument("--few", type=int, default=10_000, help="messages at its best (%(default)s)")
    asked = parser.parse_args(argv)
    configure_logs()
    with tempfile.TemporaryDirectory() as folder:
        phases = overload(Path(folder), asked.few, None, asked.seconds)
    best = phases[0]
    columns = (
        "phase", "offered", "lost", "sent twice", "s", "per second", "÷ best", "lowest part", "highest", "p50 s",
        "longest s", "queue", "drained in s", "÷ queue at best", "CPU µs", "÷ best",
    )  # fmt: skip
    table = Table(
        "More than it can send",
        columns,
        f"Per second while messages were offered, and in {PARTS} equal parts of that; CPU is the dispatcher's, for a "
        "message. Drained against what the queue would take at its best.",
    )
    for each in phases:
        rates = (each.per_second, each.per_second / best.per_second, min(each.rates), max(each.rates))
        own = each.drain_s * best.per_second / each.queue if each.queue else 0.0
        waits = (percentile(each.took, 0.5), max(each.took), each.queue, each.drain_s, own)
        counts = (each.offered, each.offered - each.arrived, each.again, each.seconds)
        table.rows.append((each.what, *counts, *rates, *waits, each.cpu_us, each.cpu_us / best.cpu_us))
    print(table.markdown())
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
