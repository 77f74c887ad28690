"""What was probably meant: the nearest known word for a key or value that msgspec does not know."""

import difflib
import re
from collections.abc import Iterable
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from verify_service.policy.sections import Policy, Rule

_UNKNOWN_KEY = re.compile(r"unknown field `(.+?)`(?: - at `\$\.?(\w*).*`)?$")
_UNKNOWN_VALUE = re.compile(r"[Ii]nvalid (?:enum )?value '(.+?)'.*at `\$\.(.+)`$")


def hint(error: msgspec.ValidationError) -> str:
    """A clause to put behind the error, or nothing."""
    text = str(error)
    if match := _UNKNOWN_KEY.search(text):
        return nearest(match[1], {name for kind in _structs(match[2] or "") for name in kind.__struct_fields__})
    if match := _UNKNOWN_VALUE.search(text):
        table, _, rest = match[2].partition(".")
        key = re.sub(r"\[.*", "", rest)
        if key == "kind":
            return nearest(match[1], kinds())
        values = {
            word
            for kind in _structs(re.sub(r"\[.*", "", table))
            if key in kind.__struct_fields__
            for word in _words(get_type_hints(kind)[key])
        }
        return nearest(match[1], values)
    return ""


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean …?' where a known word is near, else '; one of …' where they are few."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it is one of {', '.join(words)}" if 0 < len(words) <= 20 else ""


def kinds() -> list[str]:
    """The kinds of rules there are."""
    return [str(kind.__struct_config__.tag) for kind in get_args(Rule)]


def _structs(table: str) -> list[type[msgspec.Struct]]:
    """The structs that may stand at a table of the policy; '' is the policy itself."""
    if not table:
        return [Policy]
    return list(_inside(get_type_hints(Policy).get(table)))


def _inside(kind: Any) -> Iterable[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    elif isinstance(kind, UnionType) or get_origin(kind) is not None:
        for part in get_args(kind):
            yield from _inside(part)


def _words(kind: Any) -> Iterable[str]:
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    else:
        for part in get_args(kind):
            yield from _words(part)
