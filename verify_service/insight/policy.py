"""The revisions of the policy."""

import re
from contextlib import suppress
from typing import Final

from verify_service.duration import rfc3339
from verify_service.errors import ConfigError, NotFound, StoreUnavailable
from verify_service.model import Revision
from verify_service.policy.live import History

NUMBER: Final = re.compile("[1-9][0-9]{0,8}")
"""A revision's, as people and programs write it."""
A_PAGE: Final = 20


def in_force(history: History) -> Revision | None:
    """The newest that can be unsealed, None where none was pushed yet. Raises StoreUnavailable."""
    try:
        return history.current()
    except ConfigError as error:
        raise StoreUnavailable(str(error)) from None


def page(history: History, before: int | None = None) -> tuple[list[Revision], int | None]:
    """Revisions, newest first, all before a number where that is given; and before which number the next page is, None
    where there is none. What cannot be unsealed is left out. Raises StoreUnavailable."""
    newest = history.newest()
    first = newest if before is None else min(newest, before - 1)
    last = max(0, first - A_PAGE)
    found = [each for number in range(first, last, -1) if (each := _kept(history, number))]
    return found, last + 1 if last else None


def numbered(history: History, number: str) -> Revision:
    """A revision by its number. Raises NotFound where it is not kept or cannot be unsealed, StoreUnavailable."""
    found = _kept(history, int(number)) if NUMBER.fullmatch(number) else None
    if found is None:
        raise NotFound("There is no such revision.")
    return found


def entry(found: Revision) -> dict[str, str | int]:
    """What the history says of a revision."""
    return {"revision": found.revision, "at": rfc3339(found.at), "by": found.by, "note": found.note}


def shown(found: Revision) -> dict[str, str | int]:
    """A revision with its text."""
    return {**entry(found), "policy": found.text}


def _kept(history: History, number: int) -> Revision | None:
    with suppress(ConfigError):
        return history.get(number)
    return None
