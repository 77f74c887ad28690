"""A policy made ready to judge with: what a request asks once, and then holds on to until it is answered."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from verify_service.codes import Tagger
from verify_service.model import Lane, Number
from verify_service.policy.base import Mode
from verify_service.policy.file import Policy
from verify_service.policy.hits import Hit
from verify_service.policy.limits import Limits
from verify_service.policy.static_rules import Judgment, StaticRules
from verify_service.policy.texts import Texts


class CodeRules(NamedTuple):
    """The policy's code settings as the start script takes them; times in milliseconds."""

    life: int
    checks: int
    sends: int
    cooldown: tuple[int, ...]
    renew: bool


class Assessment(NamedTuple):
    """A start as the policy sees it: the verdicts that need no count, and the hits that the scripts judge. Where
    `judgment.refused` stands, nothing is to be counted."""

    judgment: Judgment
    hits: list[Hit]


# Money is counted by country and tenant, whoever gets the message.
_NOBODY = Number("", "", "", "")


class Rulebook:
    """One revision of the policy with everything that is made from it. Immutable: a new revision is a new object, so
    that no request is judged half by one and half by the other. Revision 0 is a policy that was never pushed."""

    __slots__ = ("_budgets", "_rules", "_texts", "code", "limits", "modes", "policy", "revision", "static_rules")

    def __init__(self, revision: int, policy: Policy, tagger: Tagger) -> None:
        code = policy.code
        self.revision = revision
        self.policy = policy
        self.limits = Limits(policy, tagger)
        self.static_rules = StaticRules(policy)
        rules = [rule for rule in policy.rule if rule.mode != "off"]
        self.modes: dict[str, Mode] = {rule.name: rule.mode for rule in rules}
        # Those that are judged first are read last: the store tells of all in that order.
        ready = [(rule, rule.ready(policy, tagger)) for rule in sorted(rules, key=lambda rule: rule.first)]
        self._rules = [made for _, made in ready]
        self._budgets = {rule.name: made for rule, made in ready if rule.spends}
        self._texts = Texts(policy.factors, tagger)
        self.code = CodeRules(
            code.life.ms, code.checks, code.sends, tuple(wait.ms for wait in code.cooldown), code.resend == "new"
        )

    def judge(
        self, number: Number, tag: str, facts: Mapping[str, str | None], address: str | None, lane: Lane = "real"
    ) -> Assessment:
        """What the policy says of a start before anything is counted, and what is to be counted.

        `tag` is the number's, `facts` are `limits.facts_of` the start; `address` is the user's in clear, None where it
        is not known, as in an export. `lane` is what the start counts.
        """
        judgment = self.static_rules.judge(number, address)
        return Assessment(judgment, self.hits(number, tag, facts, allowed=judgment.allowed, lane=lane))

    def judge_notice(self, number: Number, tag: str, facts: Mapping[str, str | None]) -> Assessment:
        """The same of a notice: it costs money, so budgets count it; detectors do not, since nobody enters a code of
        it."""
        judgment = self.static_rules.judge(number, None)
        hits = self.limits.of_notice(tag, facts, allowed=judgment.allowed)
        for budget in () if judgment.allowed else self._budgets.values():
            hits += budget.hits(number, tag, facts)
        return Assessment(judgment, hits)

    def spending(self, budget: str, facts: Mapping[str, str | None]) -> list[Hit]:
        """What a message of these facts would count in one budget that is not off, to look at. Raises KeyError."""
        return self._budgets[budget].hits(_NOBODY, "", facts)

    def hits(
        self,
        number: Number,
        tag: str,
        facts: Mapping[str, str | None],
        *,
        allowed: bool = False,
        lane: Lane = "real",
    ) -> list[Hit]:
        """What a start counts; where the allow-list names it, by the number's own limits alone. A rule learns from all
        that it judges, so those of the lane `own` have none. Whoever has a factor has it on any list."""
        if lane == "none":
            return []
        hits = self.limits.of_start(tag, facts, allowed=allowed, own=lane == "own")
        for rule in () if allowed or lane == "own" else self._rules:
            hits += rule.hits(number, tag, facts)
        return hits + self._texts.hits(facts)


Rules = Callable[[], Rulebook]
"""Gives the rulebook in force now. Raises StoreUnavailable while none could be read yet."""


def fixed(policy: Policy, tagger: Tagger) -> Rules:
    """The same rulebook for ever: for backtests, benchmarks and tests."""
    book = Rulebook(0, policy, tagger)
    return lambda: book
