"""One line length in what people write here: 120 characters, as ruff and .editorconfig have it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
MOST = 120
PLACES = ["*", ".ci/*", "docs/**/*", "tests/**/*", "verify_service/**/*"]
# Python's lines are held by ruff.
KINDS = {".md", ".toml", ".yaml", ""}


def _written(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that somebody can break: no row of a table, nothing that a program printed."""
    in_block = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if path.suffix == ".md":
            if fence := re.match(r"\s*```(\w*)", line):
                in_block = "" if in_block else fence[1] or "output"
            if in_block in {"output", "console", "json"} or line.lstrip().startswith("|") or line.startswith("    "):
                continue
        if " " in re.sub(r"\[[^]]*\]\([^)]*\)|https?://\S+", "", line.strip(" #*-")):
            yield number, line


@pytest.mark.parametrize("place", PLACES)
def test_no_line_is_longer_than_one_hundred_and_twenty(place: str) -> None:
    """Tables, addresses, and what programs print are excepted."""
    files = [path for path in sorted(ROOT.glob(place)) if path.is_file() and path.suffix in KINDS]
    assert files
    long = [f"{path.relative_to(ROOT)}:{n}" for path in files for n, line in _written(path) if len(line) > MOST]
    assert long == []


def test_editors_and_the_linter_know_the_same_length() -> None:
    """`.editorconfig` and ruff's settings."""
    assert f"[*]\nmax_line_length = {MOST}\n" in (ROOT / ".editorconfig").read_text("utf-8")
    assert f"\nline-length = {MOST}\n" in (ROOT / "pyproject.toml").read_text("utf-8")
