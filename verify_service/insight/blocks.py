"""The live blocks of the detectors, with what they were made on and what they did since."""

from collections.abc import Iterable, Mapping
from math import exp

import msgspec

from verify_service.duration import rfc3339
from verify_service.policy.rulebook import Rules
from verify_service.store import Store
from verify_service.store.blocks import Block


def live(store: Store, rules: Rules, now: int) -> list[Block]:
    """Those of the rules in force, the newest first. Raises StoreUnavailable."""
    return under(rules().modes, store.blocks.list(now))


def under(modes: Mapping[str, str], blocks: Iterable[Block]) -> list[Block]:
    """The blocks as the rules in force have them, `modes` by name; those of any other rule are left out."""
    return [msgspec.structs.replace(block, mode=modes[block.rule]) for block in blocks if block.rule in modes]


def shown(block: Block) -> dict[str, str | int | float]:
    """A block as people and programs outside see it: times in RFC 3339, evidence as odds, figures rounded."""
    facts: dict[str, str | int | float] = msgspec.to_builtins(block)
    for name in ("messages", "converted", "an_hour", "usual_an_hour"):
        facts[name] = round(float(facts[name]), 1)
    facts["usual_conversion"] = round(block.usual_conversion, 3)
    facts["odds"], facts["needed_odds"] = round(exp(block.evidence)), round(exp(block.needed))
    del facts["evidence"], facts["needed"], facts["within"]
    return facts | {"at": rfc3339(block.at), "till": rfc3339(block.till)}
