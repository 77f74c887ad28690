"""What `/metrics` looks up in the store: the dispatchers that live, and how far who follows the events is behind."""

from pathlib import Path

import pytest

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from verify_service.model import Actor
from verify_service.store import Store

TOML = """
[providers.fake-a]
kind = "fake"
[tenants.default]
brand = "Ours"
[tenants.acme]
brand = "Acme"
[tenants.acme.webhook]
url = "https://acme.example/events"
secret = "env:ACME_SECRET"
"""


def figures(client: LocalClient) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in client.request("GET", "/metrics")[2].splitlines()]
    return {name: float(value) for name, _, value in lines if not name.startswith("#")}


def test_the_store_is_up_and_dispatchers_are_counted_by_their_leases(quiet: Store) -> None:
    """Each that renews its lease, whether or not it has anything to send; one that resigned is none, though the outbox
    still knows its name."""
    client = LocalClient(quiet, ManualClock())
    assert figures(client)["verify_dispatchers"] == 0
    for name in ("one", "two", "three"):
        quiet.outbox.take(0, name, 1, 0)
    for name in ("one", "two"):
        quiet.outbox.claim(0, name, 60_000, 0)
    assert figures(client)["verify_dispatchers"] == 2
    quiet.outbox.resign("two")
    told = figures(client)
    assert (told["verify_dispatchers"], told["verify_store_up"]) == (1, 1)


def test_what_nobody_has_handed_over_or_counted_is_told(quiet: Store, tmp_path: Path) -> None:
    """0 before a dispatcher has begun to look, then each event that it has not seen, and 0 once it has: of what goes to
    the tenants' endpoints and of what is counted over time apart."""
    toml = tmp_path / "verify.toml"
    toml.write_text(TOML)
    clock = ManualClock()
    client = LocalClient(quiet, clock, config_file=toml)

    def behind() -> tuple[float, float]:
        told = figures(client)
        return told["verify_webhooks_behind"], told["verify_counts_behind"]

    client.start("+14155550123")
    assert behind() == (0, 0)
    quiet.webhooks.due(clock.now(), [])
    quiet.counts.fold(clock.now())
    for to in ("+14155550124", "+14155550125"):
        client.start(to)
    assert behind() == (2, 2)
    quiet.counts.fold(clock.now())
    assert behind() == (2, 0)
    quiet.webhooks.due(clock.now(), [])
    assert behind() == (0, 0)


POLICY = """
[code]
digits = 6
[[limit]]
name = "wrong"
of = ["number"]
counts = "wrong-codes"
allow = "10/day"
[prices]
US = 0.5
default = 1
[[rule]]
name = "by-country"
kind = "budget"
of = ["country"]
allow = "$2/day"
mode = "observe"
[[rule]]
name = "all"
kind = "budget"
of = ["tenant"]
allow = "$10/day"
mode = "enforce"
"""


def test_of_each_budget_the_fullest_sum_is_told(alone: Store) -> None:
    """By the rule's name alone, whatever countries and tenants it goes by; none before a policy is in force."""
    client = LocalClient(alone, ManualClock(), POLICY)
    assert not any(name.startswith("verify_budget") for name in figures(client))
    live = client.app.extensions["verify_service"].live
    live.push(client.clock.now(), Actor("root"), "", POLICY)
    live.refresh()
    for to in ("+14155550123", "+14155550124", "+14155550125", "+919012345678"):
        client.start(to)
    told = {name: value for name, value in figures(client).items() if name.startswith("verify_budget")}
    assert told == {
        'verify_budget_spent_ratio{rule="by-country"}': pytest.approx(0.75),
        'verify_budget_spent_ratio{rule="all"}': pytest.approx(0.25),
    }
