"""Where in a policy's text an error is: its key, and the line of it."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from verify_service.policy.live import SOURCE

_AT = re.compile(r" - at `\$\.?([^`]*)`")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")
_PATH = re.compile(r"([a-z_]+(?:\[\d+\])?)(?: \([a-z0-9-]+\))?((?:\.[a-z_]+(?:\[\d+\])?)*): (.*)", re.DOTALL)
_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_STEP = re.compile(r"([^.\[\]]+)(?:\[(\d*)\])?")
_HEADER = re.compile(r"\s*\[{1,2}\s*([\w-]+)\s*\]")
_KEY = re.compile(r"\s*([\w.-]+)\s*=")


class Fault(NamedTuple):
    """The policy's key at fault, '' for the text as a whole; what is wrong with it; and the line, from 1, where it can
    be told."""

    key: str
    message: str
    line: int | None


class Place(NamedTuple):
    """A line that begins a table or sets a key. `nth` counts the tables of one name; `key` is None of a table's own
    line."""

    line: int
    table: str
    nth: int
    key: str | None


def fault(error: str, text: str) -> Fault:
    """What the error of a policy's text is about."""
    key, message = _named(error.removeprefix(f"{SOURCE}: "))
    found = _LINE.search(message)
    return Fault(key, message, int(found[1]) if found else _line(text, key))


def places(text: str) -> Iterator[Place]:
    """The lines of a policy's text that are tables or keys, each in its place."""
    table, seen = "", dict[str, int]()
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = header[1]
            seen[table] = seen.get(table, -1) + 1
            yield Place(number, table, seen[table], None)
        elif key := _KEY.match(line):
            yield Place(number, table, seen.get(table, 0), key[1])


def _named(message: str) -> tuple[str, str]:
    """(the key, what is wrong with it)"""
    if at := _AT.search(message):
        unknown = _UNKNOWN.search(message)
        where = [at[1], unknown[1]] if unknown else [at[1]]
        return ".".join(filter(None, where)), _AT.sub("", message, count=1)
    if unknown := _UNKNOWN.search(message):
        return unknown[1], message
    if path := _PATH.fullmatch(message):
        return path[1] + path[2], path[3]
    return "", message


def _line(text: str, path: str) -> int | None:
    """The line that sets the key; of one that is missing, that of its table."""
    steps = _STEP.findall(path)
    if not steps:
        return None
    (table, nth), key = steps[0], steps[1][0] if len(steps) > 1 else None
    best = None
    for place in places(text):
        if place.table == table and place.nth == int(nth or place.nth):
            if place.key is None:
                best = best or place.line
            elif place.key == key:
                return place.line
        elif not place.table and place.key in (table, f"{table}.{key}"):
            return place.line
    return best
