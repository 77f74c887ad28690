"""better-auth, which `make bench-peers` measures beside us, still takes part."""

import sys
from pathlib import Path

import pytest

from benchmarks.peers.__main__ import main


def test_better_auth_sends_its_codes_and_approves_them(capsys: pytest.CaptureFixture[str]) -> None:
    """A small run: each of its messages arrives, each right code is taken, and each call has its row."""
    main([str(Path(sys.prefix) / "better-auth"), "--rounds", "1", "--calls", "40", "--connections", "4"])
    rows = [line.split(" | ")[:2] for line in capsys.readouterr().out.splitlines() if " better-auth | " in line]
    assert [call for call, _ in rows] == ["| start", "| check", "| cycle"] * 2
