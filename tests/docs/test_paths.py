"""The pages for who works on the code name files that there are."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = [ROOT, ROOT / "verify_service", ROOT / "verify_service" / "store"]
PAGES = [
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "reference.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
OPERATORS = {"verify.toml", "policy.toml"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_file_that_is_named_is_there(page: Path) -> None:
    """A name with an extension, or of a folder with its slash: from the top, the package or its store."""
    named = re.findall(r"`([\w./*-]+(?:\.(?:py|lua|toml|yaml|html|md|txt)|/))`", page.read_text("utf-8"))
    gone = [name for name in named if not any(any(place.glob(name.rstrip("/"))) for place in PLACES)]
    assert [name for name in gone if name not in OPERATORS] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_link_to_a_heading_finds_it(page: Path) -> None:
    """In the page that it names."""
    for link in re.findall(r"\]\((?!https?:)([^)#]*#[^)]+)\)", page.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        other = (page.parent / name).resolve() if name else page
        headings = re.findall(r"^#+ (.+)$", other.read_text("utf-8"), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], link
