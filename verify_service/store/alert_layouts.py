"""The layouts of alerts to the team; as layouts.py has the others."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from verify_service.packing import Array, Layout

Figures = Mapping[str, int | float]


class Finding(Array, frozen=True):
    """What a rule sees of one object now, at which `page` of the console. It opens an incident once it has been seen
    for `after` ms; where it only `keeps`, one that is open does not end."""

    rule: str
    object: str
    page: str
    sentence: str
    figures: Figures
    keeps: bool = False
    after: int = 0


class Incident(Array, frozen=True):
    """What a rule has found of one object, from when it was first `seen` on until it has not been for a while. `told`
    is when the team was last told of it, 0 before; `ended` when it was over, 0 while it is not."""

    keeps_tail: ClassVar[bool] = True
    id: str
    rule: str
    object: str
    page: str
    sentence: str
    figures: Figures
    since: int
    seen: int
    told: int = 0
    ended: int = 0


class Telling(Array, frozen=True):
    """An incident on its way to one target, or one that was given up: what it says is `opened`, `lasts` or `resolved`.
    `why` is the last failure."""

    keeps_tail: ClassVar[bool] = True
    id: str
    target: str
    says: str
    at: int
    incident: Incident
    tries: int = 0
    why: str = ""


class AlertTerms(Array, frozen=True):
    """What is judged by: the rules that could be asked, the targets that are told, how long an incident must not have
    been seen to be over, when the team is reminded (ms); how many incidents of a rule are open at most, and how many
    messages wait."""

    judged: Sequence[str]
    targets: Sequence[str]
    resolve_ms: int
    remind_ms: int
    most_open: int
    most_waiting: int


ALL: tuple[type[Layout], ...] = (Finding, Incident, Telling, AlertTerms)
