"""Decisions: what each limit and rule said of one start, with its figures and one English sentence each."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from verify_service.policy import kinds, static_rules, texts
from verify_service.policy.static_rules import StaticVerdict
from verify_service.policy.verdicts import Judged, Verdict, seconds

REFUSALS = frozenset({"opted-out", "unreachable", "cooldown", "sends-exhausted", "checks-exhausted"})
"""What refuses without a limit or a rule of the policy."""


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
    what: str = "start",
) -> Decision:
    """A decision from what was judged; `by` is the limit, rule or circumstance that refused, `wait` in milliseconds.
    `last_at` is `at` where it is left out, `what` is called what was judged."""
    verdicts = [_of_static(each) for each in static]
    if by in REFUSALS:
        verdicts.append(_of_circumstance(by, wait))
    verdicts += [_of_judged(each) for each in judged]
    deciding = next((each for each in verdicts if each.name == by and each.verdict == "refuse"), None)
    if by is None:
        would = sum(each.verdict == "observe" for each in verdicts)
        watched = f" {would} in observe mode would have refused it." if would else ""
        sentence = f"Every limit and rule in force lets this {what} pass.{watched}"
    else:
        sentence = deciding.sentence if deciding else f"`{by}` refuses."
    word: Literal["admit", "refuse"] = "admit" if by is None else "refuse"
    last = at if last_at is None else last_at
    return Decision(id, at, revision, word, by, sentence, tuple(verdicts), unjudged, count, last)


def _of_static(each: StaticVerdict) -> Verdict:
    said = static_rules.sentence(each.name, each.verdict, each.evidence)
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
    shown = kinds.shown(each)
    return Verdict(
        each.name,
        each.kind,
        each.mode,
        each.verdict,
        texts.sentence(each) if each.kind == texts.NAME else kinds.sentence(each),
        key=each.key,
        count=shown.count,
        bound=shown.bound,
        window=None if each.window is None else each.window / 1000,
        wait=-(-int(each.wait) // 1000) if each.wait else None,
        evidence=shown.evidence,
    )
