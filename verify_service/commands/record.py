"""`verify-service record`: what happened, as a scenario that a test can play."""

import re
import sys

import click
import msgspec

from verify_service import settings

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def milliseconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    """How far back, from what is written as 90s, 30m, 24h or 7d."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([smhd])", value)
    if not match:
        raise click.BadParameter("write a number and s, m, h or d, such as 24h")
    return int(match[1]) * _UNITS[match[2]] * 1000


def _ids(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    for each in value:
        if not re.fullmatch("ve_[0-9a-f]{32}", each):
            raise click.BadParameter(f"{each} is not the id of a verification")
    return value


@click.command("record")
@click.argument("ids", nargs=-1, metavar="[ID]...", callback=_ids)
@click.option("--since", "back", callback=milliseconds, help="All that happened for so long: 90s, 30m, 24h, 7d.")
@click.option("--tenant", help="Whose; needed where several tenants had starts.")
def record(ids: tuple[str, ...], back: int | None, tenant: str | None) -> None:
    """Prints what happened as a scenario. Of verifications, by their ids, or of all for some time.

    Numbers, addresses and ids are made up, the same one each time for the same person. A test plays it with the fixture
    `verify_replay`; a backtest reads it as any other record.
    """
    from verify_service.backtest.scenario import scenario
    from verify_service.remote import clock_of, store_at_hand

    if not ids and back is None:
        raise click.UsageError("say which: ids of verifications, or --since, such as --since 1h")
    found = settings.read()
    store = store_at_hand(found)
    since = 0 if back is None else clock_of(found, store).now() - back
    encode = msgspec.json.Encoder().encode
    for line in scenario(store.events.read(since), ids, tenant):
        sys.stdout.write(encode(line).decode() + "\n")
