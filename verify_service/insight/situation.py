"""Whether something is wrong now, in sentences: what the console's first page begins with."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, Literal, NamedTuple

from verify_service.duration import rfc3339
from verify_service.insight.budgets import Budget
from verify_service.model import Frozen
from verify_service.policy.verdicts import span
from verify_service.store.blocks import Block

State = Literal["quiet", "look", "attack"]
Page = Literal["blocks", "decisions", "delivery", "policy"]

BUDGET_SHARE = 0.8
"""From here on a budget is told of."""
_MOST_PLACES = 3
# Fewer refusals than that say nothing; more are unusual at thrice the usual, where chance would take five deviations.
_LEAST_REFUSED, _TIMES, _DEVIATIONS = 20, 3, 5
# Approvals fall where six tenths of the usual come, of so many messages, and chance would take four deviations.
_LEAST_SENT, _LEAST_SENT_BEFORE, _FALLEN, _FALLEN_DEVIATIONS = 30, 100, 0.6, 4


class Press(NamedTuple):
    """What to press: its words, the page, and what that is asked."""

    words: str
    page: Page
    query: Mapping[str, str] = {}


class Finding(NamedTuple):
    """Something that is so now, and what to press."""

    state: State
    sentence: str
    press: tuple[Press, ...]


class Situation(NamedTuple):
    """The worst of the findings, which come worst first, in words."""

    state: State
    headline: str
    findings: tuple[Finding, ...]


class Picture(Frozen, frozen=True, kw_only=True):
    """What is looked at. `price` is dollars of a message to a place; `recent` are the last quarter of an hour and
    `usual` one as it is at this time, None where that is not known; `hour` and `day` are the last hour and the day
    before it, `rules` the recent refusals by rule; `reasons` are why the service is not ready, `providers` as
    `insight.providers` has them."""

    now: int
    blocks: Sequence[Block] = ()
    price: Callable[[str], float] = lambda _place: 0.0
    recent: Mapping[str, float] = {}
    usual: Mapping[str, float] | None = None
    hour: Mapping[str, float] = {}
    day: Mapping[str, float] = {}
    rules: Mapping[str, float] = {}
    budgets: Sequence[Budget] = ()
    providers: Sequence[Mapping[str, Any]] = ()
    reasons: Sequence[str] = ()


HEADLINES: Mapping[State, str] = {
    "quiet": "Nothing unusual",
    "look": "Something needs a look",
    "attack": "Under attack",
}
_RANK: Mapping[State, int] = {"attack": 0, "look": 1, "quiet": 2}


def situation(seen: Picture) -> Situation:
    """What is wrong, the worst first."""
    found = [*_unready(seen), *_attacked(seen), *_refused(seen), *_fallen(seen), *_providers(seen), *_budgets(seen)]
    found.sort(key=lambda finding: _RANK[finding.state])
    state = found[0].state if found else "quiet"
    return Situation(state, HEADLINES[state], tuple(found))


def saved(block: Block, price: float) -> float:
    """Dollars that a block has saved: the price of what it refused."""
    return block.refused * price


def _unready(seen: Picture) -> list[Finding]:
    press = (Press("See delivery", "delivery"),)
    return [Finding("look", f"The service is not ready: {reason}.", press) for reason in seen.reasons]


def _attacked(seen: Picture) -> list[Finding]:
    """One sentence for the places that are blocked, and one for those that a rule only watches."""
    found = []
    for mode, what in (("enforce", "is blocked"), ("observe", "would be blocked")):
        blocks = sorted((each for each in seen.blocks if each.mode == mode), key=lambda each: -_hit(each))
        if not blocks:
            continue
        watched = mode == "observe"
        told = [_place(each, what, seen) for each in blocks[:_MOST_PLACES]]
        if more := blocks[_MOST_PLACES:]:
            told.append(f"and {_number(len(more), 'more place')} with {_number(sum(map(_hit, more)), 'start')}")
        press = [Press("See the blocks", "blocks")]
        rule = blocks[0].rule
        if watched:
            press.append(Press(f"Let the rule {rule} refuse", "policy"))
        press.append(
            Press("See these starts", "decisions", {"outcome": "observed" if watched else "refused", "rule": rule})
        )
        only = f" The rule {rule} only watches, so nothing is refused." if watched else ""
        found.append(Finding("attack", f"{'; '.join(told)}.{only}", tuple(press)))
    return found


def _hit(block: Block) -> int:
    """The starts that it is about."""
    return block.observed if block.mode == "observe" else block.refused


def _place(block: Block, what: str, seen: Picture) -> str:
    money = _hit(block) * seen.price(block.place)
    if block.mode == "observe":
        figures = f"{_number(block.observed, 'start')} went out that would be refused, about {_money(money)}"
    else:
        figures = f"{_number(block.refused, 'start')} refused, about {_money(money)} saved"
    return f"{block.place}… {what} since {_clock(block.at, seen.now)}: {figures}"


def _refused(seen: Picture) -> list[Finding]:
    """Where more is refused than usual, and no block says why."""
    refused, usual = seen.recent.get("refused", 0), seen.usual
    if usual is None or refused < _LEAST_REFUSED or any(block.mode == "enforce" for block in seen.blocks):
        return []
    before = usual.get("refused", 0)
    if refused <= _TIMES * before or refused - before <= _DEVIATIONS * sqrt(before + 1):
        return []
    rule = max(seen.rules, key=lambda name: (seen.rules[name], name), default="")
    query = {"outcome": "refused"} | ({"rule": rule} if rule else {})
    most = f", most of them by {rule}" if rule else ""
    sentence = (
        f"More is refused than usual: {_number(refused, 'start')} in the last 15 minutes, "
        f"where about {before:,.0f} are usual{most}."
    )
    return [
        Finding("look", sentence, (Press("See these starts", "decisions", query), Press("See the policy", "policy")))
    ]


def _fallen(seen: Picture) -> list[Finding]:
    """Where fewer codes are entered than usual: pumping that nobody blocks yet, or messages that do not arrive."""
    sent, sent_before = seen.hour.get("sent", 0), seen.day.get("sent", 0)
    if sent < _LEAST_SENT or sent_before < _LEAST_SENT_BEFORE:
        return []
    share = min(1.0, seen.day.get("approved", 0) / sent_before)
    expected, approved = sent * share, seen.hour.get("approved", 0)
    if approved >= _FALLEN * expected or expected - approved <= _FALLEN_DEVIATIONS * sqrt(expected * (1 - share)):
        return []
    sentence = (
        f"Fewer codes are entered than usual: {approved / sent:.0%} of the {_number(sent, 'message')} "
        f"of the last hour, where {share:.0%} is usual. Either messages do not arrive, or nobody waits for them."
    )
    return [Finding("look", sentence, (Press("See delivery", "delivery"), Press("See the latest starts", "decisions")))]


def _providers(seen: Picture) -> list[Finding]:
    """Those that have lost weight."""
    return [
        Finding(
            "look",
            f"The provider {each['provider']} gets {each['weight_percent']}% of its share of {each['channel']}"
            f"{': ' + each['reason'] if each['reason'] else ''}.",
            (Press("See delivery", "delivery"),),
        )
        for each in seen.providers
        if each["weight_percent"] < 100
    ]


def _budgets(seen: Picture) -> list[Finding]:
    """Those that are nearly spent."""
    found = []
    for each in seen.budgets:
        if each.share < BUDGET_SHARE:
            continue
        whose = " and ".join(filter(None, (each.country, each.tenant)))
        figures = f"{_money(each.used)} of {_money(each.most)} within {span(each.window)}"
        if each.frees_at:
            then = _clock(each.frees_at, seen.now)
            refuses = "refuses" if each.mode == "enforce" else "would refuse"
            sentence = f"The budget {each.name} of {whose} is spent, {figures}: it {refuses} starts until {then}."
        else:
            sentence = f"The budget {each.name} of {whose} is nearly spent: {figures}."
        query = {"outcome": "refused" if each.mode == "enforce" else "observed", "rule": each.name}
        found.append(
            Finding(
                "look", sentence, (Press("Change the budget", "policy"), Press("See its starts", "decisions", query))
            )
        )
    return found


def _clock(at: int, now: int) -> str:
    """The time of the day, with its date where that is another."""
    said, today = rfc3339(at), rfc3339(now)[:10]
    return f"{said[11:16]} UTC" if said[:10] == today else f"{said[:10]} {said[11:16]} UTC"


def _number(count: float, noun: str) -> str:
    return f"{count:,.0f} {noun}{'' if count == 1 else 's'}"


def _money(amount: float) -> str:
    return f"${amount:,.0f}" if amount >= 10 else f"${amount:,.2f}"
