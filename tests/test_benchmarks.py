"""The benchmarks run: figures are for people to judge, but the code that takes them must not rot."""

from pathlib import Path

import msgspec
import pytest

from benchmarks.__main__ import main
from benchmarks.load import percentile


def test_every_measure_gives_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run, its counts tiny: the JSON names every measure, and what is a promise and no figure holds in it."""
    report = tmp_path / "figures.json"
    tiny = "--rounds 1 --seconds 0.2 --connections 4 --samples 20 --calls 100 --stored 200 --live 300 --judged 300"
    main([*tiny.split(), "--json", str(report)])
    printed = capsys.readouterr().out
    tables = {table["title"]: table["rows"] for table in msgspec.json.decode(report.read_bytes())["tables"]}
    assert list(tables) == [
        "Rates",
        "CPU time by process",
        "Start to provider call",
        "One connection, Redis near and a millisecond away",
        "Where the time goes in the web process",
        "Server time and round trips",
        "Memory of a live verification",
        "Backtest",
    ]
    assert [row["measure"] for row in tables["Rates"]] == ["bare", "start", "check", "cycle", "start, appendfsync no"]
    assert all(row["per second"] > 0 for row in tables["Rates"])
    assert [(row["call"], row["round trips"]) for row in tables["Server time and round trips"]] == [
        ("start", 1),
        ("check", 1),
        ("start", 1),
        ("check", 1),
    ]
    assert all(f"### {title}\n" in printed for title in tables)


def test_percentiles_are_values_that_were_seen() -> None:
    """The value below which the share lies, without interpolation; the highest where the share is 1."""
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]
