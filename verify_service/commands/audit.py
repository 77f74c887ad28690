"""`verify-service audit`: who did what, from where, when and why; and whether the log of it is whole."""

import re
import sys
import time
from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings

if TYPE_CHECKING:
    from verify_service.insight.audit import Head
    from verify_service.store.audit import Audit

_PAUSE_S = 1.0
_SHOWN = 20  # faults; of a log that was sealed by another key each entry is one


def _head(_context: click.Context, _parameter: click.Parameter, value: str | None) -> "Head | None":
    from verify_service.insight.audit import Head

    if value is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,14}):([0-9a-f]{64})", value)
    if not found:
        raise click.BadParameter("is a number, a colon and 64 hex digits, as `--verify` prints it")
    return Head(int(found[1]), found[2])


@click.command("audit")
@click.option(
    "--after", type=click.IntRange(0, 10**15), metavar="NUMBER", help="The entries after this one, oldest first."
)
@click.option("--follow", is_flag=True, help="Go on with what is done from now on.")
@click.option("--verify", "verifying", is_flag=True, help="Whether the log is whole; exit status 1 where it is not.")
@click.option(
    "--from",
    "noted",
    metavar="HEAD",
    callback=_head,
    help="With --verify: a head that was noted before.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs: all entries as JSON lines, and the head.")
def audit(after: int | None, follow: bool, verifying: bool, noted: "Head | None", as_json: bool) -> None:
    """Lists what operators did, the newest first. Who, from where, when, why; refused acts, too."""
    from verify_service.insight.audit import line, shown
    from verify_service.remote import remote

    if noted and not verifying:
        raise click.UsageError("--from goes with --verify.")
    log = remote(settings.read()).audit
    if verifying:
        _verify(log, noted)
        return
    encode = msgspec.json.Encoder().encode
    if not (as_json or follow or after is not None):
        newest = log.newest(50)
        click.echo("\n".join(map(line, newest)) if newest else "nothing has been done yet")
        return
    last, seal = after or 0, ""
    while True:
        for kept in log.all(last):
            last, seal = int(kept.name.partition("-")[0]), kept.seal
            click.echo(encode(shown(kept)).decode() if as_json else line(kept))
        if not follow:
            break
        sys.stdout.flush()
        time.sleep(_PAUSE_S)
    if as_json and seal:
        click.echo(encode({"head": f"{last}:{seal}"}).decode())


def _verify(log: "Audit", noted: "Head | None") -> None:
    from verify_service.insight.audit import verify

    found = verify(log, noted)
    for fault in found.faults[:_SHOWN]:
        click.echo(fault)
    if len(found.faults) > _SHOWN:
        click.echo(f"and {len(found.faults) - _SHOWN:,} more")
    if found.entries:
        count = "1 entry" if found.entries == 1 else f"{found.entries:,} entries"
        click.echo(f"{count}, {found.first} to {found.head.seq}; the head is {found.head}")
    else:
        click.echo("the log is empty")
    if found.faults:
        raise RuntimeError("the audit log is not whole")
