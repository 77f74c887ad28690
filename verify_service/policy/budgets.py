"""Money budgets: a rule that counts what messages cost in place of messages."""

import re
from typing import Annotated, Literal

import limits
from msgspec import Meta

from verify_service.policy.base import Mode, Name, Section
from verify_service.policy.bounds import MOST_ALLOW

MICRO = 1_000_000
"""Money is counted in whole micro-dollars, so that sums are exact."""
_AMOUNT = re.compile(r"\$\s*(\d{1,9}(?:\.\d{1,6})?)\s*(?:/|per)\s*(.+)", re.DOTALL)


class Budget(Section, frozen=True, tag_field="kind", tag="budget"):
    """What may be spent on messages: by country, by tenant, or by both.

    `allow` is the most, whatever is usual; `times_usual` bounds the day by the key's own past as well.
    """

    name: Name
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
    mode: Mode = "observe"

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


def _window(text: str) -> tuple[int, int]:
    match = _AMOUNT.fullmatch(text.strip())
    if not match:
        raise ValueError(text)
    return round(float(match[1]) * MICRO), limits.parse(f"1/{match[2]}").get_expiry() * 1000


def micro(dollars: float) -> int:
    """Dollars in micro-dollars."""
    return round(dollars * MICRO)
