"""Modes of limits and rules, changed in the text of a policy: its comments and its order stay."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from verify_service.policy.base import Mode
from verify_service.policy.faults import places

_TABLES = ("limit", "rule")
_VALUE = re.compile(r"""=\s*("[^"]*"|'[^']*')""")


def with_mode(text: str, name: str, mode: Mode) -> str:
    """The text with the limit or rule of that name in another mode; the same text where there is none."""
    lines = text.split("\n")
    found = [place for place in places(text) if place.table in _TABLES]
    for place in found:
        if place.key != "name" or _value(lines[place.line - 1]) != name:
            continue
        for other in found:
            if (other.table, other.nth, other.key) == (place.table, place.nth, "mode"):
                lines[other.line - 1] = _VALUE.sub(f'= "{mode}"', lines[other.line - 1], count=1)
                return "\n".join(lines)
        lines.insert(place.line, f'mode = "{mode}"')
        return "\n".join(lines)
    return text


def observing(text: str, live: str) -> tuple[str, list[str]]:
    """The text with each limit and rule that is new in it or changed since `live` in `observe`, and their names; what
    is off stays off. Both are policies that can be used."""
    was, now = _tables(live), _tables(text)
    names = [name for name, table in now.items() if was.get(name) != table and table.get("mode") != "off"]
    for name in names:
        text = with_mode(text, name, "observe")
    return text, names


def _tables(text: str) -> dict[str, dict[str, Any]]:
    plain = msgspec.toml.decode(text)
    return {each["name"]: each for each in _each(plain)}


def _each(plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for table in _TABLES:
        yield from plain.get(table, ())


def _value(line: str) -> str:
    found = _VALUE.search(line)
    return found[1][1:-1] if found else ""
