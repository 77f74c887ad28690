"""What one request counts: a hit of each limit and rule that applies to it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Hit(NamedTuple):
    """One limit or rule applied to one request.

    `kind` is the rule's, with `?` behind it where it is only to be looked at; the kind's source under store/lua/kinds
    says what `spec` and `key` hold. `key` is without its partition's prefix, `owner` is the tag whose partition holds
    the count; `cost` is 1, and of a budget the price of the message in micro-dollars. One that is not `enforced`
    decides nothing, so a start can do without it.
    """

    kind: str
    name: str
    owner: str
    key: str
    spec: bytes
    cost: int = 1
    enforced: bool = True


def specs(hits: Sequence[Hit]) -> list[str | bytes]:
    """Hits as the scripts take them, beside their keys: the kinds of all, and the spec of each."""
    return [" ".join(hit.kind for hit in hits), *(hit.spec for hit in hits)]


def values(dimensions: Iterable[str], facts: Mapping[str, str | None]) -> list[str] | None:
    """Names and values of a request's dimensions in turns; None where it lacks one."""
    found = []
    for dimension in dimensions:
        value = facts.get(dimension)
        if value is None:
            return None
        found += [dimension, value]
    return found
