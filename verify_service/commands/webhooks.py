"""A tenant's dead letters from the command line: list, replay."""

from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.commands.tenants import tenant_option

if TYPE_CHECKING:
    from verify_service.store import Store

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

    store, _ = _at_hand()
    shown = dead_letters(store, tenant)
    if as_json:
        click.echo(msgspec.json.encode(shown).decode())
        return
    for line in shown:
        click.echo("{at}  {id}  {event} of {happened_at}: {reason}".format(**line))
    if not shown:
        click.echo("no dead letter")


@webhooks.command("replay")
@_tenant
def replay(tenant: str) -> None:
    """Has all dead letters tried again, oldest first. An endpoint that had answered 410 is on again."""
    store, now = _at_hand()
    click.echo(f"{store.webhooks.replay(now, tenant)} events are tried again")


def _at_hand() -> "tuple[Store, int]":
    from verify_service.remote import clock_of, store_at_hand

    found = settings.read()
    store = store_at_hand(found)
    return store, clock_of(found, store).now()
