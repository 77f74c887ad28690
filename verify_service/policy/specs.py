"""What limits are to the scripts that judge by them: layouts, as store/layouts.py has the others."""

from collections.abc import Sequence

from verify_service.packing import Array, Layout


class Window(Array, frozen=True):
    """So many hits within so many milliseconds; of a budget, micro-dollars."""

    amount: int
    ms: int


class LimitSpec(Array, frozen=True):
    """A limit; `net` where an approval gives a hit back."""

    name: str
    enforced: bool
    windows: Sequence[Window]
    net: bool = False


class NumberLimit(Array, frozen=True):
    """A limit whose key is the number's tag and a suffix."""

    spec: LimitSpec
    suffix: str


class NumberLimits(Array, frozen=True):
    """Limits by number: those on wrong codes, and those on starts, which say when a new one can pass."""

    wrong_codes: Sequence[NumberLimit]
    starts: Sequence[NumberLimit]


LAYOUTS: tuple[type[Layout], ...] = (Window, LimitSpec, NumberLimit, NumberLimits)
