"""What a person asks of a tenant, from the command line: to see what is held of them, to have it erased."""

from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.commands.explain import or_to_option, user_option
from verify_service.commands.factors import at_hand
from verify_service.commands.policies import by_option, reason_option
from verify_service.commands.tenants import tenant_option

if TYPE_CHECKING:
    from verify_service.data_subjects import DataSubjects
    from verify_service.model import Actor, Number

_tenant = tenant_option("For whom it is held.")


@click.group()
def person() -> None:
    """What is held of one person."""


@person.command("export")
@or_to_option
@user_option
@_tenant
def export(number: "Number | None", user: str | None, tenant: str) -> None:
    """Prints all that is held of a number, or of a user, for a tenant. As JSON; secrets and codes are not in it."""
    to = _one(number, user)
    held = _data_subjects().export(tenant, to) if to else at_hand()[1].held_of(tenant, user or "")
    click.echo(msgspec.json.format(msgspec.json.encode(held), indent=2).decode())


@person.command("erase")
@or_to_option
@user_option
@_tenant
@reason_option
@by_option
def erase(number: "Number | None", user: str | None, tenant: str, reason: str, by: "Actor") -> None:
    """Forgets a number, or a user, for a tenant. An opt-out in force stays, as one bare word."""
    if to := _one(number, user):
        erased = _data_subjects().erase(tenant, to, by, reason)
        click.echo(f"{to}: erased for {tenant}, {erased} verifications among it")
    else:
        there = at_hand()[1].erase(tenant, user or "", by, reason)
        click.echo(f"the user is erased for {tenant}" if there else f"{tenant} holds nothing of the user")


@person.command("unread")
def unread() -> None:
    """Prints the keywords that are nobody's. Each is a STOP, START or HELP whose sender cannot be read, of the last 90
    days, as a line of JSON."""
    from verify_service.duration import rfc3339

    for text in _data_subjects().unread():
        click.echo(msgspec.json.encode(msgspec.to_builtins(text) | {"at": rfc3339(text.at)}).decode())


def _one(number: "Number | None", user: str | None) -> str | None:
    """The number, or None where it is the user who is named."""
    if (number is None) == (user is None):
        raise click.UsageError("Name either a number with --to, or a user with --user.")
    return number.e164 if number else None


def _data_subjects() -> "DataSubjects":
    from verify_service.data_subjects import DataSubjects
    from verify_service.remote import remote

    service = remote(settings.read())
    return DataSubjects(service.store, service.tagger, service.clock)
