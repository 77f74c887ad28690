"""Events that an endpoint does not take: tried again over days, given up, replayed; none is lost with a process."""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import a_start, make_bench
from tests.support.concurrency import numbers
from tests.support.live import PATIENCE_S, clean, patient, until
from tests.support.vendor import Vendor
from tests.support.webhook_bench import ALL, SECRETS, TO, WebhookBench, answering, to, told, tries
from verify_service import codes
from verify_service.dispatch import webhooks
from verify_service.embedded import EmbeddedValkey
from verify_service.store import Store
from verify_service.store.clock import VirtualClock
from verify_service.store.layouts import Wanted
from verify_service.store.webhooks import LEASE_MS, Due, WebhookStore

pytestmark = pytest.mark.slow


def test_what_follows_an_event_that_was_not_taken_waits_for_it(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """It is repeated with the same id and body after about five seconds, then the rest follows, in order; another
    verification's events do not wait."""
    vendor.answer = answering(500)
    with webhook_bench.telling({"default": to(vendor)}):
        first = webhook_bench.life()
        until(lambda: len(vendor.requests) == 1)
        second = webhook_bench.life(to="+14155550182")
        until(lambda: len(vendor.requests) == 4)
        until(lambda: webhook_bench.bench.store.webhooks.counts(["default"]) == (1, 0), "the last answer to be kept")
        webhook_bench.bench.clock.advance(3)
        assert webhook_bench.bench.store.webhooks.counts(["default"]) == (1, 0)
        webhook_bench.bench.clock.advance(4)
        until(lambda: len(vendor.requests) == 7)
    assert told(vendor) == ["started", "started", "wrong", "approved", "started", "wrong", "approved"]
    ids = [json.loads(body)["data"]["id"] for _, body in vendor.requests]
    assert ids == [first, second, second, second, first, first, first]
    (once, body), (again, same) = vendor.requests[0], vendor.requests[4]
    assert (again["webhook-id"], same) == (once["webhook-id"], body)


@pytest.mark.parametrize("status", [302, 400, 401, 404, 429, 500, 503, 0])
def test_only_success_is_success(webhook_bench: WebhookBench, vendor: Vendor, status: int) -> None:
    """Whatever else is answered, or a broken connection: it comes again. No redirect is followed."""
    vendor.answer = lambda: (status, {"location": vendor.url}, b"")
    with webhook_bench.telling({"default": to(vendor, "approved")}):
        webhook_bench.life()
        until(lambda: tries(webhook_bench) == [1])
        assert len(vendor.requests) == 1
        vendor.answer = answering()
        webhook_bench.bench.clock.advance(7)
        until(lambda: len(vendor.requests) == 2)


def test_tries_are_spread_over_days_and_then_it_is_a_dead_letter(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """From 5 seconds to a day, give or take a fifth; what is given up is listed with its reason, and replayed."""
    vendor.answer = lambda: (500, {}, b"")
    client: Any = webhook_bench.bench.store.link.client()
    clock = webhook_bench.bench.clock
    with webhook_bench.telling({"default": to(vendor, "approved")}):
        found = webhook_bench.life()
        for n, seconds in enumerate(webhooks.BACKOFF_S, 1):
            until(lambda n=n: tries(webhook_bench) == [n])  # type: ignore[misc]
            wait = (client.zscore("vs:{0}:hooks:default:due", found) - clock.now()) / 1000
            assert 0.8 * seconds <= wait <= 1.2 * seconds
            clock.advance(wait)
        until(lambda: webhook_bench.bench.store.webhooks.dead("default"))
        assert webhook_bench.bench.store.webhooks.counts(["default"]) == (0, 1)
        [letter] = webhook_bench.bench.store.webhooks.dead("default")
        assert (letter.event.id, letter.event.fields["event"], letter.why) == (found, "approved", "HTTP 500")
        vendor.answer = answering()
        assert webhook_bench.bench.store.webhooks.replay(clock.now(), "default") == 1
        until(lambda: webhook_bench.bench.store.webhooks.counts(["default"]) == (0, 0))
    assert len(vendor.requests) == len(webhooks.BACKOFF_S) + 2
    assert len({headers["webhook-id"] for headers, _ in vendor.requests}) == 1


def test_gone_turns_an_endpoint_off_until_a_replay(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """410: nothing more is sent, an event says so, and what happens meanwhile is a dead letter; a replay turns it on
    and tells all of it, in order."""
    vendor.answer = answering(410)
    store, clock = webhook_bench.bench.store, webhook_bench.bench.clock
    with webhook_bench.telling({"default": to(vendor)}):
        first = webhook_bench.bench.service.start("default", a_start(TO)).id
        until(lambda: len(store.webhooks.dead("default")) == 1)
        until(lambda: any(event["event"] == "webhook-off" for event in store.events.read(0)))
        webhook_bench.bench.service.check("default", first, webhook_bench.bench.code(first))
        webhook_bench.life(to="+14155550182")
        until(lambda: len(store.webhooks.dead("default")) == 5)
        assert len(vendor.requests) == 1
        assert {letter.why for letter in store.webhooks.dead("default")} == {"HTTP 410", "the endpoint is off"}
        assert store.webhooks.replay(clock.now(), "default") == 5
        until(lambda: len(vendor.requests) == 6)
    ids = [json.loads(body)["data"]["id"] for _, body in vendor.requests[1:]]
    assert [kind for kind, at in zip(told(vendor)[1:], ids, strict=True) if at == first] == ["started", "approved"]
    assert sorted(told(vendor)[1:]) == ["approved", "approved", "started", "started", "wrong"]


def test_a_replay_may_come_as_soon_as_there_is_a_letter(
    webhook_bench: WebhookBench, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint is on then: what made the letter does not turn it off behind the replay."""
    vendor.answer, bury = answering(410), WebhookStore.bury

    def at_once(store: WebhookStore, now: int, due: Due, why: str) -> None:
        bury(store, now, due, why)
        vendor.answer = answering(200)
        assert store.replay(now, due.tenant) == 1

    monkeypatch.setattr(WebhookStore, "bury", at_once)
    with webhook_bench.telling({"default": to(vendor)}):
        webhook_bench.bench.service.start("default", a_start(TO))
        until(lambda: len(vendor.requests) == 2)


def test_a_replay_puts_letters_before_what_waits_behind_them(webhook_bench: WebhookBench) -> None:
    """What waited for the same verification when the endpoint went is held, and told after the letters, in order."""
    store, now = webhook_bench.bench.store.webhooks, webhook_bench.bench.clock.now()
    ask = [Wanted("default", ALL, 100)]
    verification = webhook_bench.life()
    [first], _, _ = store.due(now, ask)
    store.bury(now, first, "HTTP 410")
    assert store.turn_off(now, "default")
    assert store.due(now, ask)[0] == []
    assert store.counts(["default"]) == (1, 1)
    assert store.replay(now, "default") == 1
    told = []
    while found := store.due(now, ask)[0]:
        [due] = found
        told.append((due.id, due.fields["event"]))
        store.done(now, due)
    assert told == [(verification, event) for event in ("started", "wrong", "approved")]


def test_what_a_dead_dispatcher_held_is_told_by_another_after_its_lease(
    webhook_bench: WebhookBench, vendor: Vendor
) -> None:
    """At least once: one that took an event and vanished has delayed it, not lost it."""
    found = webhook_bench.life()
    store, clock = webhook_bench.bench.store, webhook_bench.bench.clock
    taken, _, _ = store.webhooks.due(clock.now(), [Wanted("default", ALL, 100)])
    assert [(due.id, due.fields["event"]) for due in taken] == [(found, "started")]
    with webhook_bench.telling({"default": to(vendor)}):
        clock.advance(LEASE_MS / 1000 - 1)
        assert store.webhooks.due(clock.now(), [Wanted("default", ALL, 100)])[0] == []
        clock.advance(1)
        until(lambda: len(vendor.requests) == 3)
    store.webhooks.done(clock.now(), taken[0])  # The dead come back, and change nothing.
    assert told(vendor) == ["started", "wrong", "approved"]


def test_what_finds_no_thread_comes_again_and_costs_no_room(
    webhook_bench: WebhookBench, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has no thread to give now has one later; the endpoint loses nothing by it."""
    monkeypatch.setattr("verify_service.dispatch.webhooks.THREADS", 1)
    start, refused = threading.Thread.start, threading.Event()

    def begin(thread: threading.Thread) -> None:
        if thread.name == "webhook-default" and not refused.is_set():
            refused.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    with webhook_bench.telling({"default": to(vendor, "approved")}):
        webhook_bench.life()
        assert refused.wait(PATIENCE_S)
        webhook_bench.bench.clock.advance(LEASE_MS / 1000)
        until(lambda: vendor.requests, "another try")
    assert told(vendor) == ["approved"]


def test_what_is_on_its_way_at_the_end_is_waited_for(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """A dispatcher that is stopped takes the answers it waits for, so that a deploy repeats nothing."""

    def slowly() -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.5)
        return 200, {}, b""

    vendor.answer = slowly
    with webhook_bench.telling({"default": to(vendor, "approved")}):
        webhook_bench.life()
        until(lambda: len(vendor.requests) == 1)
    assert webhook_bench.bench.store.webhooks.counts(["default"]) == (0, 0)


def test_a_killed_dispatcher_loses_no_event(tmp_path: Path, vendor: Vendor) -> None:
    """`kill -9` in the middle, three times: each event arrives at least once, and once by its id; a verification's
    events arrive in their order."""
    busy = threading.Semaphore(8)

    def slowly() -> tuple[int, dict[str, str], bytes]:
        with busy:
            time.sleep(0.02)
        return 200, {}, b""

    vendor.answer = slowly
    keys = f"k1:{codes.new_key()}"
    file = tmp_path / "verify.toml"
    file.write_text(
        '[providers.fake-a]\nkind = "fake"\n[tenants.default.webhook]\n'
        f'url = "{vendor.url}"\nsecret = "env:HOOK"\nevents = ["started", "canceled"]\n'
    )
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        webhook_bench = WebhookBench(server, keys)
        clock = VirtualClock(webhook_bench.bench.store.link)
        env = {"VERIFY_REDIS_URL": server.url, "VERIFY_KEYS": keys, "VERIFY_TAG_KEY": codes.new_key()}
        env |= {"VERIFY_CONFIG": str(file), "VERIFY_CLOCK": "virtual", "HOOK": SECRETS["env:A"]}
        ids: list[str] = []
        for _ in range(3):
            with _dispatch_role(env):
                for number in itertools.islice(numbers(415), len(ids), len(ids) + 40):
                    ids.append(webhook_bench.bench.service.start("default", a_start(number)).id)
                    webhook_bench.bench.service.cancel("default", ids[-1])
                until(lambda: len(vendor.requests) > len(ids), "the endpoint to be told")
        wanted = {(each, kind) for each in ids for kind in ("started", "canceled")}
        with _dispatch_role(env):

            def all_there() -> bool:
                clock.advance(1_000)  # What a dead one held comes back after its lease.
                return wanted <= {(each, kind) for each, kind, _ in _story(vendor)}

            until(all_there, "all events to be told")
    story = _story(vendor)
    assert len({(each, kind) for each, kind, _ in story}) == len({event for _, _, event in story})
    for each in ids:
        first = list(dict.fromkeys(kind for at, kind, _ in story if at == each))
        assert first.index("started") < first.index("canceled")


def _story(vendor: Vendor) -> list[tuple[str, str, str]]:
    """(verification, event, id) of what came, in its order."""
    requests = list(vendor.requests)
    shown = [(json.loads(body), headers["webhook-id"]) for headers, body in requests]
    return [(each["data"]["id"], each["type"].removeprefix("verification."), event) for each, event in shown]


@contextmanager
def _dispatch_role(env: Mapping[str, str]) -> Iterator[None]:
    """The dispatch role as a process, which ends by `kill -9`."""
    process = subprocess.Popen([sys.executable, "-m", "verify_service", "dispatch"], env=clean(env))
    try:
        yield
    finally:
        process.kill()
        process.wait()


def test_what_was_trimmed_before_anybody_looked_is_counted(tmp_path: Path) -> None:
    """An events stream that was not read for too long has lost events: exactly how many is known."""
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        webhook_bench = WebhookBench(server)
        short = make_bench(Store(patient(server.url), keep_events=200))
        for number, _ in zip(numbers(415), range(600), strict=False):
            short.service.start("default", a_start(number))
        stream: Any = webhook_bench.bench.store.link.client().xinfo_stream("vs:{0}:events")
        ask = [Wanted("default", ALL, 1000)]
        found, lost, _ = webhook_bench.bench.store.webhooks.due(short.clock.now(), ask)
        assert lost == stream["entries-added"] - stream["length"] > 100
        assert len(found) >= 200
        assert webhook_bench.bench.store.webhooks.due(short.clock.now(), ask)[1] == 0
