"""The layouts of what Twilio's API has of a user beside its factors; as layouts.py has the others."""

from collections.abc import Sequence
from typing import ClassVar

from verify_service.packing import Array, Empty, Layout


class Challenge(Array, frozen=True):
    """A question for a factor's code. `status` is pending or approved; `tries` are the codes that it was answered."""

    keeps_tail: ClassVar[bool] = True
    id: str
    factor: str
    status: str
    created_at: int
    expires_at: int
    tries: int = 0
    responded_at: int = 0


class Entity(Array, frozen=True):
    """What is kept of an entity for a day: when it was made without a factor, 0 where it was not, and its challenges,
    oldest first."""

    keeps_tail: ClassVar[bool] = True
    made_at: int = 0
    challenges: Sequence[Challenge] | Empty = ()


ALL: tuple[type[Layout], ...] = (Challenge, Entity)
