"""What a later version puts behind what is known is passed over, in Python and in the scripts: one more part for each
layout, and all goes on as without it."""

import json
import struct
from typing import Any

import msgspec
import pytest

from tests.support.bench import Bench, a_start, wrong
from tests.support.dispatching import ONE, Post, Scripted
from tests.support.live import until
from tests.support.vendor import Vendor
from tests.support.webhook_bench import WebhookBench, to, told
from verify_service.errors import RateLimited
from verify_service.model import Receipt
from verify_service.store.deliveries import tag_of
from verify_service.telemetry import UNREADABLE

pytestmark = pytest.mark.slow

BASE = "vs:{0}:"
MORE = "of a later version"
TO = "+14155550191"


def command(bench: Bench, *words: Any) -> Any:
    return bench.store.link.command(0, words)


def keys(bench: Bench, pattern: str) -> list[str]:
    found: list[bytes] = command(bench, "KEYS", BASE + pattern)
    return [key.decode() for key in found]


def rewrite(bench: Bench, key: str, packed: bytes) -> None:
    command(bench, "SET", key, packed, "KEEPTTL")


def longer(packed: bytes) -> bytes:
    """A msgpack array with a part more at its end."""
    return msgspec.msgpack.encode([*msgspec.msgpack.decode(packed, type=list[msgspec.Raw]), MORE])


def grown(bench: Bench, stream: str, name: bytes) -> None:
    """Gives a field of a stream's last entry a part more, and the entry a field more."""
    [(place, flat)] = command(bench, "XREVRANGE", BASE + stream, "+", "-", "COUNT", 1)
    at = flat.index(name) + 1
    flat[at] = longer(flat[at])
    command(bench, "XDEL", BASE + stream, place)
    command(bench, "XADD", BASE + stream, "*", *flat, "more", MORE)


@pytest.fixture(autouse=True)
def _nothing_unreadable() -> Any:
    before = {sample.labels["what"]: sample.value for sample in _unreadable()}
    yield
    assert {sample.labels["what"]: sample.value for sample in _unreadable()} == before


def _unreadable() -> list[Any]:
    return [each for each in next(iter(UNREADABLE.collect())).samples if each.name.endswith("_total")]


def test_a_record_with_more_is_read_and_keeps_it(bench: Bench) -> None:
    """By a check, a resend and a look; what is behind it is there afterwards."""
    found = bench.service.start("default", a_start(TO)).id
    key = f"{BASE}verification:{found}"
    more = b"one more\0" + struct.pack("<d", 1.5) + b"\xff"
    rewrite(bench, key, command(bench, "GET", key) + more)
    code = bench.code(found)
    assert bench.service.check("default", found, wrong(code)).checks_left == 4
    bench.clock.advance(31)
    assert bench.service.start("default", a_start(TO)).id == found
    assert [line.event for line in bench.service.status("default", found).timeline][-1] == "queued"
    assert command(bench, "GET", key).endswith(more)
    assert bench.service.check("default", found, code).approved


def test_a_message_with_more_is_sent(post: Post) -> None:
    found = post.bench.service.start("default", a_start(TO)).id
    grown(post.bench, "outbox", b"message")
    with post.dispatching({"a": Scripted()}):
        until(lambda: ("sent", "a", None) in post.timeline(found))


def test_events_with_more_are_exported_and_told(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    bench = webhook_bench.bench
    found = bench.service.start("default", a_start(TO)).id
    grown(bench, "events", b"facts")
    while bench.store.outbox.carry(0, 100):
        pass
    [event] = [each for each in bench.store.events.read(0) if each["id"] == found]
    assert (event["country"], event["more"]) == ("US", MORE)
    with webhook_bench.telling({"default": to(vendor)}):
        until(lambda: told(vendor) == ["started"])


def test_an_event_that_waits_with_more_is_told_and_so_is_a_dead_letter(
    webhook_bench: WebhookBench, vendor: Vendor
) -> None:
    bench, now = webhook_bench.bench, webhook_bench.bench.clock.now()
    id = bench.store.verifications.new_id("0" * 32)
    fields = {"id": id, "event": "sent", "at": str(now), "tenant": "default", "more": MORE}
    letter = msgspec.msgpack.encode(["1-1", fields, 9, "why", str(now), MORE])
    command(bench, "LPUSH", f"{BASE}hooks:default:dead", letter)
    command(bench, "RPUSH", f"{BASE}hooks:default:lane:{id}", msgspec.msgpack.encode(["1-2", fields, 0, "", "0", MORE]))
    command(bench, "ZADD", f"{BASE}hooks:default:due", now, id)
    [shown] = bench.store.webhooks.dead("default")
    assert (shown.why, shown.event.tries) == ("why", 9)
    with webhook_bench.telling({"default": to(vendor)}):
        until(lambda: len(vendor.requests) == 1)
        assert bench.store.webhooks.replay(now, "default") == 1
        until(lambda: len(vendor.requests) >= 2)  # The first comes again where its answer was not settled yet.
    assert {json.loads(body)["data"]["id"] for _, body in vendor.requests} == {id}


def test_what_waits_for_a_receipt_with_more_goes_on_and_its_delivery_is_known(post: Post) -> None:
    toml = ONE + (
        '[providers.b]\nkind = "fake"\n[[routes]]\nreceipt_within = "20 seconds"\n'
        'via = [{ provider = "a", weight = 1 }, { provider = "b", weight = 0 }]\n'
    )
    bench, a, b = post.bench, Scripted(lambda _: Receipt(provider_id="one")), Scripted()
    with post.dispatching({"a": a, "b": b}, toml):
        found = bench.service.start("default", a_start(TO)).id
        post.settled(found)
        [waiting] = keys(bench, "waiting:*")
        for key in (waiting, f"{BASE}delivery:{tag_of('a', 'one')}"):
            rewrite(bench, key, longer(command(bench, "GET", key)))
        bench.clock.advance(21)
        until(lambda: ("sent", "b", None) in post.timeline(found))
    late = Receipt(provider_id="one", status="delivered")
    assert bench.store.deliveries.received(bench.clock.now(), "a", late) == found
    [fate] = keys(bench, f"fate:{tag_of('a', 'one')}")
    rewrite(bench, fate, command(bench, "GET", fate) + b" " + MORE.encode())
    bench.store.deliveries.received(bench.clock.now(), "a", late)
    assert post.timeline(found).count(("delivered", "a", None)) == 1


def test_a_receipt_that_came_early_with_more_is_applied(post: Post) -> None:
    bench = post.bench
    assert bench.store.deliveries.received(bench.clock.now(), "a", Receipt(provider_id="x", status="delivered")) is None
    key = f"{BASE}early:{tag_of('a', 'x')}"
    rewrite(bench, key, msgspec.msgpack.encode(msgspec.msgpack.decode(command(bench, "GET", key)) | {"more": MORE}))
    with post.dispatching({"a": Scripted(lambda _: Receipt(provider_id="x"))}):
        found = bench.service.start("default", a_start(TO)).id
        until(lambda: ("delivered", "a", None) in post.timeline(found))


def test_counts_with_more_count_on_and_keep_it(bench: Bench) -> None:
    """The fifth start within ten minutes passes and the sixth does not, as without it."""
    more = struct.pack("<H", 5) + b"later"
    for n in range(5):
        bench.service.start("default", a_start(TO, purpose=f"p{n}"))
        if n == 2:
            for key in keys(bench, f"limit:*:{bench.tagger.number(TO)}*"):
                packed = command(bench, "GET", key)
                windows, follows = packed[0], packed[1]
                head = 2 + 24 * windows + 32 * (follows & 1)
                rewrite(bench, key, bytes((windows, follows | 2)) + packed[2:head] + more + packed[head:])
    with pytest.raises(RateLimited):
        bench.service.start("default", a_start(TO, purpose="p6"))
    values = [command(bench, "GET", key) for key in keys(bench, f"limit:*:{bench.tagger.number(TO)}*")]
    assert values
    assert sum(more in each for each in values) >= 1


def test_charts_with_more_are_judged_by_and_keep_it(post: Post) -> None:
    bench = post.bench
    more = struct.pack("<H", 5) + b"later"
    bench.service.start("default", a_start(TO))
    fixed = struct.calcsize("<BBdffffffffffffffdffff")
    charts = list(keys(bench, "chart:*:[cp]*"))
    assert charts
    for key in charts:
        packed = command(bench, "GET", key)
        slots, follows = packed[0], packed[1]
        end = fixed + (struct.calcsize("<ddddfffffffff") if follows & 1 else 0) + 8 * slots
        rewrite(bench, key, bytes((slots, follows | 2)) + packed[2:end] + more + packed[end:])
    bench.service.start("default", a_start("+14155550192"))
    assert sum(more in command(bench, "GET", key) for key in charts) >= 2


def test_answers_under_a_key_with_more_are_given_again(post: Post) -> None:
    bench = post.bench
    first = bench.service.start("default", a_start(TO), "a-key")
    [key] = keys(bench, "idempotency:*")
    fingerprint, till, answer = msgspec.msgpack.decode(command(bench, "GET", key), type=list[msgspec.Raw])
    packed = msgspec.msgpack.encode([fingerprint, till, msgspec.Raw(longer(bytes(answer))), MORE])
    rewrite(bench, key, packed)
    assert bench.service.start("default", a_start(TO), "a-key").id == first.id


def test_decisions_with_more_are_shown(post: Post) -> None:
    bench = post.bench
    bench.service.start("default", a_start(TO))
    with pytest.raises(RateLimited):
        bench.service.start("default", a_start(TO))
    [key] = keys(bench, "decision:*")
    id = key.rpartition(":")[2]
    before = bench.store.verifications.decisions.read(bench.clock.now(), "default", id)
    statics = [[*each, MORE] for each in json.loads(command(bench, "HGET", key, "statics"))]
    judged = [each | {"more": MORE} for each in msgspec.msgpack.decode(command(bench, "HGET", key, "judged"))]
    assert statics
    assert judged
    more = ("statics", json.dumps(statics), "judged", msgspec.msgpack.encode(judged), "more", MORE)
    command(bench, "HSET", key, *more)
    assert before is not None
    assert bench.store.verifications.decisions.read(bench.clock.now(), "default", id) == before
