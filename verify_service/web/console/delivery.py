"""How messages fare: providers, senders, receipts, and what tenants' own endpoints did not take."""

from typing import Any, Final

from flask import Response, request

from verify_service.errors import NotFound
from verify_service.insight import overview, providers, webhooks
from verify_service.operators import Operator
from verify_service.web.console import charts
from verify_service.web.console.charts import Bar, counted, dollars, percent
from verify_service.web.console.forms import fields, onward
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console
from verify_service.web.context import context

_MOST_SHIFTS: Final = 20
_MOST_LETTERS: Final = 20
_MOST_COUNTRIES: Final = 30
_LONG_LINE_S: Final = 5.0
"""A bar of a sender's line is full from here on: a person waits no longer for a code without asking again."""


@console.get("/delivery")
@operator("read")
def delivery(who: Operator) -> Response:
    page = "delivery_live" if "X-Live" in request.headers else "delivery"
    return show(page, who, title="Delivery", **_health(), **({} if page == "delivery_live" else _letters()))


@console.post("/delivery/<tenant>/replay")
@operator("admin")
def replay(who: Operator, tenant: str) -> Response:
    (reason,) = fields("reason")
    if tenant not in context().config.webhooks:
        raise NotFound("There is no such tenant with an endpoint.")
    count = context().relief.replay(tenant, who.actor, reason)
    return onward("/delivery", f"{counted(count)} {'event is' if count == 1 else 'events are'} tried again.")


def _health() -> dict[str, Any]:
    store, config, now = context().store, context().config, context().clock.now()
    ways = providers.health(store, config, now)
    return {
        "reasons": context().readiness.reasons(),
        "depth": store.outbox.depth(),
        "ways": ways,
        "cost": _cost,
        "weights": charts.bars(
            "Weights",
            [_weight(way) for way in ways],
            "No provider is in a route. Write one into verify.toml, as the page of your provider says.",
        ),
        "shifts": store.health.shifts(_MOST_SHIFTS),
        "senders": charts.bars(
            "Senders",
            [_sender(each) for each in providers.senders(store, config, now)],
            "verify.toml names no sender: each provider sends from what its account has.",
        ),
        "receipts": charts.bars(
            "Receipts by country, of the last 24 hours",
            _receipts(now),
            "Nothing was sent in this time.",
        ),
    }


def _weight(way: dict[str, Any]) -> Bar:
    share = way["weight_percent"]
    words = f"{share}% of its weight" + (f": {way['reason']}" if way["reason"] else "")
    return Bar(f"{way['provider']} {way['channel']}", share, 100, words, state="" if share == 100 else "near")


def _sender(each: dict[str, Any]) -> Bar:
    line, rate = each["line_s"], each["per_second"]
    words = [f"{counted(each['messages'])} messages in {counted(each['segments'])} segments today"]
    if rate is not None:
        words += [f"{rate:g} a second at most", f"{line:.1f} s in line" if line else "nobody in line"]
    state = "full" if line >= _LONG_LINE_S else ""
    return Bar(f"{each['sender']} ({each['type']})", line, _LONG_LINE_S, "; ".join(words), state=state)


def _receipts(now: int) -> list[Bar]:
    """What of the messages to a country is known to have arrived."""
    found = overview.over(context().store, overview.WINDOWS["24h"], now, "country")
    sums = {name: overview.sums(found, name) for name in found.groups}
    ordered = sorted((name for name in sums if sums[name].get("sent")), key=lambda name: -sums[name]["sent"])
    return [
        Bar(
            name,
            told.get("delivered", 0),
            told["sent"],
            f"{percent(told.get('delivered', 0), told['sent'])} of {counted(told['sent'])} delivered, "
            f"{counted(told.get('failed', 0))} failed",
        )
        for name in ordered[:_MOST_COUNTRIES]
        for told in (sums[name],)
    ]


def _letters() -> dict[str, Any]:
    """Tenants with an endpoint, and the newest dead letters of the one that is asked for, else of the first that has
    any."""
    store = context().store
    counts = {tenant: store.webhooks.counts([tenant]) for tenant in sorted(context().config.webhooks)}
    asked = request.args.get("tenant", "")
    tenant = asked if asked in counts else next((name for name, (_, dead) in counts.items() if dead), "")
    letters = webhooks.dead_letters(store, tenant, _MOST_LETTERS)[:_MOST_LETTERS] if tenant else []
    return {"endpoints": counts, "tenant": tenant, "letters": letters}


def _cost(today: list[dict[str, Any]]) -> str:
    """What the vendors have said that today cost, where they say it."""
    told = [each["price"] for each in today if each["price"] is not None]
    return dollars(sum(told)) if told else "–"
