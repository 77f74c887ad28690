"""What a person asks of a tenant, from the command line: to see what is held of them, to have it erased."""

from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.commands.explain import to_option
from verify_service.commands.policies import by_option, reason_option
from verify_service.commands.tenants import tenant_option

if TYPE_CHECKING:
    from verify_service.data_subjects import DataSubjects
    from verify_service.model import Number

_tenant = tenant_option("For whom it is held.")


@click.group()
def person() -> None:
    """What is held of one person."""


@person.command("export")
@to_option
@_tenant
def export(number: "Number", tenant: str) -> None:
    """Prints all that is held of a number for a tenant, as JSON."""
    found = msgspec.json.encode(_data_subjects().export(tenant, number.e164))
    click.echo(msgspec.json.format(found, indent=2).decode())


@person.command("erase")
@to_option
@_tenant
@reason_option
@by_option
def erase(number: "Number", tenant: str, reason: str, by: str) -> None:
    """Forgets a number for a tenant. An opt-out in force stays, as one bare word."""
    erased = _data_subjects().erase(tenant, number.e164, by, reason)
    click.echo(f"{number.e164}: erased for {tenant}, {erased} verifications among it")


@person.command("unread")
def unread() -> None:
    """Prints the keywords that are nobody's. Each is a STOP, START or HELP whose sender cannot be read, of the last 90
    days, as a line of JSON."""
    from verify_service.duration import rfc3339

    for text in _data_subjects().unread():
        click.echo(msgspec.json.encode(msgspec.to_builtins(text) | {"at": rfc3339(text.at)}).decode())


def _data_subjects() -> "DataSubjects":
    from verify_service.data_subjects import DataSubjects
    from verify_service.remote import remote

    service = remote(settings.read())
    return DataSubjects(service.store, service.tagger, service.clock)
