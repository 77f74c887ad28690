"""What a limit or rule said of one start: as the scripts pack it, as people are shown it, and the words for it."""

from typing import Literal

import msgspec

Word = Literal["pass", "refuse", "observe"]
Evidence = dict[str, str | int | float]
_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1_000))


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """One limit or rule on one start.

    `key` is the pseudonym of what is counted, `count` and `bound` are hits or dollars in the deciding window of
    `window` seconds, `wait` is seconds until it has room.
    """

    name: str
    kind: str
    mode: str
    verdict: Word
    sentence: str
    key: str | None = None
    count: int | float | None = None
    bound: int | float | None = None
    window: int | float | None = None
    wait: int | None = None
    evidence: Evidence = {}


class Judged(msgspec.Struct, frozen=True):
    """A verdict as the scripts pack it; money in micro-dollars, times in milliseconds."""

    name: str
    kind: str
    mode: str
    verdict: Word
    key: str | None = None
    count: int | float | None = None
    bound: int | float | None = None
    window: int | float | None = None
    wait: int | float = 0
    cost: int | float = 1
    evidence: Evidence = {}


def verb(each: Judged, lets: str = "passes") -> str:
    """What it does to the start; `lets` where it lets it pass."""
    return {"pass": lets, "refuse": "refuses", "observe": "would refuse"}[each.verdict]


def of_window(each: Judged, figures: str) -> str:
    """The sentence of one that counts in windows."""
    after = f"; room again in {seconds(each.wait)}" if each.wait else ""
    return f"The {each.kind} `{each.name}` {verb(each, 'has room' if each.bound else 'passes')}: {figures}{after}."


def in_general(each: Judged) -> str:
    """The sentence of a limit, and of a kind that this version does not know."""
    if each.count is None or each.bound is None or each.window is None:
        said = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in each.evidence.items())
        return f"The {each.kind} rule `{each.name}` {verb(each)}{f': {said}' if said else ''}."
    return of_window(each, f"{each.count:.0f} of {each.bound:.0f} within {span(each.window)}")


def seconds(ms: float) -> str:
    """Milliseconds as whole seconds, rounded up."""
    return f"{max(1, -(-int(ms) // 1000))} s"


def span(ms: float) -> str:
    """A window as a person says it: "a day", "10 minutes"."""
    for unit, length in _UNITS:
        if ms >= length and ms % length == 0:
            count = int(ms // length)
            return f"{'an' if unit == 'hour' else 'a'} {unit}" if count == 1 else f"{count} {unit}s"
    return f"{ms / 1000:g} seconds"
