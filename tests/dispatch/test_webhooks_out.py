"""What tenants' own endpoints are told: signed, in order, at least once, and never by one at another's cost."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.support.bench import Bench, a_start, make_bench
from tests.support.cluster import POLICY, Cluster, begin, numbers_where, port_of
from tests.support.concurrency import numbers
from tests.support.live import PATIENCE_S, clean, until
from tests.support.vendor import Vendor, vendor_at_work
from tests.support.webhook_bench import ALL, SECRETS, TO, WebhookBench, to, told, tries
from verify_service import config
from verify_service.dispatch import webhooks
from verify_service.dispatch.webhooks import Webhooks
from verify_service.duration import rfc3339
from verify_service.errors import ConfigError, RateLimited, StoreUnavailable
from verify_service.store import Store
from verify_service.store.layouts import Wanted
from verify_service.store.webhooks import LEASE_MS

pytestmark = pytest.mark.slow


def test_an_endpoint_is_told_what_happened_in_order_and_signed(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """One signed POST per event, with an id of its own, the time it happened, and neither number nor code."""
    with webhook_bench.telling({"default": to(vendor)}):
        found = webhook_bench.life()
        until(lambda: len(vendor.requests) == 3)
    assert told(vendor) == ["started", "wrong", "approved"]
    for headers, body in vendor.requests:
        Webhook(SECRETS["env:A"]).verify(body, headers)
        assert headers["content-type"] == "application/json"
        shown = json.loads(body)
        assert shown["data"]["id"] == found
        assert shown["timestamp"] == rfc3339(webhook_bench.bench.clock.ms)
        assert TO[1:] not in body.decode()
    assert json.loads(vendor.requests[0][1]) == {
        "type": "verification.started",
        "timestamp": rfc3339(webhook_bench.bench.clock.ms),
        "data": {"id": found, "purpose": "login", "channel": "sms", "country": "US"},
    }
    assert len({headers["webhook-id"] for headers, _ in vendor.requests}) == 3
    assert webhook_bench.held() == [b"vs:{0}:hooks"]


def test_an_endpoint_is_told_only_what_its_tenant_asked_for(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """Neither other events nor another tenant's; a refusal says what refused."""
    with webhook_bench.telling({"default": to(vendor, "approved", "refused")}):
        webhook_bench.life("other")
        webhook_bench.life()
        webhook_bench.bench.service.start("default", a_start(TO))
        with pytest.raises(RateLimited):
            webhook_bench.bench.service.start("default", a_start(TO))
        until(lambda: len(vendor.requests) == 2)
    assert sorted(told(vendor)) == ["approved", "refused"]
    refused = json.loads(vendor.requests[told(vendor).index("refused")][1])
    assert refused["data"]["refused"] == "cooldown"


def test_while_a_secret_is_changed_both_sign(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """Whoever has the old one and whoever has the new one can verify."""
    with webhook_bench.telling({"default": to(vendor, "started", secret=("file:/c", "env:B"))}):
        webhook_bench.life()
        until(lambda: len(vendor.requests) == 1)
    [(headers, body)] = vendor.requests
    for secret in ("file:/c", "env:B"):
        Webhook(SECRETS[secret]).verify(body, headers)


def test_an_endpoint_that_hangs_delays_nobody_elses(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """A hundred events for one that never answers, and the other tenant's all arrive."""
    goes_on = threading.Event()
    with vendor_at_work() as hanging:

        def hang() -> tuple[int, dict[str, str], bytes]:
            goes_on.wait(PATIENCE_S)
            return 200, {}, b""

        hanging.answer = hang
        with webhook_bench.telling({"slow": to(hanging), "quick": to(vendor)}):
            for number, _ in zip(numbers(415), range(33), strict=False):
                webhook_bench.life("slow", number)
            until(lambda: len(hanging.requests) == webhooks.THREADS)
            for number, _ in zip(numbers(646), range(10), strict=False):
                webhook_bench.life("quick", number)
            until(lambda: len(vendor.requests) == 30)
            assert len(hanging.requests) == webhooks.THREADS
            goes_on.set()
            until(lambda: len(hanging.requests) == 99)


def _dispatch_role(env: Mapping[str, str]) -> Iterator[None]:
    """The dispatch role as a process, which ends by `kill -9`."""
    process = subprocess.Popen([sys.executable, "-m", "verify_service", "dispatch"], env=clean(env))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_every_key_of_the_webhooks_has_a_time_to_live(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """Position, lanes, what is due, dead letters, and the mark of an endpoint that is off."""
    vendor.answer = lambda: (500, {}, b"")
    client: Any = webhook_bench.bench.store.link.client()
    with webhook_bench.telling({"default": to(vendor)}):
        webhook_bench.life()
        until(lambda: tries(webhook_bench) == [1])
        vendor.answer = lambda: (410, {}, b"")
        webhook_bench.life(to="+14155550182")
        until(lambda: client.exists("vs:{0}:hooks:default:off"))
    kinds = {(key.split(b":") + [b""] * 2)[4] for key in webhook_bench.held()}
    assert kinds == {b"", b"due", b"lane", b"dead", b"off"}
    assert all(client.pttl(key) > 0 for key in webhook_bench.held())


def test_on_a_cluster_every_partitions_events_arrive(spread: Store, vendor: Vendor) -> None:
    """A tenant's endpoint is told of all of its verifications, wherever they lie."""
    bench = make_bench(spread)
    spread.webhooks.due(bench.clock.now(), [])
    stop = threading.Event()
    made = Webhooks(spread.webhooks, {"default": to(vendor, "started")}, SECRETS.__getitem__, bench.clock)
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        ids = {
            bench.service.start("default", a_start(number)).id
            for number, _ in zip(numbers(415), range(40), strict=False)
        }

        def all_told() -> bool:
            bench.clock.advance(1)  # What a round that failed on a busy machine has taken is due after its lease.
            return {json.loads(body)["data"]["id"] for _, body in vendor.requests.copy()} == ids

        until(all_told, "all to be told")
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def test_on_a_cluster_a_dead_primary_delays_its_own_events_alone(tmp_path: Path) -> None:
    """While a third of the partitions is silent, what lies in the others is due, after one lease at the most."""
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        store = Store(cluster.url)
        store.prepare()
        bench = make_bench(store, POLICY)
        store.webhooks.due(bench.clock.now(), [])
        doomed = cluster.nodes[0]
        dead = {part for part in range(32) if port_of(store, part) == doomed.port}
        ids = {begin(bench, to).id for to in itertools.islice(numbers_where(bench, lambda part: part not in dead), 10)}
        found: set[str] = set()
        doomed.kill()

        def all_found() -> bool:
            bench.clock.advance(LEASE_MS / 1000)
            with suppress(StoreUnavailable):
                due, _, _ = store.webhooks.due(bench.clock.now(), [Wanted("default", ALL, 100)])
                found.update(each.id for each in due)
            return found == ids

        until(all_found, "all to be found")
    finally:
        cluster.stop()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('url = "https://x.example"', "secret"),
        ('url = "x.example"\nsecret = "env:A"', "url"),
        ('url = "https://x.example"\nsecret = "whsec_in-clear"', "secret"),
        ('url = "https://x.example"\nsecret = "env:A"\nevents = ["code"]', "events"),
        ('url = "https://x.example"\nsecret = []', "secret"),
        ('url = "https://x.example"\nsecret = "env:A"\ntimeout = "21 seconds"', "timeout"),
    ],
)
def test_a_webhook_that_cannot_be_used_is_refused(tmp_path: Path, lines: str, words: str) -> None:
    """One line that names the key at fault."""
    file = tmp_path / "verify.toml"
    file.write_text(f'[providers.a]\nkind = "fake"\n[tenants.acme.webhook]\n{lines}\n')
    with pytest.raises(ConfigError, match=words):
        config.load(file, None)


def test_a_sender_serves_tenants_that_there_are(tmp_path: Path) -> None:
    """A STOP must not be for a tenant whose name is misspelt."""
    file = tmp_path / "verify.toml"
    sender = '[senders.short]\ntype = "short-code"\naddress = "43721"\ntenants = ["default", "acne"]\n'
    file.write_text(f'[providers.a]\nkind = "fake"\n[tenants.acme]\n{sender}')
    with pytest.raises(ConfigError, match=r"senders\.short\.tenants: there is no \[tenants\.acne\]"):
        config.load(file, None)


def test_a_bad_secret_stops_the_start(vendor: Vendor, store: Store, bench: Bench) -> None:
    """And the error names the tenant, not the secret."""
    with pytest.raises(ConfigError, match=r"^tenants.acme.webhook: a webhook's secret is whsec_") as error:
        Webhooks(store.webhooks, {"acme": to(vendor)}, lambda _: "whsec_dG9vIHNob3J0", bench.clock)
    assert "dG9v" not in str(error.value)
