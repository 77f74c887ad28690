"""The README is true: its commands work as printed."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import PATIENCE_S
from verify_service import settings
from verify_service.policy.file import default_text
from verify_service.testing import VerifyClient, VerifyServer

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for name, text in fenced if name == language]


@pytest.fixture
def number_of_the_readme(verify_client: VerifyClient) -> Iterator[None]:
    """The README's number, as nobody had seen it; forgotten again afterwards."""
    verify_client.forget("+14155550123")
    yield
    verify_client.forget("+14155550123")


@pytest.mark.usefixtures("number_of_the_readme")
def test_the_two_curls_work_as_printed(verify_server: VerifyServer, tmp_path: Path) -> None:
    """Pasted one after the other beside a running service, they end with an approval like the one printed."""
    (tmp_path / ".verify").symlink_to(verify_server.state_dir)
    start, check = [block for block in _blocks("sh") if "curl" in block]
    script = "\n".join([start, check]).replace("http://127.0.0.1:8080", verify_server.url)
    ran = subprocess.run(
        ["sh", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    printed = next(block for block in _blocks("") if '"approved":true' in block).strip()
    assert re.sub(r"ve_[0-9a-f]{32}", "ve_…", ran.stdout.strip()) == printed


def test_every_setting_is_listed() -> None:
    """The table of settings has each name that the service knows, and no other."""
    assert re.findall(r"^\| `(VERIFY_[A-Z_]+)`", README, re.MULTILINE) == list(settings.NAMES)


def test_the_figures_of_the_policy_are_the_shipped_ones() -> None:
    """What the README says of the limits is what `policy default` prints."""
    shipped = default_text()
    for figure in ('allow = "5/10 minutes; 10/day"', 'allow = "10/hour; 20/day"', 'allow = "100/hour; 500/day"'):
        assert figure in shipped


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link and every named test file of the docs exists."""
    text = page.read_text("utf-8")
    targets = [page.parent / link for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text)]
    targets += [ROOT / name for name in re.findall(r"`(tests/[a-z_/]+\.py)`", text)]
    assert [str(target) for target in targets if not target.exists()] == []
