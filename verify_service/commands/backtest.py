"""`policy backtest`: recorded traffic judged again."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from verify_service.commands.progress import progress


@click.command("backtest")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--events", required=True, type=click.Path(path_type=Path), help="Recorded traffic, JSON lines.")
@click.option("--against", type=click.Path(path_type=Path), help="Another policy, to say what changes.")
@click.option("--decisions", type=click.Path(path_type=Path), help="Write a line per start there.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def backtest(file: Path, events: Path, against: Path | None, decisions: Path | None, as_json: bool) -> None:
    """Judges recorded traffic under the policy in FILE. Who is refused, by what, what that saves and costs.

    The scripts are the live service's, on a scratch store that is gone afterwards; no running service is touched.
    Exit status 2 and file, line and fault for a policy or a line that cannot be used. What --decisions named before
    stays until the new lines are whole.
    """
    from verify_service.backtest.report import show
    from verify_service.backtest.tally import Tally, changed
    from verify_service.errors import ConfigError
    from verify_service.policy.file import load

    # So that a supervisor's SIGTERM, too, leaves neither the scratch store nor its folder behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name, read in (("FILE", file), ("--events", events), ("--against", against)):
        if decisions and read and _same(decisions, read):
            raise ConfigError(f"--decisions: {decisions} is the file of {name}; nothing was written: name another")
    new = Tally(str(file), load(file))
    old = None if against is None else Tally(str(against), load(against))
    try:
        size = events.stat().st_size
    except OSError as error:
        raise ConfigError(f"{events}: cannot be used: {error.strerror}") from None
    out = _whole(decisions) if decisions else nullcontext()
    with out as lines, progress("backtest", size if old is None else 2 * size, "is read") as advance:
        _run(new, events, advance, lines)
        if old is not None:
            _run(old, events, lambda read: advance(size + read), None)
    if as_json:
        answer: dict[str, Any] = new.summary()
        if old is not None:
            answer |= {"against": old.summary(), "changed": changed(new, old)}
        click.echo(msgspec.json.encode(answer).decode())
    else:
        from rich.console import Console

        show(Console(highlight=False), new, old)


def _run(tally: Any, events: Path, advance: Callable[[int], None], lines: IO[bytes] | None) -> None:
    from verify_service.backtest.runner import Decided, run

    encode = msgspec.json.Encoder().encode
    for item in run(tally.policy, events, advance):
        tally.add(item)
        if lines is not None and isinstance(item, Decided):
            line = {
                "at": item.event.at,
                "id": item.event.id,
                "decision": "refuse" if item.rule else "admit",
                "rule": item.rule,
                "retry_after": item.retry_after,
                "observed": item.observed,
            }
            lines.write(encode(line) + b"\n")


def _same(one: Path, other: Path) -> bool:
    """Whether both are one file, by whatever path or link."""
    try:
        return one.samefile(other)
    except OSError:  # One of them is not there.
        return False


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the path's place when the block has ended well; a link or a device is written to as it is.

    Raises ConfigError where nothing can be written there.
    """
    from verify_service.errors import ConfigError

    in_place = path.is_symlink() or (path.exists() and not path.is_file())
    part = path if in_place else path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        file = part.open("wb")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be used: {error.strerror}") from None
    try:
        with file:
            yield file
        if not in_place:
            part.replace(path)
    finally:
        if not in_place:
            part.unlink(missing_ok=True)
