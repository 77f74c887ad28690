"""The page of the latest decisions: filtered by a form, each with why and what to do, and the same as files."""

import csv
import json
from pathlib import Path

import pytest

from tests.support.console import Browser, Desk
from verify_service.store import Store

POLICY = """
[code]
guess_ceiling = 1.0
cooldown = ["1 second"]
[[limit]]
name = "number"
of = ["number"]
allow = "1/hour"
[countries]
deny = ["GB"]
"""
US, GB = "+14155550142", "+447400123456"


@pytest.fixture(scope="module")
def desk(quiet: Store, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(quiet, tmp_path_factory.mktemp("desk"), POLICY)


@pytest.fixture(scope="module")
def browser(desk: Desk) -> Browser:
    """Of who may look, after one start that was admitted and two that were not."""
    for to, purpose in ((US, "alpha"), (US, "beta"), (GB, "gamma")):
        desk.clock.advance(2)
        desk.client.request("POST", "/start", {"to": to, "purpose": purpose})
    return desk.browser("read")


def test_the_page_says_of_each_decision_why_and_what_to_do(browser: Browser) -> None:
    """The newest first; numbers without their ends; country and number lead to their decisions, and
    a limit to the policy."""
    seen = browser.open("/console/decisions")
    assert seen.status == 200
    assert seen.words.index("gamma") < seen.words.index("beta") < seen.words.index("alpha")
    assert "The limit number refuses: 1 of 1 within an hour; room again in 3599 s." in seen.words
    assert "What to do: If you do business there, allow the country in [countries]." in seen.words
    assert US not in seen.text
    assert 'href="./decisions?country=GB"' in seen.text
    assert 'href="./policy#rule-number"' in seen.text


def test_the_form_filters(browser: Browser) -> None:
    """What was typed stays in it, also where it is wrong: then each field says what it is for."""
    seen = browser.open("/console/decisions?outcome=refused&rule=&country=US&range=&tenant=default")
    assert ("beta" in seen.words, "gamma" in seen.words, "alpha" in seen.words) == (True, False, False)
    assert "<option selected>refused</option>" in seen.text
    assert 'value="US"' in seen.text
    seen = browser.open("/console/decisions?country=usa&outcome=lost&range=%2B14155550142")
    assert seen.status == 400
    assert "This is two capital letters, such as GB." in seen.words
    assert "outcome is refused, observed or admitted." in seen.words
    assert 'value="usa"' in seen.text
    seen = browser.open("/console/decisions?country=FR")
    assert "No such decision among the events that are kept." in seen.words


def test_older_ones_are_a_link_away(browser: Browser) -> None:
    """Which keeps the filters."""
    seen = browser.open("/console/decisions?limit=1&country=US")
    assert "beta" in seen.words
    link = seen.text.partition('href="./decisions?limit=1&amp;country=US&amp;before=')[2].partition('"')[0]
    seen = browser.open(f"/console/decisions?limit=1&country=US&before={link}")
    assert ("alpha" in seen.words, "beta" in seen.words) == (True, False)


def test_the_same_decisions_are_files(browser: Browser) -> None:
    """For a spreadsheet, where no cell is a formula, and for programs."""
    seen = browser.open("/console/decisions.csv?outcome=refused")
    assert seen.headers["content-disposition"] == 'attachment; filename="decisions.csv"'
    rows = list(csv.DictReader(seen.text.splitlines()))
    assert [(row["purpose"], row["rule"], row["range"]) for row in rows] == [
        ("gamma", "countries", "'+447400123"),
        ("beta", "number", "'+14155550"),
    ]
    lines = browser.open("/console/decisions.jsonl?outcome=refused").text.splitlines()
    assert [json.loads(line)["purpose"] for line in lines] == ["gamma", "beta"]
    assert browser.open("/console/decisions.jsonl?outcome=lost").status == 400
    assert browser.open("/console/decisions.exe").status == 404


def test_what_would_have_refused_is_named_in_a_file(alone: Store, tmp_path: Path) -> None:
    """By name, as a person writes it."""
    desk = Desk(alone, tmp_path, POLICY.replace('"1/hour"', '"1/hour"\nmode = "observe"'))
    for purpose in ("alpha", "beta"):
        desk.clock.advance(2)
        desk.client.request("POST", "/start", {"to": US, "purpose": purpose})
    rows = csv.DictReader(desk.browser("read").open("/console/decisions.csv").text.splitlines())
    assert [(row["outcome"], row["observed"]) for row in rows] == [("observed", "number"), ("admitted", "")]


def test_nobody_sees_decisions_who_is_not_signed_in(desk: Desk) -> None:
    for path in ("/console/decisions", "/console/decisions.csv", "/console/decisions.jsonl"):
        assert desk.browser(None).open(path).path.startswith("/console/sign-in?next=")


def test_what_is_typed_is_text(alone: Store, tmp_path: Path) -> None:
    """A service without any decision says what to do."""
    browser = Desk(alone, tmp_path, POLICY).browser("read")
    assert "When an app calls POST /start , it appears here" in browser.open("/console/decisions").words
    seen = browser.open("/console/decisions?rule=%22%3E%3Cscript%3Ealert(1)%3C/script%3E&tenant=%3Cb%3E")
    assert seen.status == 400
    assert "<script>alert" not in seen.text
    assert "<b>" not in seen.text
