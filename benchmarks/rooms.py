"""What a dead provider's queue costs the others: `python -m benchmarks.rooms`, or `make bench-rooms`.

One dispatcher, a country whose only provider hangs or errs at once, and thousands of messages that wait for it. Another
country goes by a provider that does well, behind real HTTP: how long do its codes take, against without that queue?
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.delivery import Hour, Mode, Phase
from benchmarks.inside import Inside, a_start, inside
from benchmarks.load import percentile
from benchmarks.report import Table
from benchmarks.traffic import Caller, Callers
from verify_service.telemetry import configure_logs

OUTBOX = "vs:{0}:outbox"
PER_SECOND = 20
READ_WITHIN_S = 60.0
# Countries of the benchmarks' callers by the providers of `Hour`: the United States by a, all others by b.
APART = """
[[routes]]
countries = ["US"]
via = [{ provider = "a" }]
[[routes]]
via = [{ provider = "b" }]
"""


class _Of(Callers):
    """Those callers alone who live in the United States, or outside."""

    def __init__(self, us: bool) -> None:
        super().__init__()
        self._us = us

    def next(self) -> Caller:
        while True:
            caller = super().next()
            if (caller.country == "US") == self._us:
                return caller


@dataclass
class Beside:
    """A load by b beside `queued` messages for a, and `alone`, before them; `read_s`: how long the dispatcher took to
    read those."""

    queued: int
    mode: Mode
    read_s: float
    alone: Phase
    phase: Phase

    @property
    def p99(self) -> float:
        return percentile(self.phase.took, 0.99)


def beside(folder: Path, queued: int, mode: Mode, seconds: float) -> Beside:
    """Queues so many for a, waits until they are read, and measures b."""
    with inside(folder) as place, _one(place, folder) as hour:
        alone = hour.load("warm", PER_SECOND, 2.0)
        hour.carriers["a"].mode = mode
        began = time.monotonic()
        if queued:
            _queue(place, queued)
            client = place.store.link.client()
            while client.xpending(OUTBOX, "dispatch")["pending"] < queued - 1_000:
                if time.monotonic() > began + READ_WITHIN_S:
                    raise TimeoutError("the dispatcher does not read what waits")
                time.sleep(0.02)
        read_s = time.monotonic() - began
        phase = hour.load(f"{queued} for one that {mode}", PER_SECOND, seconds)
        hour.carriers["a"].mode = "well"
        return Beside(queued, mode, read_s, alone, phase)


@contextmanager
def _one(place: Inside, folder: Path) -> Iterator[Hour]:
    place.callers = _Of(us=False)
    hour = _Alone(place, APART)
    with hour.at_work(folder):
        yield hour


class _Alone(Hour):
    """With one dispatcher; a phase is over when its own messages have arrived."""

    dispatchers = ("only",)

    def is_over(self, ids: Any) -> bool:
        return self.have_arrived(ids)


def _queue(place: Inside, count: int) -> None:
    place.service.start("default", a_start(_Of(us=True).next()))
    client = place.store.link.client()
    entries: Any = client.xrevrange(OUTBOX, count=1)
    [(_, fields)] = entries
    with ExitStack() as stack:
        pipe = stack.enter_context(client.pipeline(transaction=False))
        for n in range(count):
            pipe.xadd(OUTBOX, fields)
            if n % 1_000 == 999:
                pipe.execute()
        pipe.execute()


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each phase")
    asked = parser.parse_args(argv)
    configure_logs()
    columns = ("queued for a", "a", "read in s", "messages by b", "arrived", "p50 s", "p99 s", "÷ alone")
    table = Table("Beside a dead provider's queue", columns, "Seconds from a start to the arrival of its code.")
    cases: tuple[tuple[int, Mode], ...] = ((0, "well"), (6_000, "hangs"), (20_000, "hangs"), (6_000, "errs"))
    alone = None
    for n, (queued, mode) in enumerate(cases):
        with tempfile.TemporaryDirectory() as folder:
            found = beside(Path(folder) / str(n), queued, mode, asked.seconds)
        alone = alone or found.p99
        took = found.phase.took
        row = (queued, mode, found.read_s, found.phase.messages, len(took), percentile(took, 0.5), found.p99)
        table.rows.append((*row, found.p99 / alone))
    print(table.markdown())


if __name__ == "__main__":
    main()
