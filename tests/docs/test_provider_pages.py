"""The operator's page of each kind: what it shows can be used as it is printed, and it leaves no setting out."""

import re
from pathlib import Path

import msgspec
import pytest

from tests.support.peers.own_peer import OwnPeer
from verify_service import config
from verify_service.adapters import find

PAGES = Path(__file__).parents[2] / "docs" / "providers"
KINDS = sorted(page.stem for page in PAGES.glob("*.md") if page.stem not in ("own", "README"))


def tables(page: str) -> list[str]:
    text = (PAGES / f"{page}.md").read_text("utf-8")
    return [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[providers." in block]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_page_shows_is_a_verify_toml(kind: str, tmp_path: Path) -> None:
    """Each example is accepted as a whole file."""
    examples = tables(kind)
    assert examples
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.toml"
        file.write_text(example)
        assert {provider.kind for provider in config.load(file, None).providers.values()} == {kind}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_names_every_setting(kind: str) -> None:
    """A setting that nobody is told of is one that nobody can use."""
    shown = "".join(tables(kind))
    missing = [field.name for field in msgspec.structs.fields(find(kind).settings) if f"{field.name} =" not in shown]
    assert missing == []


def test_the_page_for_other_vendors_is_a_verify_toml(tmp_path: Path) -> None:
    """With its package installed, its own table is accepted."""
    with OwnPeer():
        [example] = tables("own")
        (tmp_path / "verify.toml").write_text(example)
        assert config.load(tmp_path / "verify.toml", None).providers["acme"].kind == "acme-sms"


def test_the_page_for_other_vendors_is_short() -> None:
    """Sixty lines are enough for a vendor."""
    code = re.findall(r"```python\n(.*?)```", (PAGES / "own.md").read_text("utf-8"), re.DOTALL)
    assert [len(block.splitlines()) <= 60 for block in code] == [True]
