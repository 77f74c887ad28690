"""The page on messages is true: its languages, its examples, its words."""

import re
import tomllib
from pathlib import Path

from verify_service import config
from verify_service.messages import compose, keyword, reply
from verify_service.messages.locales import tags
from verify_service.messages.own import TEMPLATE_PLACES

PAGE = (Path(__file__).parents[2] / "docs" / "messages.md").read_text("utf-8")


def row(first: str) -> list[str]:
    """The words of a table's row."""
    (cells,) = re.findall(rf"^\| {re.escape(first)} \| (.*) \|$", PAGE, re.MULTILINE)
    return re.findall(r"[^\s,]+", cells)


def test_the_languages_are_those_that_are_shipped() -> None:
    """Each in the alphabet that its text for a sign-in needs."""
    alphabets: dict[str, list[str]] = {"GSM-7": [], "UCS-2": []}
    for tag in tags().values():
        alphabets[compose("login", "sms", tag, "US", "123456", "Acme", 10).encoding].append(tag)
    assert row("GSM-7, 160 characters") == alphabets["GSM-7"]
    assert row("UCS-2, 70 characters") == alphabets["UCS-2"]


def test_the_keywords_mean_what_the_page_says() -> None:
    """All that it names."""
    for kind in ("stop", "help", "start"):
        assert {keyword(word) for word in row(kind)} == {kind}


def test_the_placeholders_are_those_that_there_are() -> None:
    """One row each."""
    assert re.findall(r"^\| `\{(\w+)\}` \|", PAGE, re.MULTILINE) == list(TEMPLATE_PLACES)


def test_the_example_is_taken(tmp_path: Path) -> None:
    """As it is printed, with a provider beside it."""
    (example,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "verify.toml").write_text(example + '\n[providers.a]\nkind = "fake"\n[tenants.acme]\nbrand = "Acme"\n')
    own = config.load(tmp_path / "verify.toml", None).own
    found = compose("login", "sms", None, "IN", "123456", "Acme", 10, own=own)
    assert (found.locale, found.segments) == ("en", 1)
    assert compose("login", "sms", None, "CH", "123456", "Acme", 10, own=own).locale == "fr"
    assert reply("help", "Acme", "en", own=own).body.startswith("Acme: one-time codes. Help: call")
    assert set(tomllib.loads(example)) == {"templates", "replies", "languages"}
