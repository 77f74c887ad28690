"""Counts and money over time, by what they are told by."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args

from verify_service.duration import rfc3339
from verify_service.errors import InvalidRequest
from verify_service.model import Frozen
from verify_service.store import Store
from verify_service.store.counts import COUNTERS

__all__ = ["BY", "COUNTERS", "MONEY", "STEPS", "STEP_MS", "Stats", "Step", "asked", "shown", "stats"]

Step = Literal["minute", "hour", "day"]
STEPS: tuple[Step, ...] = get_args(Step)
BY = ("total", "country", "channel", "provider", "tenant", "rule", "place")
"""What counts are told by. A place is a number without its last four digits; of places and countries, where there are
too many, the busiest are told and `other` is the rest."""
MONEY = ("spend", "saved", "billed")
STEP_MS: Mapping[Step, int] = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_USUAL = 60
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
KEPT_MS: Mapping[Step, int] = {"minute": 86_400_000, "hour": 90 * 86_400_000, "day": 90 * 86_400_000}


class Stats(Frozen, frozen=True):
    """Counts of the steps from `begin` to `end` (milliseconds, whole steps of UTC): `buckets` are their beginnings, and
    `groups` has by name and counter a value for each. Counters that are 0 throughout are left out; money is in
    micro-dollars. Of the starts, `refused` ones are those that were refused; of what `observed` counts, something that
    only watches would have refused them."""

    begin: int
    end: int
    step: Step
    by: str
    buckets: tuple[int, ...]
    groups: Mapping[str, Mapping[str, tuple[int, ...]]]


def asked(said: Mapping[str, str], now: int) -> tuple[int, int, Step, str]:
    """What `stats` is asked by the names and texts of a query: `from`, `to`, `step`, `by`; the last sixty minutes where
    it says nothing. Raises InvalidRequest, also for times whose counts are not kept any more."""
    wrong = [(name, "is no part of the question") for name in said if name not in ("from", "to", "step", "by")]
    if wrong:
        raise InvalidRequest(*wrong[0], wrong[1:])
    step: Step = _one_of("step", said.get("step", "minute"), STEPS)
    end = _time("to", said["to"]) if "to" in said else now
    begin = _time("from", said["from"]) if "from" in said else end - _USUAL * STEP_MS[step]
    if end > now + STEP_MS["day"]:
        raise InvalidRequest("to", "is in the future")
    if begin < now - KEPT_MS[step] - STEP_MS[step]:
        raise InvalidRequest("from", f"is {_kept(step)} ago at the most, where steps are a {step}")
    return begin, end, step, _one_of("by", said.get("by", "total"), BY)


def _one_of(name: str, said: str, known: Sequence[Any]) -> Any:
    if said not in known:
        raise InvalidRequest(name, f"is one of {', '.join(known)}")
    return said


def _time(name: str, said: str) -> int:
    try:
        if not _RFC3339.fullmatch(said):
            raise ValueError
        return round(datetime.fromisoformat(said.upper()).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidRequest(name, "is a time as RFC 3339 has it, such as 2026-11-29T23:00:00Z") from None


def stats(store: Store, begin: int, end: int, step: Step, by: str = "total") -> Stats:
    """What happened from `begin` to `end` (milliseconds), in whole steps that hold them; at most as many as are kept, a
    day of minutes or 90 days of hours or days. Raises InvalidRequest, StoreUnavailable."""
    ms = STEP_MS[_one_of("step", step, STEPS)]
    _one_of("by", by, BY)
    first, last = begin // ms, -(-end // ms)
    if last <= first:
        raise InvalidRequest("to", "is after `from`")
    if (last - first - 1) * ms > KEPT_MS[step]:
        raise InvalidRequest("from", f"is {_kept(step)} before `to` at the most, where steps are a {step}")
    kept: Literal["minute", "hour"] = "minute" if step == "minute" else "hour"
    within = ms // STEP_MS[kept]
    found: dict[str, dict[str, list[int]]] = {}
    for bucket, name, counts in store.counts.read(kept, by, range(first * within, last * within)):
        place, group = bucket // within - first, found.setdefault(name, {})
        for counter, n in zip(COUNTERS, counts, strict=False):
            if n:
                if counter not in group:
                    group[counter] = [0] * (last - first)
                group[counter][place] += n
    groups = {name: {counter: tuple(series) for counter, series in group.items()} for name, group in found.items()}
    return Stats(first * ms, last * ms, step, by, tuple(range(first * ms, last * ms, ms)), groups)


def _kept(step: Step) -> str:
    return "a day" if step == "minute" else "90 days"


def shown(found: Stats) -> dict[str, Any]:
    """As people and programs outside see it: times in RFC 3339, money in dollars, the groups with most starts first."""
    groups = [_group(name, series) for name, series in found.groups.items()]
    return {
        "from": rfc3339(found.begin),
        "to": rfc3339(found.end),
        "step": found.step,
        "by": found.by,
        "buckets": [rfc3339(bucket) for bucket in found.buckets],
        "groups": sorted(groups, key=lambda group: (-group["sums"].get("starts", 0), group["name"])),
    }


def _group(name: str, series: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    sums = {counter: sum(values) for counter, values in series.items()}
    return {
        "name": name,
        "sums": {counter: _told(counter, n) for counter, n in sums.items()},
        "series": {counter: [_told(counter, n) for n in values] for counter, values in series.items()},
    }


def _told(counter: str, n: int) -> float:
    return n / 1_000_000 if counter in MONEY else n
