"""What runs a backtest beside the live service: `python -m verify_service.backtest.worker PARENT FOLDER`, a job on
standard input. Bounded in time, events and memory, and it says where it was cut."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec

from verify_service.backtest.record import JUDGED
from verify_service.backtest.runner import run
from verify_service.backtest.tally import Tally, changed
from verify_service.duration import rfc3339
from verify_service.embedded import EmbeddedStoreError
from verify_service.errors import StoreUnavailable
from verify_service.policy.file import parse
from verify_service.process import die_with_parent
from verify_service.store.backtests import Job, tell
from verify_service.store.connection import Link
from verify_service.store.events import Events

MOST_S = 600
"""How long one may take: on a machine without a free moment it gets none."""
MOST_EVENTS = 500_000
MOST_MB = 512
"""Memory of each of the two stores that it judges on."""
MOST_GROUPS = 50
"""Countries and prefixes that a result names; the rest together."""
_PAGE = 100
"""Events asked of the live store at once: about as much of its time as a start takes."""
_SAY_S = 0.5


class _Stop(Exception):
    """It was canceled, or its parent is gone."""


def main(parent: int, folder: str) -> None:
    """Runs the job with all its files in the folder; how it went is in the store.

    Ends when its parent does, and then removes the folder, which else its parent does.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    die_with_parent()
    tempfile.tempdir = folder
    try:
        if os.getppid() == parent:  # Else it ended before this one could ask to be told.
            _run(msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Job), parent)
    finally:
        if os.getppid() != parent:
            shutil.rmtree(folder, ignore_errors=True)


def _run(job: Job, parent: int) -> None:
    link = Link(job.url)
    with suppress(_Stop), tempfile.TemporaryDirectory(prefix="record-") as folder:
        try:
            result = judge(job, link, Path(folder) / "events.jsonl", _Teller(link, job.id, parent))
            _at_last(link, job.id, state="done", result=msgspec.json.encode(result))
        except (StoreUnavailable, EmbeddedStoreError) as error:
            _at_last(link, job.id, state="failed", why=str(error))


def judge(job: Job, link: Link, path: Path, say: Callable[..., None], seconds: float = MOST_S) -> dict[str, Any]:
    """The result: the figures of both policies, what changes, for whom, and what cannot be known.

    `say` is told how far it is, and raises where it is to stop. Raises StoreUnavailable where the live store's events
    cannot be read.
    """
    began = time.monotonic()
    events, until = _record(job, link, path, say, began + seconds / 3)
    cut = "events" if until else None
    new, old = Tally("proposed", parse(job.proposed, "policy")), Tally("in force", parse(job.against, "policy"))
    judged = 0
    # Side by side, so that wherever it is cut both have judged the same starts.
    with (
        closing(run(new.policy, path, most_mb=MOST_MB)) as proposed,
        closing(run(old.policy, path, most_mb=MOST_MB)) as against,
    ):
        try:
            for each, other in zip(proposed, against, strict=True):
                new.add(each)
                old.add(other)
                judged += 1
                say(events=events, judged=judged)
                if time.monotonic() > began + seconds and judged < events:
                    cut, until = "time", each.event.ms
                    break
        except StoreUnavailable:
            if not new.until:
                raise
            cut, until = "memory", round(new.until * 1000)
    end = until or job.until
    new.until = old.until = end / 1000
    changes = changed(new, old)
    changes["whom"] = {by: _most(groups, by) for by, groups in changes["whom"].items()}
    return {
        "from": rfc3339(job.since),
        "to": rfc3339(end),
        "cut": cut,
        "events": judged,
        "proposed": new.summary(),
        "in_force": old.summary(),
        "changed": changes,
        "unknown": new.unknown(),
    }


def _record(job: Job, link: Link, path: Path, say: Callable[..., None], deadline: float) -> tuple[int, int | None]:
    """Writes the events down, for nobody else to read: how many, and when it was cut, None where it is whole."""
    count = 0
    encode = msgspec.json.Encoder().encode
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for event in Events(link).read(job.since, page=_PAGE):
            say(events=0, judged=0)
            at = round(event["at"] * 1000)
            if at > job.until:
                break
            if event["event"] not in JUDGED:
                continue
            if count == MOST_EVENTS or time.monotonic() > deadline:
                return count, at
            file.write(encode(event) + b"\n")
            count += event["event"] != "canceled"
    return count, None


def _most(groups: dict[str, dict[str, Any]], by: str) -> dict[str, dict[str, Any]]:
    """The groups with most starts, and the others together; all hours, in their order."""
    if by == "hour":
        return dict(sorted(groups.items()))
    rows = list(groups.items())
    most, rest = dict(rows[:MOST_GROUPS]), [each for _, each in rows[MOST_GROUPS:]]
    if rest:
        most["others"] = {name: round(sum(each[name] for each in rest), 4) for name in rest[0]}
    return most


class _Teller:
    """Says how far it is, now and then. Raises `_Stop` where it is to stop."""

    def __init__(self, link: Link, id: str, parent: int) -> None:
        self._link = link
        self._id = id
        self._parent = parent
        self._said = 0.0

    def __call__(self, **said: int) -> None:
        if time.monotonic() - self._said < _SAY_S:
            return
        self._said = time.monotonic()
        if os.getppid() != self._parent:
            raise _Stop
        with suppress(StoreUnavailable):  # Its parent keeps the lease; what is not told now is told next time.
            if not tell(self._link, self._id, **said):
                raise _Stop


def _at_last(link: Link, id: str, **said: str | bytes) -> None:
    for _ in range(20):
        with suppress(StoreUnavailable):
            tell(link, id, **said)
            return
        time.sleep(_SAY_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
