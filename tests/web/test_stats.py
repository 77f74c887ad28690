"""Counts over time by HTTP: what is asked, in which form it is answered, and what is refused."""

from urllib.parse import quote

import pytest

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from verify_service.duration import rfc3339
from verify_service.store import Store

pytestmark = pytest.mark.slow

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PRICED = "[code]\nguess_ceiling = 1.0\n[prices]\ndefault = 0.05\n"


@pytest.fixture
def client(alone: Store) -> LocalClient:
    clock = ManualClock()
    clock.ms = clock.ms // DAY * DAY + HOUR
    found = LocalClient(alone, clock, PRICED)
    for to in ("+14155550123", "+14155550123", "+447400123456"):
        found.request("POST", "/start", {"to": to})
    while alone.counts.fold(clock.now()).more:
        pass
    return found


def test_counts_are_told_by_what_is_asked_in_dollars(client: LocalClient) -> None:
    """By the minute of the last hour where nothing is said; from and to in any zone; the groups with most starts
    first."""
    now = client.clock.now()
    _, _, usual = client.request("GET", "/admin/stats")
    assert (usual["from"], usual["to"], usual["step"], usual["by"]) == (
        rfc3339(now - HOUR),
        rfc3339(now),
        "minute",
        "total",
    )
    assert (len(usual["buckets"]), usual["groups"]) == (60, [])  # The minute that is belongs to the next sixty.
    begin = quote(rfc3339(now - HOUR).replace("Z", "+00:00"))
    asked = f"/admin/stats?from={begin}&to={rfc3339(now + 1)}&step=hour&by=country"
    _, _, found = client.request("GET", asked)
    assert found["buckets"] == [rfc3339(now - HOUR), rfc3339(now)]
    us = {"starts": 2, "spend": 0.05, "refused": 1, "saved": 0.05}
    assert found["groups"] == [
        {"name": "US", "sums": us, "series": {counter: [0, n] for counter, n in us.items()}},
        {"name": "GB", "sums": {"starts": 1, "spend": 0.05}, "series": {"starts": [0, 1], "spend": [0, 0.05]}},
    ]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("step=week", "step"),
        ("by=number", "by"),
        ("from=yesterday", "from"),
        ("to=20260101T000000Z", "to"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("from=1999-01-01T00:00:00Z&step=day", "from"),
        ("from=9999-12-31T23:59:59-23:59", "to"),
        ("to=2000-01-01T00:00:00Z", "from"),
        ("to=9999-12-31T23:59:59Z&from=9999-12-31T00:00:00Z&step=day", "to"),
        ("group=US", "group"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_its_name(client: LocalClient, query: str, field: str) -> None:
    """400, with the part of the question that is at fault."""
    status, _, problem = client.request("GET", f"/admin/stats?{query}")
    assert (status, problem["errors"][0]["field"]) == (400, field)
