"""A policy's text against another: whether it can be used, and what it changes, for people to read."""

import difflib
from collections.abc import Iterator
from typing import Final, NamedTuple

from verify_service.errors import ConfigError
from verify_service.policy import file as policy_file
from verify_service.policy.changes import changes
from verify_service.policy.faults import Fault, fault
from verify_service.policy.live import SOURCE
from verify_service.policy.summary import lines

MOST_LINES: Final = 3_000
"""Longer texts are compared by their keys alone: comparing lines takes time by the square of their number."""
_MOST_SHOWN: Final = 400
_MOST_KEYS: Final = 100


class Checked(NamedTuple):
    """What a check of a text has found: a fault and the line where it is, or what it allows and what it changes."""

    fault: Fault | None
    line: str
    summary: list[str]
    keys: list[str]
    diff: list[tuple[str, str]]


def checked(live: str, text: str) -> Checked:
    """A check of a text that may take the place of `live`."""
    try:
        policy = policy_file.parse(text, SOURCE)
    except ConfigError as error:
        found = fault(str(error), text)
        return Checked(found, line_of(text, found), [], [], [])
    return Checked(None, "", [*lines(policy)], keys(live, text), diff(live, text))


def line_of(text: str, found: Fault) -> str:
    """The line where a fault is, '' where that is not known."""
    all_lines = text.split("\n")
    return all_lines[found.line - 1].strip()[:200] if found.line and found.line <= len(all_lines) else ""


def keys(old: str, new: str) -> list[str]:
    """What changes, key by key."""
    found = [each if len(each) < 300 else f"{each[:300]} …" for each in changes(old, new)]
    rest = len(found) - _MOST_KEYS
    return [*found[:_MOST_KEYS], f"… and {rest} more"] if rest > 0 else found


def diff(old: str, new: str) -> list[tuple[str, str]]:
    """The lines that differ and those around them, each with its class."""
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > MOST_LINES:
        return []
    found = list(_classed(difflib.unified_diff(before, after, lineterm="", n=2)))
    rest = len(found) - _MOST_SHOWN
    return [*found[:_MOST_SHOWN], ("", f"… and {rest} lines more")] if rest > 0 else found


def _classed(diff: Iterator[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(diff):
        if number > 1:  # The first two name files.
            yield {"+": "added", "-": "removed", "@": "soft"}.get(line[:1], ""), line[:500]
