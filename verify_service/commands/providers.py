"""How the providers do, for operators: their health, what they answer and how fast, what today has cost."""

from collections.abc import Iterator
from typing import Any

import click
import msgspec

from verify_service import settings

# The share of errors from which a weight shifts, where there is another provider (docs/delivery.md).
DOES_BADLY = 0.3
_STRAYS = {
    "word": "receipts with a word that is not known",
    "nameless": "receipts that name no message",
    "unmatched": "receipts whose id matched no message",
    "text": "texts that could not be read",
    "entry": "entries of lists that could not be read",
}


@click.command("providers")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def providers(as_json: bool) -> None:
    """Shows how each provider does. By channel: weight, answer times, errors, receipts, and today by sender (UTC)."""
    from verify_service.config import load
    from verify_service.insight.providers import health
    from verify_service.remote import clock_of, store_at_hand

    found = settings.read()
    config = load(found.config, found.api_key)
    store = store_at_hand(found)
    now = clock_of(found, store).now()
    shown = health(store, config, now)
    if as_json:
        click.echo(msgspec.json.encode(shown).decode())
        return
    for each in shown:
        for line in _lines(each):
            click.echo(line)


def _lines(each: dict[str, Any]) -> Iterator[str]:
    why = f" since {each['shifted_at']}: {each['reason']}" if each["reason"] else _although(each)
    yield f"{each['provider']}  {each['channel']}  {each['weight_percent']} % of its weight{why}"
    yield (
        f"    lately: half of the answers within {_ms(each['p50_ms'])}, 95 % within {_ms(each['p95_ms'])}; "
        f"errors {_percent(each['errors'])}, receipts {_percent(each['receipts'])}"
    )
    for day in each["today"]:
        yield (
            f"    today by {day['sender'] or 'the brand'}: {day['messages']} messages, "
            f"{day['segments']} segments, {day['delivered']} delivered, {day['failed']} failed, "
            f"{_dollars(day['price'])}"
        )
    if each["strays"]:
        told = ", ".join(f"{times} {_STRAYS.get(why, why)}" for why, times in sorted(each["strays"].items()))
        yield f"    today by all channels, told and not used: {told}"


def _although(each: dict[str, Any]) -> str:
    """Why one that does badly keeps its weight: it is shifted only to another that does better."""
    if each["weight_percent"] < 100 or (each["errors"] or 0) < DOES_BADLY:
        return ""
    return f", although {_percent(each['errors'])} of its tries fail: no other provider of its routes does better"


def _ms(ms: int | None) -> str:
    return "—" if ms is None else f"{ms} ms"


def _dollars(price: float | None) -> str:
    """Not every vendor tells a price: what nobody has told is not nothing."""
    return "price —" if price is None else f"${price:.2f}"


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{share:.0%}"
