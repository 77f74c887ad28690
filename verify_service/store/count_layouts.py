"""The layout of what is counted over time; as layouts.py has the others."""

from typing import ClassVar

from verify_service.packing import Array, Layout


class Tally(Array, frozen=True):
    """What was counted of a group in a minute or an hour, money in micro-dollars. By its `rank` it stays where a bucket
    has no room for all: how many events it has had, and how many it may have had in `other`, whose own that is."""

    keeps_tail: ClassVar[bool] = True
    rank: int = 0
    starts: int = 0
    spend: int = 0
    approved: int = 0
    refused: int = 0
    saved: int = 0
    observed: int = 0
    wrong: int = 0
    canceled: int = 0
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    failed_over: int = 0
    billed: int = 0
    factor_approved: int = 0
    factor_wrong: int = 0


ALL: tuple[type[Layout], ...] = (Tally,)
