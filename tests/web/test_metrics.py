"""What `/metrics` looks up in the store: the dispatchers that live, and how far who follows the events is behind."""

from pathlib import Path

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
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


def test_what_nobody_has_handed_over_to_endpoints_is_counted(quiet: Store, tmp_path: Path) -> None:
    """0 before a dispatcher has begun to look, then each event that it has not seen, and 0 once it has."""
    toml = tmp_path / "verify.toml"
    toml.write_text(TOML)
    clock = ManualClock()
    client = LocalClient(quiet, clock, config_file=toml)
    client.start("+14155550123")
    assert figures(client)["verify_webhooks_behind"] == 0
    quiet.webhooks.due(clock.now(), [])
    for to in ("+14155550124", "+14155550125"):
        client.start(to)
    assert figures(client)["verify_webhooks_behind"] == 2
    quiet.webhooks.due(clock.now(), [])
    assert figures(client)["verify_webhooks_behind"] == 0
