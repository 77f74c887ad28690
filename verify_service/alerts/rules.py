"""What the team is told of: each rule looks at what the store knows already, by a few reads."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from verify_service.alerting import RuleName
from verify_service.alerts.chain import Chain
from verify_service.alerts.trends import EVERYWHERE, Trend, Trends
from verify_service.config import Config
from verify_service.insight import blocks
from verify_service.insight.budgets import Budget, budgets
from verify_service.policy.rulebook import Rules
from verify_service.policy.verdicts import span
from verify_service.store import Store
from verify_service.store.alert_layouts import Finding
from verify_service.store.blocks import Block
from verify_service.store.health import State
from verify_service.store.policies import Policies

# A provider that nobody else stands in for keeps its weight, however many tries in a row fail.
_FAILING = 10
_BACK = 50  # percent of its weight
_LEAST = 8  # messages whose receipts are known
_ROUNDS_MS = 30_000
_RECEIPTS_MS = 120_000
# Of a day that is known well enough to say what is usual; and of half an hour.
_KNOWN = 200
_MESSAGES = 30
_STORM = 50
# An open incident ends only well below what opens one.
_BELOW = 0.05


class Look(NamedTuple):
    """What a rule may look at."""

    store: Store
    config: Config
    rules: Rules
    policies: Policies
    trends: Trends
    chain: Chain
    now: int


def attack(look: Look) -> Iterator[Finding]:
    """By country: a detector's block is live, also one of a rule that only watches; or far more starts are refused than
    usual."""
    found: defaultdict[str, list[Block]] = defaultdict(list)
    for block in blocks.live(look.store, look.rules, look.now):
        found[block.country].append(block)
    times, trends = look.config.alerts.refusals_times, look.trends.at(look.now)
    stormy = {
        country: trend
        for country, trend in trends.items()
        if country != EVERYWHERE and trend.day.starts >= _KNOWN and trend.lately.refused >= _STORM / 2
        if trend.lately.refused >= times / 2 * trend.usually_refused
    }
    for country in found.keys() | stormy.keys():
        live, trend = found.get(country, []), stormy.get(country, Trend())
        refused = trend.lately.refused
        is_storm = refused >= _STORM and refused >= times * trend.usually_refused
        figures: dict[str, int | float] = {}
        said = []
        if live:
            said.append(_of_blocks(live, figures))
        if is_storm or not live:
            said.append(
                f"{_starts(refused)} refused there in half an hour, where {trend.usually_refused:,.0f} are usual."
            )
            figures |= {"refused_lately": refused, "usually_refused": round(trend.usually_refused, 1)}
        page = "/blocks" if live else "/decisions"
        yield Finding("attack", country, page, " ".join(said), figures, not (live or is_storm))


def _of_blocks(live: Sequence[Block], figures: dict[str, int | float]) -> str:
    enforced = [block for block in live if block.mode == "enforce"]
    refused, observed = sum(block.refused for block in live), sum(block.observed for block in live)
    figures |= {"blocks": len(live), "enforced": len(enforced), "refused": refused, "observed": observed}
    if enforced:
        return f"{_count(len(enforced), 'place is', 'places are')} blocked there, {_starts(refused)} refused so far."
    return (
        f"{_count(len(live), 'place is', 'places are')} under attack there and not blocked, because the rule "
        f"only watches: {_starts(observed)} let through that it would have refused."
    )


def budget(look: Look) -> Iterator[Finding]:
    """By sum of a budget: so large a share of it is spent."""
    least = look.config.alerts.budget_share
    for each in budgets(look.store, look.rules, list(look.config.tenants), look.now):
        if each.share >= least - _BELOW:
            yield _of_budget(each, keeps=each.share < least)


def _of_budget(each: Budget, *, keeps: bool) -> Finding:
    of = " and ".join(part for part in (each.country, each.tenant) if part)
    said = f"${each.used:,.2f} of ${each.most:,.2f} spent within {span(each.window)}"
    after = "; nothing more fits" if each.frees_at and each.mode == "enforce" else ""
    watches = "; the rule only watches" if each.mode != "enforce" else ""
    figures = {"used": round(each.used, 4), "most": round(each.most, 4), "share": round(each.share, 3)}
    place = "/".join(part for part in (each.name, each.country, each.tenant) if part)
    return Finding("budget", place, "/", f"The budget {each.name} for {of}: {said}{after}{watches}.", figures, keeps)


def provider_down(look: Look) -> Iterator[Finding]:
    """By provider and channel: it has lost all of its weight, or, where no other stands in, all tries fail."""
    for name, state in _in_use(look):
        provider, channel = name.split("/")
        down, failing = not state.factor, state.failing >= _FAILING
        if down or failing or state.factor < _BACK:
            said = f"has lost all of its weight for {channel}" if down else f"has {state.factor} % of its weight"
            if failing and not down:
                said = f"fails for {channel}, and no other does better: {state.failing:.0f} tries in a row failed"
            why = f": {state.reason}" if state.reason and (down or not failing) else ""
            figures = {"weight_percent": state.factor, "failing": round(state.failing)}
            yield Finding(
                "provider-down",
                name,
                "/delivery",
                f"{provider} {said}{why}.",
                figures,
                not (down or failing),
                _ROUNDS_MS,
            )


def receipts_missing(look: Look) -> Iterator[Finding]:
    """By provider and channel whose receipts come as a rule: too few of them do."""
    least = look.config.alerts.receipts_share
    for name, state in _in_use(look):
        known = state.came + state.missing
        share = state.came / known if known else 1.0
        if known >= 1 and share < least + _BELOW:
            provider, channel = name.split("/")
            said = (
                f"Of {provider}'s receipts for {channel}, {share:.0%} come, where {max(0, state.usual):.0%} are usual."
            )
            keeps = known < _LEAST or share >= least or state.usual < least
            figures = {"share": round(share, 3), "usual": round(state.usual, 3)}
            yield Finding("receipts-missing", name, "/delivery", said, figures, keeps, _RECEIPTS_MS)


def approvals_falling(look: Look) -> Iterator[Finding]:
    """Everywhere, or by country where that is not so: a much smaller share of what is sent is approved than usual."""
    share, trends = look.config.alerts.approvals_share, look.trends.at(look.now)
    everywhere = _falls(trends[EVERYWHERE], share)
    for country, trend in trends.items():
        if _falls(trend, share + 2 * _BELOW):
            lately, usual = trend.lately, trend.day.approved / trend.day.sent
            now = f"{lately.approved / lately.sent:.0%} are approved, where {usual:.0%} are usual"
            where = f"to {country}" if country else "to all countries"
            said = f"Of the {lately.sent:,} messages {where} in half an hour, {now}."
            figures = {"sent": lately.sent, "approved": lately.approved, "usual": round(usual, 3)}
            keeps = not _falls(trend, share) or (country != EVERYWHERE and everywhere)
            yield Finding("approvals-falling", country, "/", said, figures, keeps)


def _falls(trend: Trend, share: float) -> bool:
    """Whether approvals are below a share of what is usual, and by more than chance: four standard deviations."""
    lately, day = trend.lately, trend.day
    if lately.sent < _MESSAGES or day.sent < _KNOWN or not day.approved:
        return False
    usual = min(1.0, day.approved / day.sent)
    expected = lately.sent * usual
    chance = 4 * math.sqrt(expected * (1 - usual))
    return lately.approved < share * expected and lately.approved < expected - chance


def policy_refused(look: Look) -> Iterator[Finding]:
    """A process keeps an old revision, because it cannot use the newest one; or a push was refused."""
    newest = look.policies.newest()
    passed = look.policies.passed_over()
    if passed and passed.revision == newest:
        said = (
            f"A process cannot use revision {newest} of the policy and judges by revision {passed.in_force}. "
            "Its log says so."
        )
        figures = {"revision": newest, "in_force": passed.in_force}
        yield Finding("policy-refused", "process", "/policy", said, figures)
    if look.policies.was_refused(look.now):
        said = f"A push was refused, because its text cannot be used. Revision {newest} stays in force."
        yield Finding("policy-refused", "push", "/policy", said, {"revision": newest})


def audit_broken(look: Look) -> Iterator[Finding]:
    """The audit log is not what was written, or not all of it."""
    found = look.chain.at(look.now)
    if found.faults:
        more = f", and {len(found.faults) - 1} more" if len(found.faults) > 1 else ""
        said = f"The audit log is not whole: {found.faults[0]}{more}."
        yield Finding("audit-broken", "", "/audit", said, {"faults": len(found.faults), "entries": found.entries})


RULES: Mapping[RuleName, Callable[[Look], Iterator[Finding]]] = {
    "attack": attack,
    "budget": budget,
    "provider-down": provider_down,
    "receipts-missing": receipts_missing,
    "approvals-falling": approvals_falling,
    "policy-refused": policy_refused,
    "audit-broken": audit_broken,
}


def _in_use(look: Look) -> Iterator[tuple[str, State]]:
    """The state of each `<provider>/<channel>` that a route has."""
    routed = {f"{via.provider}/{route.channel}" for route in look.config.routes for via in route.via}
    for name, state in look.store.health.states().items():
        if name in routed:
            yield name, state


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _starts(number: int) -> str:
    return _count(number, "start was", "starts were")
