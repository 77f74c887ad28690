"""The live blocks: what each was made on, what it cost and saved, and its end."""

from collections.abc import Callable
from math import exp
from typing import Any, Final

from flask import Response, request
from markupsafe import Markup

from verify_service.insight import blocks as insight
from verify_service.insight import overview
from verify_service.insight.counts import Stats, stats
from verify_service.operators import Operator
from verify_service.policy.verdicts import span
from verify_service.store.blocks import Block
from verify_service.web.console import charts
from verify_service.web.console.charts import Series, counted, dollars
from verify_service.web.console.forms import fields, onward
from verify_service.web.console.now import leads
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console
from verify_service.web.context import context

_A_PAGE: Final = 20
_CHART_MS: Final = 2 * overview.DAY_MS


@console.get("/blocks")
@operator("read")
def blocks(who: Operator) -> Response:
    store, rules, now = context().store, context().service.rules, context().clock.now()
    found = insight.live(store, rules, now)
    pages = max(1, -(-len(found) // _A_PAGE))
    asked = request.args.get("page", "")
    page = min(pages, max(1, int(asked))) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 1
    listed = found[(page - 1) * _A_PAGE : page * _A_PAGE]
    places, price = stats(store, now - _CHART_MS, now + 1, "hour", "place"), overview.price_of(rules)
    cards = [_card(block, places, price) for block in listed]
    detectors = sorted(rules().modes)
    return show("blocks", who, title="Blocks", cards=cards, count=len(found), number=page, pages=pages, rules=detectors)


@console.post("/blocks/<block_id>/lift")
@operator("admin")
def lift(who: Operator, block_id: str) -> Response:
    (reason,) = fields("reason")
    lifted = context().relief.lift(block_id, who.actor, reason)
    if lifted is None:
        return onward("/blocks", "There is no such live block: it has ended, or was lifted by somebody else.")
    return onward("/blocks", f"{lifted.place} is free again. It takes more evidence to block it for a while.")


def _card(block: Block, places: Stats, price: Callable[[str], float]) -> dict[str, Any]:
    """A block in words, and its place over two days."""
    each = price(block.place)
    watched = block.mode == "observe"
    return {
        "block": block,
        "watched": watched,
        "evidence": _evidence(block),
        "money": _money(block, each, watched),
        "probes": _probes(block),
        "spent": dollars(block.messages * each),
        "chart": _chart(block.place, places),
        "at": leads("decisions", {"range": block.place}),
        "span": span(block.till - block.at),
    }


def _evidence(block: Block) -> str:
    messages, converted, an_hour = (counted(round(n)) for n in (block.messages, block.converted, block.an_hour))
    return (
        f"About {messages} messages went there in three hours and {converted} codes were entered, where "
        f"{block.usual_conversion:.0%} is usual. {an_hour} starts an hour came, where {block.usual_an_hour:.1f} are "
        f"usual. So it is {_odds(block.evidence)} times likelier fraud than an ordinary day; a block needs "
        f"{_odds(block.needed)} times."
    )


def _odds(evidence: float) -> str:
    return counted(round(exp(min(evidence, 100))))


def _money(block: Block, price: float, watched: bool) -> str:
    if watched:
        return (
            f"The rule only watches: {counted(block.observed)} starts went out that it would have refused, about "
            f"{dollars(block.observed * price)} at {dollars(price)} a message; {counted(block.observed_converted)} of "
            "them were approved."
        )
    return (
        f"{counted(block.refused)} starts were refused, which saved about {dollars(block.refused * price)} at "
        f"{dollars(price)} a message."
    )


def _probes(block: Block) -> str:
    if not block.probes:
        return "No start was let through yet to see whether people are back."
    return (
        f"{counted(block.probes)} were let through to see whether people are back, and "
        f"{counted(block.probes_converted)} of them entered the code."
    )


def _chart(place: str, places: Stats) -> Markup:
    """What became of starts there: of the blocks of numbers that begin so, which are among the busiest. Approvals are
    a line where the events say of what place they are."""
    groups = [group for name, group in places.groups.items() if name.startswith(place)]
    none = (0,) * len(places.buckets)

    def summed(counter: str) -> list[int]:
        return [sum(values) for values in zip(none, *(group.get(counter, none) for group in groups), strict=True)]

    starts, refused = summed("starts"), summed("refused")
    admitted = [asked - no for asked, no in zip(starts, refused, strict=True)]
    series = [Series("starts", starts), Series("refused", refused), Series("admitted", admitted)]
    if any("approved" in group for group in places.groups.values()):
        series.append(Series("approved", summed("approved")))
    return charts.lines(f"{place}, the last two days", places.buckets, series, places.step)
