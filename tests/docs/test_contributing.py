"""What CONTRIBUTING tells a stranger to type works in a fresh clone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from verify_service import __version__

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
TYPED = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) for line in block.split("\n")
]
MADE = sorted({*re.findall(r"`make ([a-z-]+)", PAGE), *re.findall(r"^make ([a-z-]+)", "\n".join(TYPED), re.MULTILINE)})


@pytest.mark.parametrize("target", MADE)
def test_make_knows_each_target(target: str) -> None:
    """As `make --dry-run` says, which does nothing."""
    make = shutil.which("make")
    assert make
    told = subprocess.run([make, "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("line", [line for line in TYPED if "pytest" in line])
@pytest.mark.slow
def test_each_call_of_pytest_finds_tests(line: str) -> None:
    """Collected, not run: they run by themselves."""
    words = line.replace(".venv/bin/python", sys.executable).split()
    told = subprocess.run([*words, "--collect-only", "-q"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout


def test_every_line_that_is_typed_is_one_of_these() -> None:
    """So no command of the page goes untried."""
    assert [line for line in TYPED if line and not line.startswith(("make ", ".venv/bin/python -m pytest "))] == []


def test_the_newest_section_of_the_changelog_is_the_version() -> None:
    """Behind "Unreleased"; every section is of Keep a Changelog, or says how to go back."""
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    unreleased, newest = re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)[:2]
    assert (unreleased, newest) == ("Unreleased", __version__)
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Going back"}
    assert set(re.findall(r"^### (.+)$", changelog, re.MULTILINE)) <= kinds
