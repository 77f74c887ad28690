"""What the team is told of by what is usual: starts that are refused, and codes that nobody enters."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.alerts import AlertBench
from tests.support.faults import GUARD
from tests.support.vendor import Vendor
from verify_service.store import Store
from verify_service.store.layouts import Facts

MINUTE, HOUR = 60_000, 3_600_000


@pytest.fixture
def team(quiet: Store, tmp_path: Path, vendor: Vendor) -> AlertBench:
    """At noon, after a day of 480 messages to the US and 240 to Germany, of which three of four were approved."""
    made = AlertBench(quiet, tmp_path, vendor, GUARD)
    made.bench.clock.ms = made.bench.clock.ms // (24 * HOUR) * 24 * HOUR + 12 * HOUR
    for hours in range(2, 22):
        at = made.bench.clock.ms - hours * HOUR
        happened(made, at, "US", sent=24, approved=18, refused=4)
        happened(made, at, "DE", sent=12, approved=9)
    return made


def happened(team: AlertBench, at: int, country: str, sent: int = 0, approved: int = 0, refused: int = 0) -> None:
    """Messages and starts as the events have them, counted."""
    pipe: Any = team.store.link.client().pipeline(transaction=False)
    facts = Facts(tenant="default", channel="sms", country=country, range="+14155550", price="50000").pack()
    start = ("event", "start", "id", "ve_1", "facts", facts, "observed", "")
    for fields in [start] * sent:
        pipe.execute_command("XADD", "vs:{0}:events", "*", "at", at, *fields)
    for event in ["sent"] * sent + ["approved"] * approved:
        pipe.execute_command("XADD", "vs:{0}:events", "*", "at", at, "event", event, "id", "ve_1", "country", country)
    if refused:
        more = ("refused", "ip", "repeats", refused)
        pipe.execute_command("XADD", "vs:{0}:events", "*", "at", at, *start, *more)
    pipe.execute()
    while team.store.counts.fold(team.bench.clock.now()).more:
        pass


def test_approvals_that_fall_are_told_by_country(team: AlertBench) -> None:
    """Where too few of enough messages are approved for chance; a country where they come as ever is not named."""
    now = team.bench.clock.ms
    happened(team, now - 10 * MINUTE, "US", sent=40, approved=8)
    happened(team, now - 10 * MINUTE, "DE", sent=90, approved=66)
    team.round(0)
    assert team.told == ["opened Approvals falling: US"]
    shown = team.posts[0]["data"]
    assert shown["sentence"] == ("Of the 40 messages to US in half an hour, 20% are approved, where 75% are usual.")
    assert (shown["figures"], shown["link"]) == (
        {"approved": 8, "sent": 40, "usual": 0.75},
        "https://verify.acme.example/console/",
    )
    happened(team, now + 20 * MINUTE, "US", sent=40, approved=30)
    team.round(22 * 60)
    team.round(10 * 60)
    assert team.told == ["opened Approvals falling: US", "resolved Approvals falling: US"]


def test_where_approvals_fall_everywhere_it_is_one_incident(team: AlertBench) -> None:
    """As where a provider loses messages, or a page no longer takes codes."""
    for country in ("US", "DE"):
        happened(team, team.bench.clock.ms - 10 * MINUTE, country, sent=60, approved=3)
    team.round(0)
    assert team.told == ["opened Approvals falling"]
    assert team.posts[0]["data"]["sentence"].startswith("Of the 120 messages to all countries in half an hour, 5% are")


@pytest.mark.parametrize(
    ("sent", "approved", "country"),
    [(29, 0, "US"), (40, 20, "US"), (40, 0, "FR")],
    ids=["of a handful", "by a little", "where nothing is known to be usual"],
)
def test_what_chance_does_is_not_told(team: AlertBench, sent: int, approved: int, country: str) -> None:
    """Nor what came before the half hour, or came too late for its code to be entered yet."""
    now = team.bench.clock.ms
    happened(team, now - 10 * MINUTE, country, sent=sent, approved=approved)
    happened(team, now - 40 * MINUTE, "US", sent=60)
    happened(team, now - MINUTE, "US", sent=60)
    happened(team, now - 5 * MINUTE, "DE", sent=200, approved=150)
    team.round(0)
    assert team.told == []


def test_far_more_refusals_than_usual_are_an_attack(team: AlertBench) -> None:
    """Of fifty or more in half an hour, five times the usual; one that goes on at half of that is the same."""
    now = team.bench.clock.ms
    happened(team, now - 10 * MINUTE, "US", refused=49)
    team.round(0)
    assert team.told == []
    happened(team, now - 10 * MINUTE, "US", refused=1)
    team.round(60)
    assert team.told == ["opened Under attack: US"]
    shown = team.posts[0]["data"]
    assert shown["sentence"] == "50 starts were refused there in half an hour, where 2 are usual."
    assert shown["figures"] == {"refused_lately": 50, "usually_refused": 1.7}
    assert shown["link"] == "https://verify.acme.example/console/decisions"
    happened(team, now + 20 * MINUTE, "US", refused=30)
    team.round(24 * 60)
    team.round(25 * 60)
    assert team.told == ["opened Under attack: US"]
    team.round(10 * 60)
    team.round(10 * 60)
    assert team.told == ["opened Under attack: US", "resolved Under attack: US"]
