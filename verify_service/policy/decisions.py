"""Decisions: what each limit and rule said of one start, with its figures and one English sentence each."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from verify_service.policy import statics, watches
from verify_service.policy.budgets import MICRO
from verify_service.policy.statics import StaticVerdict, Word

REFUSALS = frozenset({"opted-out", "unreachable", "cooldown", "sends-exhausted", "checks-exhausted"})
"""What refuses without a limit or a rule of the policy."""
_MONEY = frozenset({"usual", "at_least"})
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
    evidence: dict[str, str | int | float] = {}


class Decision(msgspec.Struct, frozen=True):
    """One decision on a start (or a check): what decided, under which revision of the policy, and everything judged.

    `unjudged` are limits and rules that were not asked: what needs no count had refused already, or they decide nothing
    and their part of the store was silent. `id` is None where nothing was decided but only explained. `count` requests
    share the record, of which it shows the first; `last_at` is the time of the last. Times are milliseconds since the
    epoch.
    """

    id: str | None
    at: int
    revision: int
    decision: Literal["admit", "refuse"]
    by: str | None
    sentence: str
    judged: tuple[Verdict, ...]
    unjudged: tuple[str, ...] = ()
    count: int = 1
    last_at: int = 0


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
    evidence: dict[str, str | int | float] = {}


def decision(
    *,
    id: str | None,
    at: int,
    revision: int,
    by: str | None,
    wait: float,
    static: Iterable[StaticVerdict],
    judged: Iterable[Judged],
    unjudged: tuple[str, ...] = (),
    count: int = 1,
    last_at: int | None = None,
) -> Decision:
    """A decision from what was judged; `by` is the limit, rule or circumstance that refused, `wait` in milliseconds.
    `last_at` is `at` where it is left out."""
    verdicts = [_of_static(each) for each in static]
    if by in REFUSALS:
        verdicts.append(_of_circumstance(by, wait))
    verdicts += [_of_judged(each) for each in judged]
    deciding = next((each for each in verdicts if each.name == by and each.verdict == "refuse"), None)
    if by is None:
        would = sum(each.verdict == "observe" for each in verdicts)
        watched = f" {would} in observe mode would have refused it." if would else ""
        sentence = f"Every limit and rule in force lets this start pass.{watched}"
    else:
        sentence = deciding.sentence if deciding else f"`{by}` refuses."
    word: Literal["admit", "refuse"] = "admit" if by is None else "refuse"
    last = at if last_at is None else last_at
    return Decision(id, at, revision, word, by, sentence, tuple(verdicts), unjudged, count, last)


def _of_static(each: StaticVerdict) -> Verdict:
    said = statics.sentence(each.name, each.verdict, each.evidence)
    evidence: dict[str, str | int | float] = {**each.evidence}
    return Verdict(each.name, each.kind, each.mode, each.verdict, said, evidence=evidence)


def _of_circumstance(name: str, wait: float) -> Verdict:
    said = {
        "opted-out": "The number's owner asked for no more messages.",
        "unreachable": f"A carrier says that messages never arrive at this number; again in {seconds(wait)}.",
        "cooldown": f"A message went out a moment ago; the next one may be asked for in {seconds(wait)}.",
        "sends-exhausted": f"The pending verification has sent all its messages; it ends in {seconds(wait)}.",
        "checks-exhausted": "Too many wrong codes were tried.",
    }[name]
    return Verdict(name, "circumstance", "enforce", "refuse", said, wait=-(-int(wait) // 1000))


def _of_judged(each: Judged) -> Verdict:
    money = each.kind == "budget"
    return Verdict(
        each.name,
        each.kind,
        each.mode,
        each.verdict,
        _sentence(each),
        key=each.key,
        count=each.count / MICRO if money and each.count is not None else each.count,
        bound=each.bound / MICRO if money and each.bound is not None else each.bound,
        window=None if each.window is None else each.window / 1000,
        wait=-(-int(each.wait) // 1000) if each.wait else None,
        evidence=_in_dollars(each.evidence),
    )


def _sentence(each: Judged) -> str:
    if each.kind == "pumping":
        return watches.sentence(each.name, _verb(each), each.key, each.evidence, each.wait)
    if each.count is None or each.bound is None or each.window is None:
        said = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in each.evidence.items())
        return f"The {each.kind} rule `{each.name}` {_verb(each)}{f': {said}' if said else ''}."
    window = span(each.window)
    if each.kind == "budget":
        figures = f"${each.count / MICRO:,.2f} of ${each.bound / MICRO:,.2f} spent within {window}{_usual(each)}"
        figures += f", and the message costs ${each.cost / MICRO:.4f}"
    else:
        figures = f"{each.count:.0f} of {each.bound:.0f} within {window}"
    after = f"; room again in {seconds(each.wait)}" if each.wait else ""
    return f"The {each.kind} `{each.name}` {_verb(each)}: {figures}{after}."


def _in_dollars(evidence: Mapping[str, str | int | float]) -> dict[str, str | int | float]:
    return {name: float(value) / MICRO if name in _MONEY else value for name, value in evidence.items()}


def _usual(each: Judged) -> str:
    """Where a budget's bound comes from, if it goes by what is usual."""
    if not each.evidence:
        return ""
    if each.evidence["learning"]:
        return " (what is usual is known after two days)"
    figures = {name: float(value) for name, value in _in_dollars(each.evidence).items()}
    by_usual = figures["times_usual"] * figures["usual"]
    by_all = figures["share_of_all"] * figures["messages_in_all"] * each.cost / MICRO
    if max(figures["at_least"], by_usual, by_all) > (each.bound or 0) / MICRO + 0.01:
        return ""
    said = f"${figures['at_least']:,.2f} and {figures['times_usual']:g} times the usual ${figures['usual']:,.2f}"
    if by_all:
        said += f" and {figures['share_of_all']:.0%} of the {figures['messages_in_all']:,.0f} messages usual in all"
    return f", the largest of {said}"


def _verb(each: Judged) -> str:
    lets = "has room" if each.bound and each.kind != "pumping" else "passes"
    return {"pass": lets, "refuse": "refuses", "observe": "would refuse"}[each.verdict]


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
