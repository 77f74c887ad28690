"""How far a long command has come, on standard error and on a terminal only."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

_PAUSE_S = 5.0


@contextmanager
def progress(what: str, total: int, done: str = "is done") -> Iterator[Callable[[int], None]]:
    """A bar while the block runs; it is told how much of `total` is done. On a terminal that can draw none, a line now
    and then, in which the share `done`."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_dumb_terminal:  # It cannot draw over what stands there, so what is said is short and seldom.
        yield _in_words(what, total, done)
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda so_far: bar.update(task, completed=so_far)


def _in_words(what: str, total: int, done: str) -> Callable[[int], None]:
    """Says now, and then every few seconds, how much is done."""
    said = -_PAUSE_S

    def advance(so_far: int) -> None:
        nonlocal said
        if time.monotonic() - said > _PAUSE_S:
            said = time.monotonic()
            click.echo(f"{what}: {so_far / max(total, 1):.0%} {done}", err=True)

    advance(0)
    return advance
