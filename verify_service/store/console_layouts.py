"""The layouts of what is kept for the console; as layouts.py has the others."""

from typing import ClassVar

from verify_service.packing import Array, Layout


class Session(Array, frozen=True):
    """Somebody who is signed in: what they are known by, when they signed in and were here last (milliseconds), and as
    whom they act."""

    keeps_tail: ClassVar[bool] = True
    proof: str
    created_at: int
    seen_at: int
    actor: str


ALL: tuple[type[Layout], ...] = (Session,)
