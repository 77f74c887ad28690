"""What every kind of rule is to Python. What it is to the store says its source under store/lua/kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from verify_service.packing import Layout
from verify_service.policy.base import Mode, Name, Section
from verify_service.policy.hits import Hit
from verify_service.policy.verdicts import Judged

if TYPE_CHECKING:
    from verify_service.codes import Tagger
    from verify_service.model import Number
    from verify_service.policy.sections import Policy


class Ready(Protocol):
    """A rule made ready to judge by."""

    def hits(self, number: Number, tag: str, facts: Mapping[str, str | None]) -> list[Hit]:
        """What it counts of a start: `tag` is the number's, `facts` are `limits.facts_of` the start."""


class Rule(Section, frozen=True, kw_only=True, tag_field="kind"):
    """A rule of the policy file. Its kind is its tag; a module of `kinds` has no more to say of it than this."""

    name: Name
    mode: Mode = "observe"

    first: ClassVar[bool] = False
    """Whether it is judged before the others, and refuses without asking them."""
    spends: ClassVar[bool] = False
    """Whether it goes by what messages cost."""
    layouts: ClassVar[tuple[type[Layout], ...]] = ()
    """What its source in the store takes, each declared beside it."""

    def problems(self, at: str, policy: Policy) -> Iterator[str]:
        """What in it cannot be meant, with the fix; `at` says where it stands."""
        yield from ()

    def summary(self) -> str:
        """What it bounds, in a few words for a list."""
        return ""

    def ready(self, policy: Policy, tagger: Tagger) -> Ready:
        """The rule made ready to judge by."""
        raise NotImplementedError

    @classmethod
    def sentence(cls, judged: Judged) -> str:
        """What it said of a start, in English."""
        raise NotImplementedError

    @classmethod
    def shown(cls, judged: Judged) -> Judged:
        """The same figures in the units that people are shown."""
        return judged
