"""Live blocks from the command line: list with their evidence, lift."""

from typing import TYPE_CHECKING

import click
import msgspec

from verify_service import settings
from verify_service.commands.policies import by_option, reason_option
from verify_service.errors import ConfigError

if TYPE_CHECKING:
    from verify_service.model import Actor
    from verify_service.remote import Remote
    from verify_service.store.blocks import Block


@click.group()
def blocks() -> None:
    """Blocks that detectors have made."""


@blocks.command("list")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def blocks_list(as_json: bool) -> None:
    """Lists the live blocks, the newest first. With what they were made on, and what they did since."""
    from verify_service.insight.blocks import live, shown

    service = _remote()
    found = live(service.store, service.rules, service.clock.now())
    if as_json:
        click.echo(msgspec.json.encode([shown(block) for block in found]).decode())
        return
    for block in found:
        click.echo(_lines(block))
    if not found:
        click.echo("no live block")


@blocks.command("lift")
@click.argument("block_id", metavar="ID")
@reason_option
@by_option
def blocks_lift(block_id: str, reason: str, by: "Actor") -> None:
    """Ends a block at once. Its place needs more evidence from now on, for as long as `forgive` says."""
    lifted = _remote().relief.lift(block_id, by, reason)
    if lifted is None:
        raise ConfigError(f"{block_id}: no such live block; `verify-service blocks list` shows them")
    click.echo(f"{lifted.place} is free again (rule {lifted.rule}, {_refused(lifted)})")


def _remote() -> "Remote":
    from verify_service.remote import remote

    return remote(settings.read())


def _lines(block: "Block") -> str:
    from verify_service.insight.blocks import shown

    facts = shown(block)
    return (
        f"{block.id}  {block.place}  rule {block.rule} ({block.mode})  {facts['at']} to {facts['till']}\n"
        f"    made on {block.messages:.0f} messages with {block.converted:.0f} converted, "
        f"where {block.usual_conversion:.0%} is usual; {block.an_hour:.0f} starts an hour, "
        f"where {block.usual_an_hour:.1f} is usual; odds for fraud {facts['odds']:,} to 1\n"
        f"    since then: {_refused(block)}, {block.probes} probes, "
        f"{block.probes_converted} converted"
    )


def _refused(block: "Block") -> str:
    watched = f"{block.observed} that would have been in observe mode, {block.observed_converted} of them converted"
    return f"{block.refused} starts refused" + (f", {watched}" if block.observed else "")
