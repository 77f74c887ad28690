"""The benchmarks run: figures are for people to judge, but the code that takes them must not rot."""

import dataclasses
from pathlib import Path

import msgspec
import pytest

from benchmarks import capacity, compare, console, counting, facade, factors, fraud, idle, receipts
from benchmarks.__main__ import main
from benchmarks.load import percentile

HERE = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def test_every_measure_gives_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run, its counts tiny: the JSON names every measure, and what is a promise and no figure holds in it."""
    report = tmp_path / "figures.json"
    tiny = "--rounds 1 --seconds 0.5 --connections 4 --samples 20 --calls 100 --stored 200 --live 300 --judged 300"
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
        ("set", 0),
        ("set", 0),
        ("start", 1),
        ("start", 1),
        ("check", 1),
        ("check", 1),
    ]
    assert all(f"### {title}\n" in printed for title in tables)


def test_another_checkout_is_measured_beside_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    """With this checkout as the other: three rows a call, each with its CPU time and ratios to both others."""
    compare.main(["--rounds", "1", "--calls", "40", "--connections", "4", str(HERE)])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| start | ")]
    assert [(row[1], len(row)) for row in rows] == [
        (who, width) for width in (9, 5) for who in ("bare", HERE.name, "this")
    ]
    assert all(row[3].startswith("0 ") == (row[1] == "bare") for row in rows[:3])


def test_counting_is_measured_beside_the_starts_that_it_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Of ten starts, ten that were sent and seven approvals."""
    counting.main(["--rounds", "1", "--starts", "10"])
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 27 | ")] != []


def test_an_idle_installation_is_measured_by_process(capsys: pytest.CaptureFixture[str]) -> None:
    """A second of one: a share of each process, and their sum."""
    idle.main(["--seconds", "1"])
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| this |")]
    *shares, all_of_them = [float(cell) for cell in row.strip(" |").split(" | ")[1:]]
    assert len(shares) == 4
    assert sum(shares) == pytest.approx(all_of_them, abs=0.03)  # Each is rounded.


def test_capacity_is_reckoned_from_costs_of_a_single_server_and_a_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run: every cost is more than nothing, and one partition has less than all of a start."""
    capacity.main(["--calls", "100", "--rounds", "1", "--connections", "4"])
    costs = capacity.Costs.read(capsys.readouterr().out)
    assert all(cost > 0 for cost in dataclasses.astuple(costs))
    assert costs.cluster_start > costs.one_country


def test_a_receipt_is_weighed_against_a_check_without(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run: a row without, a row with one, and what it adds."""
    receipts.main(["--rounds", "2", "--calls", "20"])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[2:]] == ["without a receipt", "with a receipt", "the receipt"]
    assert all(len(row) == 5 for row in rows)


def test_twilios_api_is_weighed_against_the_native_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run: a row for each call, of the web process alone and with the store."""
    facade.main(["--rounds", "1", "--calls", "20"])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[:2] for row in rows[2:]] == [
        [call, process] for call in ("start", "check") for process in ("web", "web and Valkey")
    ]
    assert all(float(figure.replace(",", "")) > 0 for row in rows[2:] for figure in row[2:])


def test_factors_are_weighed_at_size(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run: users are imported and imported again, and no check fails while all is sealed anew."""
    factors.main(["--users", "300", "--rounds", "2", "--calls", "20"])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    found = {row[0]: row for row in rows}
    assert (found["new"][1], found["the same file again"][1]) == ("300", "300")
    assert rows[-1][3] == "0"


def test_every_page_of_the_console_is_timed(tmp_path: Path) -> None:
    """A small run: each page is shown, while starts go on and with all that happened counted."""
    table = console.measure(tmp_path, count=400, days=2.0, rate=10.0, rounds=1)
    assert [row[0] for row in table.rows] == [f"/console/{page}" for page in console.PAGES]


def test_percentiles_are_values_that_were_seen() -> None:
    """The value below which the share lies, without interpolation; the highest where the share is 1."""
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]


def test_the_table_of_fraud_has_each_scenario_under_three_policies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small run: a row for each policy, all of the attack counted alike, each attacked prefix
    counted, and no victim of a flood texted more than ten times in a day."""
    report = tmp_path / "figures.json"
    fraud.main(f"--seeds 36 --per-day 60 --scenarios spread,flooding --calls 40 --jobs 1 --json {report}".split())
    printed = capsys.readouterr().out
    rows = msgspec.json.decode(report.read_bytes(), type=dict[str, msgspec.Raw])
    found = msgspec.json.decode(rows["figures"], type=list[fraud.Figures])
    assert [(row.scenario, row.policy) for row in found] == [
        (name, policy) for name in ("spread", "flooding") for policy in (fraud.ENFORCED, fraud.LIMITS, fraud.SHIPPED)
    ]
    assert len({row.attack_starts for row in found[:3]}) == len({row.attack_starts for row in found[3:]}) == 1
    assert found[0].attack_starts > 0
    assert all(row.before_block for row in found[:3])
    assert all(row.texts_to_victim is not None and row.texts_to_victim <= 10 for row in found[3:])
    assert all(f"| {' | '.join(row.cells())} |" in printed for row in found)
    assert "### Server time of a start" in printed
