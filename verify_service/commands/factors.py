"""Second factors from the command line: brought in from another system, given out to one."""

import os
import sys
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.commands.policies import by_option, reason_option
from verify_service.commands.progress import progress
from verify_service.commands.tenants import tenant_option

if TYPE_CHECKING:
    from verify_service.factors.keeping import Keeping, Refusal
    from verify_service.model import Actor
    from verify_service.remote import Remote

_SHOWN = 20  # refused lines on a terminal; a report has them all


@click.group()
def factors() -> None:
    """Users' second factors."""


@factors.command("import")
@click.argument("file", type=click.File("rb"))
@tenant_option("Whose users they are.")
@click.option("--report", type=click.File("w", lazy=False), help="A file for the lines that are refused, JSON lines.")
@by_option
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def import_(file: IO[bytes], tenant: str, report: IO[str] | None, by: "Actor", as_json: bool) -> None:
    """Takes in factors of another system. FILE has a JSON line each: {"user": "…", "uri": "otpauth://totp/…"}.

    - is standard input. What is here already stays as it is, so a file that broke off is read again from its beginning.
    Exit status 2 where a line is refused; all others are taken.
    """
    from verify_service.factors.keeping import lines

    service, keeping = at_hand()
    refused: list[Refusal] = []

    def refuse(one: "Refusal") -> None:
        if len(refused) < _SHOWN:
            refused.append(one)
        if report:
            report.write(msgspec.json.encode(one._asdict()).decode() + "\n")

    most = service.rules().policy.factors.per_user
    size = _size(file)
    with progress("import", size, "is read") if size else nullcontext(lambda _: None) as advance:
        tally = keeping.take(tenant, lines(file, advance), most, refuse, by)
    if as_json:
        click.echo(msgspec.json.encode(tally).decode())
    else:
        click.echo(
            f"{tally.lines:,} lines: {tally.taken:,} imported, {tally.known:,} were here already, "
            f"{tally.refused:,} refused" + ("" if tally.taken else "; nothing has changed")
        )
        if tally.short:
            click.echo(f"{tally.short:,} have secrets below 112 bits: have these users enrol anew when you can")
    if not report:
        for one in refused:
            click.echo(f"line {one.line}: {one.reason}", err=True)
        if tally.refused > len(refused):
            click.echo(f"and {tally.refused - len(refused):,} more; --report FILE has them all", err=True)
    if tally.refused:
        sys.exit(2)


@factors.command("export")
@tenant_option("Whose users.")
@reason_option
@by_option
def export(tenant: str, reason: str, by: "Actor") -> None:
    """Prints the verified factors of all users, secrets and all. As JSON lines that `import` reads.

    Send it through a program that encrypts; it is not printed on a terminal. Recovery codes are not in it: only their
    hashes are kept.
    """
    if sys.stdout.isatty():
        raise click.UsageError(
            "every secret would stand on this terminal; send it to a program, as in `| age -r … > FILE`"
        )
    _, keeping = at_hand()
    encode, done = msgspec.json.Encoder().encode, 0
    with progress("export", keeping.held()) as advance:
        for done, line in enumerate(keeping.give(tenant, by, reason), 1):
            if line is not None:
                sys.stdout.buffer.write(encode(line) + b"\n")
            advance(done)
    sys.stdout.flush()


@click.command("reseal")
@click.option("--erase-lost", metavar="KID", default="", help="Erase the users whom this key sealed: it is lost.")
@by_option
def reseal(erase_lost: str, by: "Actor") -> None:
    """Seals all that is kept under the newest key. Then the others may leave the ring; checks go on meanwhile.

    Each role is to have the newest key in front before, or it goes on sealing with another.
    """
    _, keeping = at_hand()
    if erase_lost in keeping.kids:
        raise click.BadParameter(f"{erase_lost} is in VERIFY_KEYS, and opens what it sealed", param_hint="--erase-lost")
    with progress("reseal", keeping.foreign()) as advance:
        done = keeping.reseal(by, advance, erase_lost=erase_lost)
    left = keeping.foreign()
    what = f"{left:,} are left" if left else "no other key seals anything"
    click.echo(f"{done.pieces:,} pieces are sealed anew; {what}")
    if erase_lost:
        click.echo(f"{done.erased:,} users of the key {erase_lost} are erased; have them enrol anew")
    if done.unopened:
        raise RuntimeError(
            f"no key of VERIFY_KEYS opens {done.unopened:,} users: put their key back behind the others; one that is "
            "lost for good goes to --erase-lost"
        )
    if left:
        raise RuntimeError("an older key still seals: restart every role with the newest in front, and run this again")


def _size(file: IO[bytes]) -> int:
    """In bytes; 0 of what has none, such as a pipe."""
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0


def at_hand() -> "tuple[Remote, Keeping]":
    """The service that runs, and what works on its users. Raises ConfigError, StoreUnavailable."""
    from verify_service.factors.keeping import Keeping
    from verify_service.remote import remote, ring

    found = settings.read()
    service = remote(found)
    return service, Keeping(service.store, ring(found), service.tagger, service.clock)
