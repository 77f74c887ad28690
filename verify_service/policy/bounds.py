"""How much a policy may hold, and why: a start is judged by all of it, and the store counts in numbers of a size."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from verify_service.duration import Duration
from verify_service.policy.base import DAY_MS

MOST_BYTES = 1_048_576
"""How long a policy's text may be."""
MOST_DOTS = 20
"""How many dots a key may have: the reader of TOML takes time by their square."""
MOST_LIMITS, MOST_RULES, MOST_WINDOWS = 64, 32, 8
MOST_ALLOW = 200
MOST_HITS = 1_000_000_000
MOST_COUNTRIES, MOST_PREFIXES, MOST_LISTED = 300, 2_000, 50_000
MOST_WAIT_MS = 10 * DAY_MS
MOST_BLOCK_MS, MOST_LEARN_MS, MOST_TRUST_MS = 2 * DAY_MS, 14 * DAY_MS, 90 * DAY_MS

ONE_STEP = "each start is judged by all of them in one step of the store, and nothing else passes meanwhile"
WINDOWS = "every count holds figures of each window and is read by each start"
HITS = "the store counts exactly up to 9e15 and no service has more; leave the limit out in place of a huge one"
WAITS = (
    "the store keeps what has passed since a start in 31 bits of milliseconds, 24.8 days, and life and cooldown add up"
)
BLOCKS = "what is known of a block of numbers is kept for two days"
LEARNT = "what the detector has learnt is kept for 14 days"
TRUSTED = "who has converted is remembered for 90 days"
_COUNTRIES = "there are fewer countries than that"
_PREFIXES = "each start is compared with every prefix"
_LISTED = "every process holds the lists in memory; put whole networks or prefixes in place of their members"

_SIZES: tuple[tuple[str, str, int, str], ...] = (
    ("limit", "", MOST_LIMITS, ONE_STEP),
    ("rule", "", MOST_RULES, ONE_STEP),
    ("prices", "", MOST_COUNTRIES, _COUNTRIES),
    *(("countries", key, MOST_COUNTRIES, _COUNTRIES) for key in ("allow", "observe", "deny")),
    *((table, "prefixes", MOST_PREFIXES, _PREFIXES) for table in ("allow", "block")),
    *((table, key, MOST_LISTED, _LISTED) for table in ("allow", "block") for key in ("numbers", "networks")),
)

_LONG_KEY = re.compile(
    # Anchored where a key can begin: else a long run of one character would take time by its square here.
    r"""(?<![\w\\-])(?:(?:[\w-]++|"(?:[^"\\\n]++|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"""
    f"{{{MOST_DOTS + 1}}}",
    re.ASCII,
)


def has_long_key(text: str) -> bool:
    """Whether a key of the TOML text has too many dots; so may a word of a string or a comment, which nobody writes."""
    return _LONG_KEY.search(text) is not None


def too_much(plain: dict[str, Any]) -> Iterator[str]:
    """Each table or list of a file that holds too much, and each number that is none, with the reason."""
    for table, key, most, why in _SIZES:
        found = plain.get(table)
        if key:
            found = found.get(key) if isinstance(found, dict) else None
        if isinstance(found, list | dict) and len(found) > most:
            yield f"{table}{'.' if key else ''}{key}: {len(found)} entries, and {most} is the most: {why}"
    for table in ("limit", "rule"):
        found = plain.get(table)
        for index, each in enumerate(found if isinstance(found, list) else ()):
            allow = each.get("allow") if isinstance(each, dict) else None
            if isinstance(allow, str) and len(allow) > MOST_ALLOW:
                yield f"{table}[{index}].allow: {len(allow)} characters, and {MOST_ALLOW} are the most: {WINDOWS}"
    yield from _no_numbers(plain, "")


def _no_numbers(node: Any, at: str) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _no_numbers(value, f"{at}.{key}" if at else str(key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _no_numbers(value, f"{at}[{index}]")
    elif isinstance(node, float) and node != node:
        yield f"nan is no number - at `$.{at}`"


def windows(at: str, given: tuple[tuple[int, int], ...]) -> Iterator[str]:
    """What in the windows of one limit or rule cannot be meant."""
    if len(given) > MOST_WINDOWS:
        yield f"{at}.allow: {len(given)} windows, and {MOST_WINDOWS} are the most: {WINDOWS}"
    if len({ms for _, ms in given}) != len(given):
        yield f"{at}.allow: two windows are of the same length; keep the smaller one"


def lengths(kept: Iterable[tuple[str, Duration, int, str]]) -> Iterator[str]:
    """Which of the lengths of time, each with the most that the store keeps and why, is too long."""
    for at, length, most, why in kept:
        if length.ms > most:
            yield f"{at}: is {length.text}, and {most // DAY_MS} days is the most: {why}"
