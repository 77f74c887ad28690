"""What every part of the policy file is made of."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Mode = Literal["off", "observe", "enforce"]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z", description="Unique in the policy; a-z, 0-9 and -.")]
DAY_MS = 86_400_000
MICRO = 1_000_000
"""Money is counted in whole micro-dollars, so that sums are exact."""


def micro(dollars: float) -> int:
    """Dollars in micro-dollars."""
    return round(dollars * MICRO)


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the policy file: immutable, and a key that it does not know is an error."""
