"""Sessions of the console from the command line: end."""

from typing import TYPE_CHECKING

import click

from verify_service import settings
from verify_service.commands.policies import by_option, reason_option

if TYPE_CHECKING:
    from verify_service.model import Actor


@click.group()
def sessions() -> None:
    """Who is signed in to the console."""


@sessions.command("end")
@click.argument("operator", metavar="NAME")
@reason_option
@by_option
def end(operator: str, reason: str, by: "Actor") -> None:
    """Signs an operator out everywhere. NAME is that of `[[operators]]`, or the entry of `admins` or `readers`."""
    from verify_service.operators import actors
    from verify_service.remote import remote
    from verify_service.store.audit import Audit

    service = remote(settings.read())
    with Audit(service.store.link, service.tagger).act(service.clock.now(), by, "sign-out", operator, reason):
        ended = sum(map(service.store.sessions.end_all, actors(operator)))
    click.echo(f"{ended} session{'' if ended == 1 else 's'} of {operator} ended")
