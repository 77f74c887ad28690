"""A backtest for people: tables of what was refused, what a change changes, and what cannot be known."""

from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from verify_service.backtest.tally import Tally, changed

_ROWS = 10


def show(console: Console, new: Tally, old: Tally | None) -> None:
    """Prints the run, and with `old` what `new` does otherwise."""
    for part in _parts(new, old):
        console.print(part, soft_wrap=isinstance(part, str))


def _parts(new: Tally, old: Tally | None) -> Iterator[RenderableType]:
    for tally in (new, old):
        if tally is not None:
            figures = tally.summary()
            starts, admitted = tally.starts, figures["admitted"]
            yield f"{tally.name}: {starts:,} starts, {admitted:,} admitted, {starts - admitted:,} refused"
            yield _table(figures)
            if figures["observed"]:
                yield "Only observed, and would have refused:"
                yield _observed(figures["observed"])
    if old is not None:
        moves = changed(new, old)
        yield _change(new, old, moves)
        for by, groups in moves["whom"].items():
            if any(each["refused"] for each in groups.values()):
                yield _whom(by, groups)
    told = new.unknown()
    if told:
        yield "\nWhat cannot be known:"
        yield from (f"- {sentence}" for sentence in told)


def _observed(rules: dict[str, dict[str, Any]]) -> Table:
    table = _empty("observed")
    for name, rule in rules.items():
        table.add_row(name, *_cells(rule | {"refused": rule["would_refuse"]}))
    return table


def _empty(by: str) -> Table:
    table = Table()
    table.add_column(by, no_wrap=True)
    for name in ("starts", "approvals lost", "spend saved"):
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _table(figures: dict[str, Any]) -> Table:
    table = _empty("refused by")
    for name, rule in figures["by_rule"].items():
        table.add_row(name, *_cells(rule))
    table.add_section()
    table.add_row("all", *_cells(figures), style="bold")
    return table


def _cells(figures: dict[str, Any]) -> tuple[str, str, str]:
    return f"{figures['refused']:,}", f"{figures['approved_lost']:,}", f"${figures['spend_saved']:,.2f}"


def _whom(by: str, groups: dict[str, dict[str, int]]) -> Table:
    """The most of those that the change refuses, a row each; the rest together."""
    table = Table()
    table.add_column(f"newly refused, by {by}", no_wrap=True)
    for name in ("starts", "approvals lost"):
        table.add_column(name, justify="right", no_wrap=True)
    rows = [(name, each["refused"], each["approved_lost"]) for name, each in groups.items() if each["refused"]]
    rest = rows[_ROWS:]
    for name, starts, lost in rows[:_ROWS]:
        table.add_row(name, f"{starts:,}", f"{lost:,}")
    if rest:
        table.add_row(f"{len(rest):,} more", f"{sum(row[1] for row in rest):,}", f"{sum(row[2] for row in rest):,}")
    return table


def _change(new: Tally, old: Tally, moves: dict[str, Any]) -> str:
    lost, saved = moves["approved_lost"], moves["spend_saved"]
    return (
        f"Against {old.name}, {new.name} refuses {moves['newly_refused']:,} starts that were admitted, admits "
        f"{moves['newly_admitted']:,} that were refused, and refuses {moves['by_other_rule']:,} by another rule. "
        f"It loses {abs(lost):,} approvals {'more' if lost >= 0 else 'fewer'} and saves ${abs(saved):,.2f} "
        f"{'more' if saved >= 0 else 'less'}."
    )
