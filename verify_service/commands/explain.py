"""What a security team asks about single starts from the command line: explain one, unlock a number or a user."""

import ipaddress
import re
import sys
from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.commands.policies import by_option, reason_option
from verify_service.errors import Problem

if TYPE_CHECKING:
    from verify_service.model import Actor, Number
    from verify_service.policy.decisions import Decision
    from verify_service.remote import Remote

# What an explanation, which no store keeps, has no use for.
_OF_A_RECORD = ("count", "last_at")
_COLOURS = {"pass": "green", "refuse": "red", "observe": "yellow"}


def _number(_context: click.Context, _parameter: click.Parameter, value: str | None) -> "Number | None":
    from verify_service import recipient

    if value is None:
        return None
    try:
        return recipient.parse(value, None)
    except Problem as error:
        # The API's words may name its `region`, which no command has.
        national = "@" not in value and not value.startswith("+")
        fix = "Write the number in E.164: + and the country code first, such as +14155550123."
        raise click.BadParameter(fix if national else error.detail) from None


def _address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else str(ipaddress.ip_address(value))
    except ValueError:
        raise click.BadParameter("is not an IPv4 or IPv6 address") from None


def _keys(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    from verify_service.policy.sections import OWN

    said = {name: own for name, _, own in (each.partition("=") for each in value)}
    if not all(own and re.match(OWN, f"key:{name}") for name, own in said.items()):
        raise click.BadParameter("is written name=value, such as account=a-17; a name is of a-z, 0-9 and _")
    return said


def _user(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    from verify_service.model import USER

    if value is not None and not re.match(USER, value):
        raise click.BadParameter("is 1 to 256 characters, no / and no control characters among them")
    return value


def _tenant(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """A tenant of the service: one of the file's, where VERIFY_CONFIG says which that is."""
    from verify_service import config
    from verify_service.hints import nearest

    if value is None:
        return None
    found = settings.read()
    known = {"default", *config.load(found.config, None).tenants} if found.config else {value}
    if value not in known:
        raise click.BadParameter(f"{found.config} has no [tenants.{value}]{nearest(value, known)}")
    return value


user_option = click.option("--user", callback=_user, help="The tenant's own name for the person.")
or_to_option = click.option("--to", "number", callback=_number, help="The number, in E.164.")


@click.command("explain")
@or_to_option
@click.option("--ip", callback=_address, help="The address of the person who asks for a code.")
@click.option("--device", help="Your name for the person's device.")
@click.option("--key", "keys", metavar="NAME=VALUE", multiple=True, callback=_keys, help="One of your own `keys`.")
@user_option
@click.option("--purpose", default="login", show_default=True, help="What the code would be for.")
@click.option("--tenant", default="default", show_default=True, callback=_tenant, help="Whose start it would be.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def explain(
    number: "Number | None",
    ip: str | None,
    device: str | None,
    keys: dict[str, str],
    user: str | None,
    purpose: str,
    tenant: str,
    as_json: bool,
) -> None:
    """Judges a start that is not made. By every limit and rule of the policy in force; nothing is spent. With --user
    and no --to, a code of that user's factors; with --ip alone, what limits have counted of the address."""
    if number is None and not user and not ip:
        raise click.UsageError("Name the number with --to, or with --user alone whose factors a code is typed for.")
    if number is None and (device or keys or (user and ip)):
        raise click.UsageError("--ip, --device and --key are of a start: name its number with --to.")
    asked = _remote().explain
    if number is not None:
        found = asked.explain(tenant, number, ip=ip, device=device, keys=keys, user=user, purpose=purpose)
    elif ip is not None:
        found = asked.explain_address(tenant, ip)
    else:
        found = asked.explain_user(tenant, user or "")
    if as_json:
        from verify_service.insight.explain import shown

        told = {name: each for name, each in shown(found).items() if name not in _OF_A_RECORD}
        click.echo(msgspec.json.encode(told).decode())
    elif sys.stdout.isatty():
        _table(found, "A start" if number else "A start from the address" if ip else "A code of the user")
    else:
        for each in found.judged:
            click.echo(f"{each.verdict:<7}  {each.mode:<7}  {each.name}: {each.sentence}")
        click.echo(f"{found.decision}: {found.sentence} (revision {found.revision})")


@click.command("unlock")
@or_to_option
@user_option
@click.option("--tenant", callback=_tenant, help="Whose user it is; `default` where it is left out.")
@reason_option
@by_option
def unlock(number: "Number | None", user: str | None, tenant: str | None, reason: str, by: "Actor") -> None:
    """Forgets what limits have counted of a number or a user. Wrong codes, too; in force at once."""
    if (number is None) == (user is None):
        raise click.UsageError("Name either a number with --to, or a user with --user.")
    if number is not None:
        if tenant is not None:
            raise click.UsageError("--tenant goes with --user: a number is unlocked for all tenants.")
        whose, forgotten = number.e164, _remote().relief.unlock(number.e164, by, reason)
    else:
        whose, forgotten = user or "", _remote().relief.unlock_user(tenant or "default", user or "", by, reason)
    click.echo(f"{whose}: {forgotten} counts forgotten")


def _remote() -> "Remote":
    from verify_service.remote import remote

    return remote(settings.read())


def _table(found: "Decision", what: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{what} under revision {found.revision} of the policy", title_justify="left")
    for name in ("limit or rule", "mode", "verdict", "what it says"):
        table.add_column(name)
    for each in found.judged:
        verdict = Text("would refuse" if each.verdict == "observe" else each.verdict, _COLOURS[each.verdict])
        table.add_row(Text(each.name), each.mode, verdict, Text(each.sentence))
    console = Console(highlight=False)
    console.print(table)
    console.print(Text(f"{found.decision}: {found.sentence}", "bold"))
