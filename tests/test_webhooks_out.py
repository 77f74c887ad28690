"""What tenants' own endpoints are told: signed, in order, at least once, and never by one at another's cost."""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from tests.conftest import Bench, a_start, make_bench, wrong
from tests.crowd import numbers
from tests.live import until
from tests.vendor import Vendor, vendor_at_work
from verify_service import config
from verify_service.config import WebhookConfig
from verify_service.dispatch import webhooks
from verify_service.dispatch.webhooks import Webhooks
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import ConfigError, RateLimited
from verify_service.store import Store
from verify_service.store.webhooks import LEASE_MS, Wanted

TO = "+14155550181"
SECRETS = {
    name: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for name in ("env:A", "env:B", "file:/c")
}
ALL = ("started", "refused", "sent", "delivered", "failed", "failed-over", "wrong", "approved", "canceled")


class Hooked:
    """A service on a Valkey of its own, and the endpoints of its tenants."""

    def __init__(self, server: EmbeddedValkey) -> None:
        self.url = server.url
        store = Store(server.url)
        store.prepare()
        self.bench: Bench = make_bench(store)
        store.webhooks.due(self.bench.clock.now(), {})  # The events begin here.

    @contextmanager
    def telling(self, endpoints: Mapping[str, WebhookConfig]) -> Iterator[None]:
        stop = threading.Event()
        made = Webhooks(Store(self.url).webhooks, endpoints, SECRETS.__getitem__, self.bench.clock)
        thread = threading.Thread(target=made.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(15)
            assert not thread.is_alive()

    def life(self, tenant: str = "default", to: str = TO) -> str:
        """A start, a wrong code and the right one; the id."""
        found = self.bench.service.start(tenant, a_start(to)).id
        code = self.bench.code(found)
        self.bench.service.check(tenant, found, wrong(code))
        assert self.bench.service.check(tenant, found, code).approved
        return found

    def held(self) -> list[bytes]:
        client: Any = self.bench.store.link.client()
        return [key for key in client.scan_iter(count=1000) if b":hooks" in key]


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator[Hooked]:
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        yield Hooked(server)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with vendor_at_work() as made:
        made.answer = lambda: (204, {}, b"")
        yield made


def to(vendor: Vendor, *events: str, secret: Any = "env:A") -> WebhookConfig:  # noqa: S107
    return WebhookConfig(url=vendor.url, secret=secret, events=events or ALL)  # type: ignore[arg-type]


def told(vendor: Vendor) -> list[str]:
    """The kinds of what came, in the order in which it came."""
    return [json.loads(body)["type"].removeprefix("verification.") for _, body in vendor.requests]


def answering(*statuses: int) -> Callable[[], tuple[int, dict[str, str], bytes]]:
    """One status after the other, and 200 from then on."""
    left = list(statuses)
    return lambda: (left.pop(0) if left else 200, {}, b"")


def test_an_endpoint_is_told_what_happened_in_order_and_signed(hooked: Hooked, vendor: Vendor) -> None:
    """One signed POST per event, with an id of its own, the time it happened, and neither number nor code."""
    with hooked.telling({"default": to(vendor)}):
        found = hooked.life()
        until(lambda: len(vendor.requests) == 3)
    assert told(vendor) == ["started", "wrong", "approved"]
    for headers, body in vendor.requests:
        Webhook(SECRETS["env:A"]).verify(body, headers)
        assert headers["content-type"] == "application/json"
        shown = json.loads(body)
        assert shown["data"]["id"] == found
        assert shown["timestamp"] == "2027-01-15T08:00:00.000Z"
        assert TO[1:] not in body.decode()
    assert json.loads(vendor.requests[0][1]) == {
        "type": "verification.started",
        "timestamp": "2027-01-15T08:00:00.000Z",
        "data": {"id": found, "purpose": "login", "channel": "sms", "country": "US"},
    }
    assert len({headers["webhook-id"] for headers, _ in vendor.requests}) == 3
    assert hooked.held() == [b"vs:{0}:hooks"]


def test_an_endpoint_is_told_only_what_its_tenant_asked_for(hooked: Hooked, vendor: Vendor) -> None:
    """Neither other events nor another tenant's; a refusal says what refused."""
    with hooked.telling({"default": to(vendor, "approved", "refused")}):
        hooked.life("other")
        hooked.life()
        hooked.bench.service.start("default", a_start(TO))
        with pytest.raises(RateLimited):
            hooked.bench.service.start("default", a_start(TO))
        until(lambda: len(vendor.requests) == 2)
    assert told(vendor) == ["approved", "refused"]
    assert json.loads(vendor.requests[1][1])["data"]["refused"] == "cooldown"


def test_while_a_secret_is_changed_both_sign(hooked: Hooked, vendor: Vendor) -> None:
    """Whoever has the old one and whoever has the new one can verify."""
    with hooked.telling({"default": to(vendor, "started", secret=("file:/c", "env:B"))}):
        hooked.life()
        until(lambda: len(vendor.requests) == 1)
    [(headers, body)] = vendor.requests
    for secret in ("file:/c", "env:B"):
        Webhook(SECRETS[secret]).verify(body, headers)


def test_what_follows_an_event_that_was_not_taken_waits_for_it(hooked: Hooked, vendor: Vendor) -> None:
    """It is repeated with the same id and body after about five seconds, then the rest follows, in order; another
    verification's events do not wait."""
    vendor.answer = answering(500)
    with hooked.telling({"default": to(vendor)}):
        first = hooked.life()
        until(lambda: len(vendor.requests) == 1)
        second = hooked.life(to="+14155550182")
        until(lambda: len(vendor.requests) == 4)
        hooked.bench.clock.advance(3)
        assert hooked.bench.store.webhooks.counts(["default"]) == (1, 0)
        hooked.bench.clock.advance(4)
        until(lambda: len(vendor.requests) == 7)
    assert told(vendor) == ["started", "started", "wrong", "approved", "started", "wrong", "approved"]
    ids = [json.loads(body)["data"]["id"] for _, body in vendor.requests]
    assert ids == [first, second, second, second, first, first, first]
    (once, body), (again, same) = vendor.requests[0], vendor.requests[4]
    assert (again["webhook-id"], same) == (once["webhook-id"], body)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500, 503, 0])
def test_only_success_is_success(hooked: Hooked, vendor: Vendor, status: int) -> None:
    """Whatever else is answered, or a broken connection: it comes again. No redirect is followed."""
    vendor.answer = lambda: (status, {"location": vendor.url}, b"")
    with hooked.telling({"default": to(vendor, "approved")}):
        hooked.life()
        until(lambda: _tries(hooked) == [1])
        assert len(vendor.requests) == 1
        vendor.answer = answering()
        hooked.bench.clock.advance(7)
        until(lambda: len(vendor.requests) == 2)


def test_tries_are_spread_over_days_and_then_it_is_a_dead_letter(hooked: Hooked, vendor: Vendor) -> None:
    """From 5 seconds to a day, give or take a fifth; what is given up is listed with its reason, and replayed."""
    vendor.answer = lambda: (500, {}, b"")
    client: Any = hooked.bench.store.link.client()
    clock = hooked.bench.clock
    with hooked.telling({"default": to(vendor, "approved")}):
        found = hooked.life()
        for n, seconds in enumerate(webhooks.BACKOFF_S, 1):
            until(lambda n=n: _tries(hooked) == [n])  # type: ignore[misc]
            wait = (client.zscore("vs:{0}:hooks:default:due", found) - clock.now()) / 1000
            assert 0.8 * seconds <= wait <= 1.2 * seconds
            clock.advance(wait)
        until(lambda: hooked.bench.store.webhooks.dead("default"))
        assert hooked.bench.store.webhooks.counts(["default"]) == (0, 1)
        [letter] = hooked.bench.store.webhooks.dead("default")
        assert (letter.event.id, letter.event.fields["event"], letter.why) == (found, "approved", "HTTP 500")
        vendor.answer = answering()
        assert hooked.bench.store.webhooks.replay(clock.now(), "default") == 1
        until(lambda: hooked.bench.store.webhooks.counts(["default"]) == (0, 0))
    assert len(vendor.requests) == len(webhooks.BACKOFF_S) + 2
    assert len({headers["webhook-id"] for headers, _ in vendor.requests}) == 1


def test_gone_turns_an_endpoint_off_until_a_replay(hooked: Hooked, vendor: Vendor) -> None:
    """410: nothing more is sent, an event says so, and what happens meanwhile is a dead letter; a replay turns it on
    and tells all of it, in order."""
    vendor.answer = answering(410)
    store, clock = hooked.bench.store, hooked.bench.clock
    with hooked.telling({"default": to(vendor)}):
        first = hooked.bench.service.start("default", a_start(TO)).id
        until(lambda: len(store.webhooks.dead("default")) == 1)
        until(lambda: any(event["event"] == "webhook-off" for event in store.events.read(0)))
        hooked.bench.service.check("default", first, hooked.bench.code(first))
        hooked.life(to="+14155550182")
        until(lambda: len(store.webhooks.dead("default")) == 5)
        assert len(vendor.requests) == 1
        assert {letter.why for letter in store.webhooks.dead("default")} == {"HTTP 410", "the endpoint is off"}
        assert store.webhooks.replay(clock.now(), "default") == 5
        until(lambda: len(vendor.requests) == 6)
    ids = [json.loads(body)["data"]["id"] for _, body in vendor.requests[1:]]
    assert [kind for kind, at in zip(told(vendor)[1:], ids, strict=True) if at == first] == ["started", "approved"]
    assert sorted(told(vendor)[1:]) == ["approved", "approved", "started", "started", "wrong"]


def test_an_endpoint_that_hangs_delays_nobody_elses(hooked: Hooked, vendor: Vendor) -> None:
    """A hundred events for one that never answers, and the other tenant's all arrive."""
    goes_on = threading.Event()
    with vendor_at_work() as hanging:

        def hang() -> tuple[int, dict[str, str], bytes]:
            goes_on.wait(30)
            return 200, {}, b""

        hanging.answer = hang
        with hooked.telling({"slow": to(hanging), "quick": to(vendor)}):
            for number, _ in zip(numbers(415), range(33), strict=False):
                hooked.life("slow", number)
            until(lambda: len(hanging.requests) == webhooks.THREADS)
            for number, _ in zip(numbers(646), range(10), strict=False):
                hooked.life("quick", number)
            until(lambda: len(vendor.requests) == 30)
            assert len(hanging.requests) == webhooks.THREADS
            goes_on.set()
            until(lambda: len(hanging.requests) == 99)


def test_what_a_dead_dispatcher_held_is_told_by_another_after_its_lease(hooked: Hooked, vendor: Vendor) -> None:
    """At least once: one that took an event and vanished has delayed it, not lost it."""
    found = hooked.life()
    store, clock = hooked.bench.store, hooked.bench.clock
    taken, _, _ = store.webhooks.due(clock.now(), {"default": Wanted(ALL, 100)})
    assert [(due.id, due.fields["event"]) for due in taken] == [(found, "started")]
    with hooked.telling({"default": to(vendor)}):
        clock.advance(LEASE_MS / 1000 - 1)
        assert store.webhooks.due(clock.now(), {"default": Wanted(ALL, 100)})[0] == []
        clock.advance(1)
        until(lambda: len(vendor.requests) == 3)
    store.webhooks.done(clock.now(), taken[0])  # The dead come back, and change nothing.
    assert told(vendor) == ["started", "wrong", "approved"]


def test_what_was_trimmed_before_anybody_looked_is_counted(tmp_path: Path) -> None:
    """An events stream that was not read for too long has lost events: exactly how many is known."""
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        hooked = Hooked(server)
        short = make_bench(Store(server.url, keep_events=200))
        for number, _ in zip(numbers(415), range(600), strict=False):
            short.service.start("default", a_start(number))
        stream: Any = hooked.bench.store.link.client().xinfo_stream("vs:{0}:events")
        ask = {"default": Wanted(ALL, 1000)}
        found, lost, _ = hooked.bench.store.webhooks.due(short.clock.now(), ask)
        assert lost == stream["entries-added"] - stream["length"] > 100
        assert len(found) >= 200
        assert hooked.bench.store.webhooks.due(short.clock.now(), ask)[1] == 0


def test_every_key_of_the_webhooks_has_a_time_to_live(hooked: Hooked, vendor: Vendor) -> None:
    """Position, lanes, what is due, dead letters, and the mark of an endpoint that is off."""
    vendor.answer = lambda: (500, {}, b"")
    client: Any = hooked.bench.store.link.client()
    with hooked.telling({"default": to(vendor)}):
        hooked.life()
        until(lambda: _tries(hooked) == [1])
        vendor.answer = lambda: (410, {}, b"")
        hooked.life(to="+14155550182")
        until(lambda: client.exists("vs:{0}:hooks:default:off"))
    kinds = {(key.split(b":") + [b""] * 2)[4] for key in hooked.held()}
    assert kinds == {b"", b"due", b"lane", b"dead", b"off"}
    assert all(client.pttl(key) > 0 for key in hooked.held())


def test_on_a_cluster_every_partitions_events_arrive(spread: Store, vendor: Vendor) -> None:
    """A tenant's endpoint is told of all of its verifications, wherever they lie."""
    bench = make_bench(spread)
    spread.webhooks.due(bench.clock.now(), {})
    stop = threading.Event()
    made = Webhooks(spread.webhooks, {"default": to(vendor, "started")}, SECRETS.__getitem__, bench.clock)
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        ids = {
            bench.service.start("default", a_start(number)).id
            for number, _ in zip(numbers(415), range(40), strict=False)
        }
        until(lambda: len(vendor.requests) >= 40)
    finally:
        stop.set()
        thread.join(15)
    assert {json.loads(body)["data"]["id"] for _, body in vendor.requests} == ids


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


def test_a_bad_secret_stops_the_start(vendor: Vendor, store: Store, bench: Bench) -> None:
    """And the error names the tenant, not the secret."""
    with pytest.raises(ConfigError, match=r"^tenants.acme.webhook: a webhook's secret is whsec_") as error:
        Webhooks(store.webhooks, {"acme": to(vendor)}, lambda _: "whsec_dG9vIHNob3J0", bench.clock)
    assert "dG9v" not in str(error.value)


def _tries(hooked: Hooked) -> list[int]:
    """How often the head of each lane has failed."""
    client: Any = hooked.bench.store.link.client()

    lanes = client.keys("vs:{0}:hooks:*:lane:*")
    return [msgspec.msgpack.decode(client.lindex(lane, 0))[2] for lane in lanes]
