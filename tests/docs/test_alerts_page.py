"""The page on alerts says what there is."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import msgspec

from verify_service import config
from verify_service.alerting import AlertsConfig, RuleName
from verify_service.alerts import BACKOFF_S, MOST_OPEN, MOST_WAITING

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")


def test_the_example_has_every_key_with_its_default(tmp_path: Path) -> None:
    """It is a verify.toml, once it has a provider for each channel."""
    (example,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "verify.toml").write_text(example + '[providers.a]\nkind = "fake"\n')
    found = config.load(tmp_path / "verify.toml", None).alerts
    assert set(tomllib.loads(example)["alerts"]) == set(AlertsConfig.__struct_fields__)
    targets = {"webhook": None, "mail": None, "text": None}
    bare = msgspec.structs.replace(found, **targets)
    shown = {name: getattr(getattr(bare, name), "text", getattr(bare, name)) for name in bare.__struct_fields__}
    usual = AlertsConfig()
    assert shown == {name: getattr(getattr(usual, name), "text", getattr(usual, name)) for name in shown}


def test_the_table_has_every_rule() -> None:
    """In their order, and the bounds that the page names are those in force."""
    assert tuple(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE)) == get_args(RuleName)
    assert (MOST_OPEN, MOST_WAITING, BACKOFF_S[0], BACKOFF_S[1], BACKOFF_S[2]) == (20, 500, 15, 30, 60)
    assert (BACKOFF_S[-1], round(sum(BACKOFF_S) / 3600)) == (8 * 3600, 16)
