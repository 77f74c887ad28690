"""A run of recorded traffic through one policy, on a scratch store of its own.

Two cores work at once: while the scripts judge one batch, this process reads and prepares the next ones, and sends
them ahead.
"""

import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from verify_service.backtest.record import Event, bad, read
from verify_service.backtest.steps import Asked, Steps
from verify_service.embedded import EmbeddedValkey
from verify_service.policy.sections import Policy
from verify_service.store.answers import start_answer
from verify_service.store.scratch import ScratchStore, Step
from verify_service.store.shapes import Refused

BATCH = 64
"""Events a call: few enough to lie in the socket's buffer while the scripts judge those before them."""
AHEAD = 8
"""Calls under way at once; more would only take memory."""

# Seconds; at the lowest priority, on a machine that has much to do, a start takes long.
_COMES_UP_S = 60.0

_NOT_WAITED_FOR = frozenset({"blocked", "opted-out"})


class Decided(NamedTuple):
    """One start as it was judged: `rule` is what refused it, None where it was admitted; `retry_after` in seconds;
    `observed` are the rules that only watch and would have refused it; `country` and `prefix` are the number's."""

    event: Event
    rule: str | None
    retry_after: int | None
    observed: tuple[str, ...]
    country: str
    prefix: str


class Followed(NamedTuple):
    """What came after a start in the record. `fed`: it could happen here as well, because the start was admitted;
    `taken`: and the check went as in the record."""

    event: Event
    fed: bool
    taken: bool


@contextmanager
def scratch(most_mb: int | None = None) -> Iterator[ScratchStore]:
    """An empty store in memory, of so many MB at most, gone at the end of the block with its folder."""
    extra = () if most_mb is None else ("--maxmemory", f"{most_mb}mb")
    with tempfile.TemporaryDirectory(prefix="verify-backtest-") as folder:
        server = EmbeddedValkey(Path(folder), append_fsync=None, huge_pages=True, extra=extra)
        server.start(_COMES_UP_S)
        try:
            yield ScratchStore(server.url)
        finally:
            server.stop()


def run(
    policy: Policy, events: Path, progress: Callable[[int], None] = lambda _: None, most_mb: int | None = None
) -> Generator[Decided | Followed, None, None]:
    """Every start and check of the file under the policy, in order; `progress` is told the bytes read so far.

    Raises ConfigError for a line that cannot be used, StoreUnavailable where it needs more than `most_mb` of memory.
    """
    with scratch(most_mb) as store:
        under_way: deque[_Batch] = deque()
        ended = _Ended()
        for batch in _batches(Steps(policy, store.verifications), events, progress):
            ended.leave(batch)
            store.send(batch.steps)
            under_way.append(batch)
            if len(under_way) == AHEAD:
                yield from _answers(under_way.popleft(), store.receive(), ended)
        while under_way:
            yield from _answers(under_way.popleft(), store.receive(), ended)


class _Batch:
    """Steps for one call, and what of the record each belongs to: a start refused before the scripts has none."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.entries: list[tuple[Event, Asked | None]] = []

    @property
    def begins(self) -> int:
        return self.entries[0][0].ms

    def add(self, event: Event, steps: Steps) -> None:
        asked = None
        if event.event == "start":
            asked = steps.start(event)
            step = asked.step
        else:
            step = steps.cancel(event) if event.event == "canceled" else steps.check(event)
        self.entries.append((event, asked))
        if step is not None:
            self.steps.append(step)


class _Ended:
    """Live verifications until they end, so that the scratch store can forget them."""

    def __init__(self) -> None:
        self._live: deque[tuple[int, str, str]] = deque()

    def born(self, recorded: str, live: str, expires_at: int) -> None:
        self._live.append((expires_at, recorded, live))

    def leave(self, batch: _Batch) -> None:
        """Has the batch's call forget, last, what ended before it began."""
        gone = []
        while self._live and self._live[0][0] < batch.begins:
            gone.append(self._live.popleft())
        if gone:
            batch.steps.append(Step("forget", "", [entry[1] for entry in gone], [entry[2] for entry in gone]))


def _batches(steps: Steps, path: Path, progress: Callable[[int], None]) -> Iterator[_Batch]:
    batch = _Batch()
    for line in read(path):
        try:
            batch.add(line.event, steps)
        except ValueError as error:
            raise bad(path, line.number, str(error)) from None
        if len(batch.entries) == BATCH:
            progress(line.end)
            yield batch
            batch = _Batch()
    if batch.entries:
        progress(line.end)
        yield batch


def _answers(batch: _Batch, told: list[list[Any]], ended: _Ended) -> Iterator[Decided | Followed]:
    answers = iter(told)
    for event, asked in batch.entries:
        if asked is None:
            kind = next(answers)[0]
            if event.event != "canceled":
                wanted = b"approved" if event.event == "approved" else b"pending"
                yield Followed(event, kind != b"unknown", kind == wanted)
        elif asked.rule is not None:
            yield Decided(event, asked.rule, None, asked.observed, asked.number.country, asked.number.prefix)
        else:
            outcome, seen = start_answer(next(answers))
            observed = tuple(seen) or asked.observed
            where = asked.number.country, asked.number.prefix
            if isinstance(outcome, Refused):
                seconds = None if outcome.kind in _NOT_WAITED_FOR else max(1, -(-outcome.wait // 1000))
                yield Decided(event, outcome.limit or outcome.kind, seconds, observed, *where)
            else:
                if not outcome.resent:
                    ended.born(event.id, outcome.id, outcome.expires_at)
                yield Decided(event, None, None, observed, *where)
