"""Which form of a noun goes with a number: the cardinal rules of Unicode CLDR, for whole numbers from 1 on."""

from collections.abc import Callable


def _one(n: int) -> str:
    return "one" if n == 1 else "other"


def _none(_n: int) -> str:
    return "other"


def _slavic(n: int) -> str | None:
    """`few` of Russian, Polish and Croatian, and the `one` of all but Polish."""
    if n % 10 == 1 and n % 100 != 11:
        return "one"
    return "few" if n % 10 in (2, 3, 4) and n % 100 not in (12, 13, 14) else None


def _russian(n: int) -> str:
    return _slavic(n) or "many"


def _croatian(n: int) -> str:
    return _slavic(n) or "other"


def _polish(n: int) -> str:
    return "one" if n == 1 else "few" if _slavic(n) == "few" else "many"


def _czech(n: int) -> str:
    return "few" if n in (2, 3, 4) else _one(n)


def _romanian(n: int) -> str:
    return "few" if n != 1 and n % 100 in range(1, 20) else _one(n)


def _hebrew(n: int) -> str:
    return "two" if n == 2 else _one(n)


def _arabic(n: int) -> str:
    if n % 100 in range(3, 11):
        return "few"
    return "many" if n % 100 in range(11, 100) else _hebrew(n)


RULES: dict[str, Callable[[int], str]] = {
    "none": _none,
    "one": _one,
    "russian": _russian,
    "polish": _polish,
    "croatian": _croatian,
    "czech": _czech,
    "romanian": _romanian,
    "hebrew": _hebrew,
    "arabic": _arabic,
}
