"""Money budgets: a rule that counts what messages cost in place of messages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import limits
import msgspec
from msgspec import Meta

from verify_service.packing import Array
from verify_service.policy import bounds
from verify_service.policy.base import DAY_MS, MICRO, micro
from verify_service.policy.bounds import MOST_ALLOW
from verify_service.policy.hits import Hit, values
from verify_service.policy.rule import Ready, Rule
from verify_service.policy.specs import Window
from verify_service.policy.verdicts import Judged, of_window, span

if TYPE_CHECKING:
    from verify_service.codes import Tagger
    from verify_service.model import Number
    from verify_service.policy.sections import Policy

_AMOUNT = re.compile(r"\$\s*(\d{1,9}(?:\.\d{1,6})?)\s*(?:/|per)\s*(.+)", re.DOTALL)
_LEAST = 1_000  # Micro-dollars: below it, a window would be a count and no sum.
_MONEY = frozenset({"usual", "at_least"})


class ByUsual(Array, frozen=True):
    """How a budget's day goes by what is usual: `at_least` is micro-dollars, `tenant` what follows the name in the key
    of what is usual in all, where the budget goes by tenant."""

    times: float
    share_of_all: float
    at_least: int
    tenant: str


class BudgetSpec(Array, frozen=True):
    """A budget and what the message costs, in micro-dollars."""

    name: str
    enforced: bool
    windows: Sequence[Window]
    cost: int
    by_usual: ByUsual | None = None


class Budget(Rule, frozen=True, kw_only=True, tag="budget"):
    """What may be spent on messages: by country, by tenant, or by both.

    `allow` is the most, whatever is usual; `times_usual` bounds the day by the key's own past as well.
    """

    of: Annotated[
        tuple[Literal["country", "tenant"], ...],
        Meta(min_length=1, max_length=2, description="What is summed up together."),
    ]
    allow: Annotated[
        str,
        Meta(max_length=MOST_ALLOW, description='Dollars per window, up to 8 with ;, such as "$40/day; $10/hour".'),
    ]
    times_usual: Annotated[
        Annotated[float, Meta(ge=1, le=1000)] | None,
        Meta(description="A day costs at most so many times what it usually does."),
    ] = None
    share_of_all: Annotated[
        Annotated[float, Meta(ge=0, le=100)] | None,
        Meta(description="Or, in messages, such a share of a usual day in all countries, if that is more."),
    ] = None
    at_least: Annotated[
        Annotated[float, Meta(gt=0, le=1e8)] | None, Meta(description="Or so many dollars, if that is more.")
    ] = None
    spends: ClassVar[bool] = True
    layouts = (ByUsual, BudgetSpec)

    @property
    def relative(self) -> tuple[float, float, int] | None:
        """(times_usual, share_of_all, at_least in micro-dollars) where the budget goes by what is usual, else None."""
        if self.times_usual is None:
            return None
        return self.times_usual, self.share_of_all or 0.0, micro(self.at_least or 0.0)

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """(micro-dollars, milliseconds) of each window. Raises ValueError where `allow` cannot be read."""
        return tuple(_window(part) for part in self.allow.split(";"))

    def problems(self, at: str, policy: Policy) -> Iterator[str]:
        try:
            windows = self.windows
        except (ValueError, OverflowError):
            yield f'{at}.allow: {self.allow!r} is not dollars per window, such as "$40/day; $10/hour"'
            return
        if any(amount < 1 or ms > 31 * DAY_MS for amount, ms in windows):
            yield f"{at}.allow: each window allows more than $0 and lasts at most 31 days"
        yield from bounds.windows(at, windows)
        if len(set(self.of)) != len(self.of):
            yield f"{at}.of: a dimension stands twice"
        cheapest = min((*policy.prices.values(), policy.default_price))
        if any(amount < max(cheapest * MICRO, _LEAST) for amount, _ in windows):
            yield f"{at}.allow: the cheapest message costs ${cheapest:g} by [prices], more than a whole window"
        yield from self._usual_problems(at, policy)

    def _usual_problems(self, at: str, policy: Policy) -> Iterator[str]:
        if self.times_usual is None:
            for key in ("share_of_all", "at_least"):
                if getattr(self, key) is not None:
                    yield f"{at}.{key}: says nothing without times_usual; add it, or remove this"
            return
        if self.share_of_all is not None and "country" not in self.of:
            yield f'{at}.share_of_all: is a country\'s share of all countries; add "country" to `of`, or remove it'
        if (self.share_of_all or 0) > 1:
            yield f"{at}.share_of_all: is a part of all messages, 1 at most; 40 % is 0.4"
        if DAY_MS not in (ms for _, ms in self.windows):
            yield f'{at}.times_usual: bounds a day, and `allow` has none; add one, such as "$1000/day"'
        dearest = max((*policy.prices.values(), policy.default_price))
        if (self.at_least or 0) < dearest:
            yield f"{at}.at_least: the dearest message costs ${dearest:g} by [prices]; without a past, none would fit"
        for amount, ms in self.windows:
            if ms == DAY_MS and micro(self.at_least or 0) > amount:
                most = f"${amount / MICRO:g} a day of `allow`"
                yield f"{at}.at_least: is more than the {most}; lower it, or raise `allow`"

    def summary(self) -> str:
        usual = ""
        if self.relative is not None:
            times, share, _ = self.relative
            of_all = f", {share:.0%} of the usual messages in all" if share else ""
            usual = f", a day {times:g} times the usual{of_all} or ${self.at_least:,g}"
        return f": {self.allow} by {', '.join(self.of)}{usual}"

    def ready(self, policy: Policy, tagger: Tagger) -> Ready:
        return _Ready(self, policy, tagger)

    @classmethod
    def sentence(cls, judged: Judged) -> str:
        each = cls.shown(judged)
        spent = f"${each.count or 0:,.2f} of ${each.bound or 0:,.2f}"
        figures = f"{spent} spent within {span(each.window or 0)}{_usual(each)}"
        return of_window(judged, f"{figures}, and the message costs ${each.cost:.4f}")

    @classmethod
    def shown(cls, judged: Judged) -> Judged:
        """In dollars."""
        return msgspec.structs.replace(
            judged,
            count=None if judged.count is None else judged.count / MICRO,
            bound=None if judged.bound is None else judged.bound / MICRO,
            cost=judged.cost / MICRO,
            evidence={
                name: float(value) / MICRO if name in _MONEY else value for name, value in judged.evidence.items()
            },
        )


class _Ready:
    def __init__(self, budget: Budget, policy: Policy, tagger: Tagger) -> None:
        self._budget = budget
        self._price = policy.price
        self._tagger = tagger
        self._dimensions = tuple(sorted(budget.of))
        self._windows = [Window(*window) for window in budget.windows]
        # As many as countries times tenants, both of which the operator knows by name.
        self._hits: dict[tuple[str | None, str], list[Hit]] = {}

    def hits(self, number: Number, tag: str, facts: Mapping[str, str | None]) -> list[Hit]:
        """Where a message costs something: to no country, as an email is, it does not."""
        country = facts["country"]
        if not country:
            return []
        key = (facts.get("tenant"), country)
        found = self._hits.get(key)
        if found is None:
            found = self._hits[key] = self._made(facts, micro(self._price(country)))
        return found

    def _made(self, facts: Mapping[str, str | None], cost: int) -> list[Hit]:
        if not cost:
            return []
        name, enforced, by_usual = self._budget.name, self._budget.mode == "enforce", None
        tag = self._tagger.tag("limit", *(values(self._dimensions, facts) or ()))
        if self._budget.relative:
            tenant = ":" + self._tagger.tag("tenant", facts["tenant"] or "") if "tenant" in self._dimensions else ""
            by_usual = ByUsual(*self._budget.relative, tenant)
        spec = BudgetSpec(name, enforced, self._windows, cost, by_usual)
        # What is usual in all is known where all of the budget's sums lie together.
        owner = self._tagger.tag("budget", name)
        return [Hit("budget", name, owner, f"limit:{name}:{tag}", spec.pack(), cost, enforced)]


def _window(text: str) -> tuple[int, int]:
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise ValueError(text)
    return round(float(match[1]) * MICRO), limits.parse(f"1/{match[2]}").get_expiry() * 1000


def _usual(each: Judged) -> str:
    """Where a budget's bound comes from, if it goes by what is usual; `each` is in dollars."""
    if not each.evidence:
        return ""
    if each.evidence["learning"]:
        return " (what is usual is known after two days)"
    figures = {name: float(value) for name, value in each.evidence.items()}
    by_usual = figures["times_usual"] * figures["usual"]
    by_all = figures["share_of_all"] * figures["messages_in_all"] * each.cost
    if max(figures["at_least"], by_usual, by_all) > (each.bound or 0) + 0.01:
        return ""
    said = f"${figures['at_least']:,.2f} and {figures['times_usual']:g} times the usual ${figures['usual']:,.2f}"
    if by_all:
        said += f" and {figures['share_of_all']:.0%} of the {figures['messages_in_all']:,.0f} messages usual in all"
    return f", the largest of {said}"
