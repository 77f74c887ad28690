"""What was probably meant: the nearest known word for a key or value that msgspec does not know in a file."""

import difflib
import re
from collections.abc import Iterable, Iterator
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

_UNKNOWN_KEY = re.compile(r"unknown field `(.+?)`(?: - at `\$(.*)`)?$")
_UNKNOWN_VALUE = re.compile(r"[Ii]nvalid (?:enum )?value '(.+?)' - at `\$(.*)`$")
_MALFORMED = re.compile(r"matching regex .* - at `\$(.*)\.(\w+)`$")
_STEP = re.compile(r"\.(\w+)|\[([^\]]*)\]")


def hint(error: msgspec.ValidationError, file: type[msgspec.Struct], plain: Any = None) -> str:
    """A clause to put behind the error of a file of that shape, or nothing. `plain` is the file as it was written,
    where it is at hand: of a table with a kind, only the words of that kind are meant."""
    if match := _UNKNOWN_KEY.search(str(error)):
        kinds = _of_kind(_structs(file, match[2] or ""), _written(plain, match[2] or ""))
        return nearest(match[1], {name for kind in kinds for name in kind.__struct_fields__})
    if match := _UNKNOWN_VALUE.search(str(error)):
        table, _, key = match[2].rpartition(".")
        tags = {kind.__struct_config__.tag for kind in _structs(file, table) if kind.__struct_config__.tag_field == key}
        return nearest(match[1], {str(tag) for tag in tags} or set(_words(_at(file, match[2]))))
    if match := _MALFORMED.search(str(error)):
        for kind in _structs(file, match[1]):
            if words := _described(get_type_hints(kind, include_extras=True).get(match[2])):
                return f"; {words}"
    return ""


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean …?' where a known word is near, else '; one of …' where they are few."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; it is one of {', '.join(words)}" if 0 < len(words) <= 20 else ""


def _described(kind: Any) -> str | None:
    """What a field's own type says of how it is written."""
    own = [each.description for each in getattr(kind, "__metadata__", ()) if isinstance(each, msgspec.Meta)]
    return next((words for words in (*own, *map(_described, get_args(kind))) if words), None)


def _structs(file: type[msgspec.Struct], path: str) -> list[type[msgspec.Struct]]:
    return [kind for kind in _at(file, path) if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]


def _of_kind(structs: list[type[msgspec.Struct]], table: Any) -> list[type[msgspec.Struct]]:
    """Those that the table says it is; all, where it does not."""
    if not isinstance(table, dict):
        return structs
    tagged = [kind for kind in structs if table.get(kind.__struct_config__.tag_field) == kind.__struct_config__.tag]
    return tagged or structs


def _written(plain: Any, path: str) -> Any:
    """What stands at a path of msgspec's, None where the path does not say which of several."""
    for key, index in _STEP.findall(path):
        if isinstance(plain, dict) and key:
            plain = plain.get(key)
        else:
            plain = plain[int(index)] if isinstance(plain, list) and index.isdigit() else None
    return plain


def _at(file: type[msgspec.Struct], path: str) -> list[Any]:
    """The types that may stand at a path of msgspec's, such as `.rule[0].kind`."""
    kinds: list[Any] = [file]
    for step in _STEP.finditer(path):
        kinds = [part for kind in kinds for inner in _inside(kind, step[1]) for part in _parts(inner)]
    return kinds


def _inside(kind: Any, key: str | None) -> Iterator[Any]:
    """What a struct has under a key, or, without one, what a list or the values of a table are."""
    if key is None:
        yield from [part for part in get_args(kind) if part is not Ellipsis][-1:]
    elif isinstance(kind, type) and issubclass(kind, msgspec.Struct) and key in kind.__struct_fields__:
        yield get_type_hints(kind)[key]


def _parts(kind: Any) -> list[Any]:
    return list(get_args(kind)) if get_origin(kind) in (Union, UnionType) else [kind]


def _words(kinds: Iterable[Any]) -> Iterator[str]:
    for kind in kinds:
        if get_origin(kind) is Literal:
            yield from get_args(kind)
