"""What goes out, from the command line: one text as it would be sent, and what each text takes and costs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
import msgspec

from verify_service import settings
from verify_service.messages import NONE, Own, compose
from verify_service.messages import notice as notice_text
from verify_service.messages.measure import size
from verify_service.messages.own import SAMPLE_CODE, SAMPLE_MINUTES
from verify_service.model import NoticeName
from verify_service.routing import CHANNELS

if TYPE_CHECKING:
    from verify_service.messages.lint import Figures
    from verify_service.policy.file import Policy

# Eleven characters: as long as an alphanumeric sender may be.
BRAND = "Example Ltd"
_MOST_SHOWN = 10


@click.group("messages")
def messages() -> None:
    """The texts that people get."""


@messages.command("lint")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--brand", "brands", multiple=True, help="Reckon with this brand.  [default: the tenants' of FILE]")
@click.option("--shipped", is_flag=True, help="The shipped texts as well, where FILE is given.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def lint(file: Path | None, brands: tuple[str, ...], shipped: bool, as_json: bool) -> None:
    """Says what each text takes and costs, and what is wrong with it. Also what forces it out of the 7-bit alphabet.

    Judges texts alone: routes, senders and providers are judged where a role starts. FILE is a verify.toml; without
    one, VERIFY_CONFIG's, and without that, the shipped texts. Reckons with an 8-digit code, ten minutes and the
    longest brand. Exit status 2 where a text is no good, or takes two segments.
    """
    from verify_service import config
    from verify_service.messages import lint as figures
    from verify_service.policy import file as policy_file

    found = settings.read()
    policy = policy_file.load(found.policy)
    source = file or found.config
    texts, theirs = config.written(source) if source else ([], [])
    reckoned = brands or tuple(theirs) or (BRAND,)
    rows = [*figures.of_own(texts, reckoned)]
    if shipped or not texts:
        rows += figures.of_shipped(reckoned)
    if as_json:
        costs = [{**msgspec.to_builtins(row), "costs": _costs(row.segments, policy)} for row in rows]
        click.echo(msgspec.json.encode(costs).decode())
    else:
        _print(rows, policy)
    bad = [row for row in rows if row.faults or row.segments > 1]
    for row in bad:
        for fault in row.faults or (f"takes {row.segments} segments, each billed; shorten the brand",):
            click.echo(f"verify-service: {row.text}: {fault}", err=True)
    if bad:
        sys.exit(2)


@messages.command("show")
@click.option("--locale", help="The language that the person reads, such as pt-BR.")
@click.option("--country", default="US", show_default=True, help="The number's country.")
@click.option("--purpose", default="login", show_default=True, help="What the code is for.")
@click.option("--notice", type=click.Choice(get_args(NoticeName)), help="A notice, in place of a code.")
@click.option("--channel", default="sms", show_default=True, type=click.Choice(CHANNELS), help="How it is sent.")
@click.option("--brand", default=BRAND, show_default=True, help="The tenant's brand.")
@click.option("--code", default=SAMPLE_CODE, show_default=True, help="The code.")
@click.option(
    "--minutes", default=SAMPLE_MINUTES, show_default=True, type=click.IntRange(1, 1440), help="How long it lives."
)
@click.option("--app-hash", help="The 11 characters of an Android app hash.")
@click.option("--origin", help="The host of the login page (WebOTP).")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show(
    locale: str | None,
    country: str,
    purpose: str,
    notice: str | None,
    channel: str,
    brand: str,
    code: str,
    minutes: int,
    app_hash: str | None,
    origin: str | None,
    as_json: bool,
) -> None:
    """Shows one text as it would go out. The operator's own, where VERIFY_CONFIG has one; and what it takes."""
    if not (code.isascii() and code.isdigit()):
        raise click.BadParameter("is digits and nothing else", param_hint="--code")
    if notice:
        text = notice_text(notice, channel, brand, locale, country, _own())
    else:
        text = compose(purpose, channel, locale, country, code, brand, minutes, app_hash, origin, _own())
    if as_json:
        click.echo(msgspec.json.encode(text._asdict()).decode())
        return
    if text.subject:
        click.echo(f"{text.subject}\n")
    click.echo(text.body)
    taken = size(text.body)
    segments = f"{taken.used} of {taken.room} units, {text.segments} segment" + ("s" if text.segments > 1 else "")
    click.echo(f"{text.locale}, {f'{text.encoding}, {segments}' if channel == 'sms' else channel}", err=True)


def _own() -> Own:
    from verify_service import config

    found = settings.read()
    return config.load(found.config, found.api_key).own if found.config else NONE


def _costs(segments: int, policy: "Policy") -> dict[str, float]:
    """US dollars for one message, by country; `default` is every other."""
    return {country: round(policy.price(country) * segments, 6) for country in ("default", *sorted(policy.prices))}


def _print(rows: "list[Figures]", policy: "Policy") -> None:
    width = max(len(row.text) for row in rows)
    click.echo(f"{'text':<{width}}  encoding  units    seg.  host  short  dollars          forces UCS-2")
    for row in rows:
        costs = _costs(row.segments, policy).values()
        forces = " ".join(f"{char}→{plain}" if plain else char for char, plain in row.forces_ucs2.items())
        if len(row.forces_ucs2) > _MOST_SHOWN:
            forces = f"{len(row.forces_ucs2)} characters"
        click.echo(
            f"{row.text:<{width}}  {row.encoding:<8}  {f'{row.used}/{row.room}':<7}  {row.segments:>4}"
            f"  {row.longest_host or '-':>4}  {row.longest_host_short or '-':>5}"
            f"  {f'{min(costs):g} - {max(costs):g}':<15}  {forces}".rstrip()
        )
    click.echo(
        "\nhost: how long the host of a WebOTP line may be in one segment; short: where the text may lose its life "
        "time\nand the line against sharing for it. An Android app hash takes 12 of either. c→d: d is in GSM-7.\n"
    )
    for segments in sorted({row.segments for row in rows}):
        shown = "  ".join(f"{country} {cost:g}" for country, cost in _costs(segments, policy).items())
        click.echo(click.wrap_text(f"{segments} segment{'s' * (segments > 1)}, in US dollars: {shown}", 118))
