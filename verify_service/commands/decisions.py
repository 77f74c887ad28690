"""`verify-service decisions`: the latest decisions on starts, by what is asked for."""

from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.errors import InvalidRequest

if TYPE_CHECKING:
    from verify_service.insight.decisions import Decided


@click.command("decisions")
@click.option("--outcome", type=click.Choice(["refused", "observed", "admitted"]), help="What was decided.")
@click.option("--rule", metavar="NAME", help="The limit or rule that refused it, or would have.")
@click.option("--country", metavar="CC", help="The number's country, such as GB.")
@click.option("--range", metavar="PREFIX", help="How the number begins, such as +44791; or a domain with its @.")
@click.option("--tenant", help="Whose starts.")
@click.option("--number", metavar="PSEUDONYM", help="The number, by its pseudonym in an event.")
@click.option("--ip", metavar="PSEUDONYM", help="The person's address, by its pseudonym in an event.")
@click.option("--user", metavar="PSEUDONYM", help="The tenant's user, by the pseudonym in an event.")
@click.option("--limit", default="50", show_default=True, help="How many, 100 at most.")
@click.option("--before", metavar="PLACE", help="Goes on from where an earlier look ended.")
@click.option("--status", is_flag=True, help="With what has become of each verification since.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def decisions(as_json: bool, status: bool, **said: str | None) -> None:
    """Lists the latest decisions on starts, the newest first. Refused, admitted, or `observed`: admitted, though
    something in observe mode would have refused it."""
    from verify_service.insight.decisions import asked, decided, shown
    from verify_service.remote import clock_of, store_at_hand

    given = {name: value for name, value in said.items() if value is not None}
    try:
        ask = asked(given | ({"status": "true"} if status else {}))
    except InvalidRequest as error:
        (wrong, *_) = error.members["errors"]
        raise click.BadParameter(wrong["message"], param_hint=f"--{wrong['field']}") from None
    found = settings.read()
    store = store_at_hand(found)
    answer = decided(store, clock_of(found, store).now(), ask)
    if as_json:
        click.echo(msgspec.json.encode(shown(answer)).decode())
        return
    for each in answer.decisions:
        click.echo(_lines(each))
    if not answer.decisions:
        click.echo("no such decision among the events that were gone through")
    if answer.before:
        click.echo(f"older ones: --before {answer.before}")


def _lines(each: "Decided") -> str:
    from verify_service.duration import rfc3339

    who = f"{each.range or '-'} ({each.number})  tenant {each.tenant}, {each.purpose} by {each.channel}"
    by = each.rule or ", ".join(each.observed)
    word = {"refused": "refused by ", "observed": "would be refused by "}.get(each.outcome, "admitted") + by
    more = [f"{each.repeats} such starts"] if each.repeats > 1 else []
    more += [f"the verification is {each.status}"] if each.status else []
    first = f"{rfc3339(each.at)}  {word}  {who}  {each.id}{''.join(f', {part}' for part in more)}"
    return "\n".join([first, *(f"    {line}" for line in (each.sentence, each.advice) if line)])
