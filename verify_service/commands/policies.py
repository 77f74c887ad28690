"""The live policy from the command line: push, show, log, compare, roll back."""

import difflib
import getpass
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.errors import ConfigError
from verify_service.model import Actor

if TYPE_CHECKING:
    from verify_service.remote import Remote


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # A container's user may have no name.
        return "unknown"


def line(_context: click.Context, parameter: click.Parameter, value: str) -> str:
    """One line; an empty one where it may be left out."""
    if (parameter.required and not value.strip()) or "\n" in value or len(value) > 500:
        raise click.BadParameter("is one line of 1 to 500 characters")
    return value


def _actor(_context: click.Context, _parameter: click.Parameter, name: str) -> Actor:
    """Whoever is named, at the login name and host where the command runs."""
    return Actor(name, f"{_login()}@{socket.gethostname()}")


def _revision(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    if not re.fullmatch("[1-9][0-9]{0,8}", value):
        raise click.BadParameter(f"{value!r} is no revision: write a number such as 3; `policy log` lists them")
    return int(value)


reason_option = click.option("--reason", required=True, callback=line, help="One line on why, for the events.")
by_option = click.option(
    "--by", default=_login, callback=_actor, help="Who does it, for the log.  [default: the login name]"
)
_note = click.option("--note", default="", help="One line on why, for the log.")
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


@click.command("push")
@click.argument("file", type=click.Path(path_type=Path))
@by_option
@_note
def push(file: Path, by: Actor, note: str) -> None:
    """Puts a policy in force. In every process within two seconds; one that cannot be used changes nothing."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    _judge(text, str(file))
    service = _remote()
    pushed = service.policy.push(service.clock.now(), by, note, text, source=str(file))
    click.echo(f"revision {pushed.revision} is in force")


@click.command("show")
@click.option("--rev", metavar="REVISION", callback=_revision, help="An earlier revision.  [default: the one in force]")
@_json
def show(rev: int | None, as_json: bool) -> None:
    """Prints the policy in force, as it was pushed."""
    from verify_service.insight.policy import shown

    found = _remote().policy.revision(rev)
    if as_json:
        click.echo(msgspec.json.encode(shown(found)).decode())
    else:
        click.echo(found.text, nl=not found.text.endswith("\n"))


@click.command("log")
@_json
def log(as_json: bool) -> None:
    """Lists all revisions, newest first: when, by whom, why."""
    from verify_service.insight.policy import entry

    lines = [entry(each) for each in _remote().policy.history.log()]
    if as_json:
        click.echo(msgspec.json.encode(lines).decode())
        return
    width = max((len(str(line["by"])) for line in lines), default=0)
    for line in lines:
        click.echo(f"{line['revision']:>4}  {line['at']}  {line['by']:<{width}}  {line['note']}".rstrip())


@click.command("diff")
@click.argument("rev", callback=_revision)
@click.argument("other", metavar="[REV]", required=False, callback=_revision)
@_json
def diff(rev: int, other: int | None, as_json: bool) -> None:
    """Shows what changed since a revision. First the keys, then the lines.

    Up to another revision where a second one is named, else up to the one in force.
    """
    from verify_service.duration import rfc3339
    from verify_service.policy.changes import changes

    live = _remote().policy
    old, new = live.revision(rev), live.revision(other)
    keys = list(changes(old.text, new.text))
    was, now = ((f"revision {each.revision}", f"{rfc3339(each.at)} {each.by}") for each in (old, new))
    texts = old.text.splitlines(), new.text.splitlines()
    lines = list(difflib.unified_diff(*texts, was[0], now[0], was[1], now[1], lineterm=""))
    if as_json:
        shown = {"from": old.revision, "to": new.revision, "changed": keys, "diff": lines}
        click.echo(msgspec.json.encode(shown).decode())
        return
    if not lines:
        click.echo(f"revisions {old.revision} and {new.revision} say the same")
        return
    click.echo("\n".join([*keys, "", *lines] if keys else lines))


@click.command("rollback")
@click.argument("rev", callback=_revision)
@by_option
@click.option("--note", help="One line on why, for the log.  [default: rollback to REV]")
def rollback(rev: int, by: Actor, note: str | None) -> None:
    """Puts an earlier revision in force again, as a new revision."""
    service = _remote()
    why = f"rollback to {rev}" if note is None else note
    pushed = service.policy.rollback(service.clock.now(), by, why, rev)
    click.echo(f"revision {pushed.revision} is in force, with the text of {rev}")


def _judge(text: str, source: str) -> None:
    """Before the store is looked for: a bad file is named wherever the command runs."""
    from verify_service.policy.file import parse

    parse(text, source)


def _remote() -> "Remote":
    from verify_service.remote import remote

    return remote(settings.read())
