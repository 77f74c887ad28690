"""A tenant's dead letters from the command line: list, replay."""

from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.commands.policies import by_option, line
from verify_service.commands.tenants import tenant_option

if TYPE_CHECKING:
    from verify_service.model import Actor

_tenant = tenant_option("Whose endpoint.")


@click.group()
def webhooks() -> None:
    """Events for the tenants' own endpoints."""


@webhooks.command("dead")
@_tenant
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def dead(tenant: str, as_json: bool) -> None:
    """Lists the events that were given up, the newest first, and why."""
    from verify_service.insight.webhooks import dead_letters
    from verify_service.remote import store_at_hand

    shown = dead_letters(store_at_hand(settings.read()), tenant)
    if as_json:
        click.echo(msgspec.json.encode(shown).decode())
        return
    for each in shown:
        click.echo("{at}  {id}  {event} of {happened_at}: {reason}".format(**each))
    if not shown:
        click.echo("no dead letter")


@webhooks.command("replay")
@_tenant
@click.option("--reason", default="", callback=line, help="One line on why, for the log.")
@by_option
def replay(tenant: str, reason: str, by: "Actor") -> None:
    """Has all dead letters tried again, oldest first. An endpoint that had answered 410 is on again."""
    from verify_service.remote import remote

    click.echo(f"{remote(settings.read()).relief.replay(tenant, by, reason)} events are tried again")
