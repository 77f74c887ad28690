"""Whether a code may be sent to who has a verified factor: `[factors] texts`, made ready to judge with."""

from collections.abc import Mapping

from verify_service.codes import Tagger
from verify_service.policy.hits import Hit
from verify_service.policy.limits import user_tag
from verify_service.policy.sections import FactorSettings
from verify_service.policy.specs import LimitSpec
from verify_service.policy.verdicts import Judged

NAME = "factors"
"""What answers, events and records call it, and its source under store/lua/kinds."""
_SAYS = {"pass": "may be sent codes", "refuse": "is sent no codes", "observe": "would be sent no codes"}


class Texts:
    """It is judged in the partition of the user's record, by that record as it stands."""

    def __init__(self, settings: FactorSettings, tagger: Tagger) -> None:
        self._judges = settings.texts != "allow"
        self._enforced = settings.texts == "deny"
        self._spec = LimitSpec(NAME, self._enforced, ()).pack()
        self._tagger = tagger

    def hits(self, facts: Mapping[str, str | None]) -> list[Hit]:
        """What a start is judged by: nothing where the policy allows texts, or the start says no user."""
        user = user_tag(self._tagger, facts) if self._judges else None
        return [Hit(NAME, NAME, user, f"user:{user}", self._spec, enforced=self._enforced)] if user else []


def sentence(judged: Judged) -> str:
    """What it said of a start, in English."""
    count = judged.evidence["verified"]
    has = "no verified factor" if not count else "1 verified factor" if count == 1 else f"{count} verified factors"
    return f"The user has {has} and {_SAYS[judged.verdict]}."
