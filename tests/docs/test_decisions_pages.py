"""The decisions are a list that a reader can trust: each has its three parts, its number, and its line."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_decision_has_context_decision_and_consequences(page: Path) -> None:
    """In this order, under a title with the number of the file, on half a page."""
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.name[:4]}. ")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.splitlines()) <= 40


def test_the_list_has_each_decision_once_in_order() -> None:
    """With its number and its title."""
    told = re.findall(r"^- \[(\d{4})\]\(([^)]+)\) (.+)$", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    titles = [page.read_text("utf-8").splitlines()[0].removeprefix(f"# {page.name[:4]}. ") for page in PAGES]
    assert told == [(page.name[:4], page.name, title) for page, title in zip(PAGES, titles, strict=True)]
    assert [int(number) for number, _, _ in told] == list(range(1, len(PAGES) + 1))
