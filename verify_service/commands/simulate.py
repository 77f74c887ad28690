"""`verify-service simulate`: labelled synthetic traffic on standard output."""

import difflib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

import click
import msgspec

if TYPE_CHECKING:
    from verify_service.simulate import Event

_STEP = 5000  # Events between two moves of the progress bar.


def _listed(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        from verify_service.simulate import SCENARIOS

        for name, scenario in SCENARIOS.items():
            click.echo(f"{name:22} {scenario.days:>2} days  {scenario.summary}")
        context.exit()


@click.command()
@click.argument("scenario")
@click.option("--seed", default=1, show_default=True, help="Another seed, another week: people, attackers, rates.")
@click.option("--days", type=click.IntRange(1, 366), help="How many, with the one of the event.  [default: see --list]")
@click.option(
    "--per-day",
    default=12_000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Verifications of real users on an average day.",
)
@click.option("--labels", type=click.File("wb", lazy=False), help="A file for the truth: a JSON line per start.")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_listed, help="Names the scenarios.")
def simulate(scenario: str, seed: int, days: int | None, per_day: int, labels: BinaryIO | None) -> None:
    """Writes recorded traffic of a made-up service. It is ordered by time, and meant for backtests.

    The same words give the same traffic. Its numbers exist in the plans of their countries: send nothing to them.
    """
    from verify_service import simulate as simulator

    chosen = simulator.SCENARIOS.get(scenario)
    if chosen is None:
        near = difflib.get_close_matches(scenario, simulator.SCENARIOS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise click.BadParameter(f"{scenario} is unknown; {hint}--list names them all", param_hint="SCENARIO")
    encoder, out = msgspec.json.Encoder(), sys.stdout.buffer
    for event in _watched(simulator.scenario(scenario, seed, days, per_day), days or chosen.days):
        out.write(encoder.encode(event.recorded()) + b"\n")
        if labels and event.event == "start":
            labels.write(encoder.encode(event.label(scenario)) + b"\n")
    out.flush()


def _watched(events: "Iterator[Event]", days: int) -> "Iterator[Event]":
    """The events, with a progress bar on a terminal."""
    if not sys.stderr.isatty():
        yield from events
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("simulating", total=days * 86400)
        began: float | None = None
        for count, event in enumerate(events):
            began = event.at if began is None else began
            if count % _STEP == 0:
                progress.update(task, completed=event.at - began)
            yield event
