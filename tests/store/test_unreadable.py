"""What cannot be read is passed over and said; what stands behind it goes on, whoever reads."""

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from tests.support.bench import Bench, a_start, make_bench
from tests.support.dispatching import ONE, Post, Scripted
from tests.support.live import until
from tests.support.vendor import Vendor
from tests.support.webhook_bench import WebhookBench, to, told
from verify_service.dispatch import reader
from verify_service.model import Receipt
from verify_service.store import Store
from verify_service.store.deliveries import tag_of
from verify_service.telemetry import UNREADABLE

pytestmark = pytest.mark.slow

BASE = "vs:{0}:"
_pack = msgspec.msgpack.encode


def counted(what: str) -> float:
    return float(UNREADABLE.labels(what)._value.get())


def newest(bench: Bench, stream: str) -> tuple[bytes, list[bytes]]:
    """The place and the fields of a stream's last entry."""
    [(place, flat)] = bench.store.link.command(0, ["XREVRANGE", BASE + stream, "+", "-", "COUNT", 1])
    return place, flat


def rewritten(bench: Bench, stream: str, change: Callable[[dict[bytes, Any]], object]) -> None:
    """Puts another in the place of a stream's last entry."""
    place, flat = newest(bench, stream)
    fields: dict[bytes, Any] = dict(zip(flat[::2], flat[1::2], strict=True))
    change(fields)
    bench.store.link.command(0, ["XDEL", BASE + stream, place])
    command: list[Any] = ["XADD", BASE + stream, "*", *(part for pair in fields.items() for part in pair)]
    bench.store.link.command(0, command)


DAMAGE: dict[str, tuple[Callable[[dict[bytes, Any]], object], str]] = {
    "no recipient": (lambda fields: fields.pop(b"to"), "the message has no to"),
    "truncated": (
        lambda fields: fields.update({b"message": fields[b"message"][:-3]}),
        "the message cannot be read: DecodeError",
    ),
    "of another layout": (
        lambda fields: fields.update({b"message": _pack({"number": "x", "digits": 6})}),
        "the message cannot be read: ValidationError",
    ),
    "a time that is none": (
        lambda fields: fields.update({b"expires_at": b"\xff soon"}),
        "the message cannot be read: ValueError",
    ),
}


@pytest.mark.parametrize("dead", [False, True], ids=["new", "left by the dead"])
def test_messages_that_cannot_be_read_keep_no_other_waiting(
    post: Post, monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    """Four damaged messages and one of nothing but noise among ten good ones: ten are sent, once, and five are buried;
    the timelines say why. So it is with new ones and with those that a dispatcher left behind when it was killed."""
    monkeypatch.setattr(reader, "IDLE_MS", 500)
    bench = post.bench
    before = counted("message")
    good = [bench.service.start("default", a_start(f"+1415{2_010_000 + n}")).id for n in range(5)]
    damaged = {}
    for n, (name, (change, _)) in enumerate(DAMAGE.items()):
        damaged[name] = bench.service.start("default", a_start(f"+1415{2_020_000 + n}")).id
        rewritten(bench, "outbox", change)
    bench.store.link.command(0, ["XADD", f"{BASE}outbox", "*", b"\xff\xfe", b"\x00"])
    good += [bench.service.start("default", a_start(f"+1415{2_030_000 + n}")).id for n in range(5)]
    if dead:
        read: list[Any] = ["XREADGROUP", "GROUP", "dispatch", "dead", "COUNT", 100, "STREAMS", f"{BASE}outbox", ">"]
        assert len(bench.store.link.command(0, read)[0][1]) == 15
    a = Scripted()
    with post.dispatching({"a": a}):
        until(lambda: bench.store.outbox.depth() == 0, "an empty outbox")
    assert sorted(message.verification_id for message in a.asked) == sorted(good)
    assert all(("sent", "a", None) in post.timeline(each) for each in good)
    for name, (_, reason) in DAMAGE.items():
        assert post.timeline(damaged[name])[2:] == [("failed", None, reason)]
    assert counted("message") == before + 5
    assert bench.store.link.command(0, ["XPENDING", f"{BASE}outbox", "dispatch"])[0] == 0


def noise(bench: Bench) -> int:
    """Writes events that nobody can read; how many there are."""
    facts = _pack(["default"] * 9)[:-4]
    bad: list[Sequence[Any]] = [
        ("at", "1", "event", "start", "id", "ve_1", "facts", facts),
        ("at", "1", "event", "start", "id", "ve_1", "facts", b"\xff"),
        ("at", "soon", "event", "wrong", "id", "ve_1", "tenant", "default"),
        ("tenant", "default"),
        (b"\xff", b"\xff\xfe"),
    ]
    for fields in bad:
        command: list[Any] = ["XADD", f"{BASE}events", "*", *fields]
        bench.store.link.command(0, command)
    return len(bad)


def test_webhooks_pass_over_events_that_they_cannot_read(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """An endpoint is told all that happened before and after them."""
    before = counted("event")
    with webhook_bench.telling({"default": to(vendor)}):
        webhook_bench.life()
        many = noise(webhook_bench.bench)
        webhook_bench.life(to="+14155550182")
        until(lambda: len(vendor.requests) == 6)
    assert sorted(told(vendor)) == sorted(["started", "wrong", "approved"] * 2)
    assert counted("event") == before + many


def test_an_event_that_waits_and_cannot_be_read_holds_up_no_other(webhook_bench: WebhookBench, vendor: Vendor) -> None:
    """Neither the next of its own verification, nor those of others, nor a replay of dead letters."""
    before = counted("webhook")
    now = webhook_bench.bench.clock.now()
    link, queue = webhook_bench.bench.store.link, f"{BASE}hooks:default:"
    with webhook_bench.telling({"default": to(vendor)}):
        first = webhook_bench.life()
        until(lambda: len(vendor.requests) == 3)
    no_text = b"\x93\xa31-1\x81\xa2id\xa1\xff\x00"
    for item in (b"\xc1", _pack([1, 2, 3]), no_text, _pack(["1-1", {"id": first}, 0])):
        link.command(0, ["RPUSH", f"{queue}lane:{first}", item])
        link.command(0, ["LPUSH", f"{queue}dead", item])
    good = {"id": first, "event": "failed", "at": str(now), "tenant": "default"}
    link.command(0, ["RPUSH", f"{queue}lane:{first}", _pack(["1-2", good, 0])])
    link.command(0, ["LPUSH", f"{queue}dead", _pack(["1-3", good, 9, "why", str(now)])])
    link.command(0, ["ZADD", f"{queue}due", now, first])
    assert [letter.why for letter in webhook_bench.bench.store.webhooks.dead("default")] == ["why"]
    with webhook_bench.telling({"default": to(vendor)}):
        webhook_bench.life(to="+14155550182")
        until(lambda: len(vendor.requests) == 7)
        assert sorted(told(vendor)[3:]) == ["approved", "failed", "started", "wrong"]
        assert counted("webhook") > before
        assert webhook_bench.bench.store.webhooks.replay(now, "default") == 1
        until(lambda: len(vendor.requests) == 8)
    assert json.loads(vendor.requests[7][1])["data"]["id"] == first


def test_credits_and_exports_pass_over_events_that_they_cannot_read(alone: Store) -> None:
    """The dispatcher reads on behind them, and an export has all that can be read."""
    bench = make_bench(alone)
    while bench.store.outbox.carry(0, 1000):
        pass
    before = counted("event")
    noise(bench)
    for credits in ("no,part,of,ours;", "99,limit:x,nonce,1;", "0,limit:x,nonce,soon;"):
        fields = ("at", "1", "event", "approved", "id", "ve_1", "tenant", "x", "credits", credits)
        bench.store.link.command(0, ["XADD", f"{BASE}events", "*", *fields])
    bench.store.link.command(0, ["XADD", f"{BASE}events", "*", "at", "1", "event", "blocked", "id", "bl_1"])
    receipt = ("at", "1", "event", "delivered", "id", "ve_1", "tenant", "x", "provider", "p", "reason", "")
    more = (
        "channel",
        "sms",
        "country",
        "US",
        "undo",
        "",
        "way",
        "p//sms",
        "permanent",
        "",
        "price",
        "7",
        "corrects",
        "",
    )
    found = bench.service.start("default", a_start("+14155550183"))
    bench.store.link.command(0, ["XADD", f"{BASE}events", "*", *receipt, *more])
    came: list[Any] = []
    while bench.store.outbox.carry(0, 3, came.append):
        pass
    assert [(each.way, each.price) for each in came] == [("p//sms", 7)]
    assert counted("event") == before + 4
    shown = [event["id"] for event in bench.store.events.read(0)]
    assert shown.count(found.id) == 1
    assert counted("event") > before + 4


TWO = f"""public_url = "https://verify.example"
{ONE}
[providers.b]
kind = "fake"
[[routes]]
receipt_within = "20 seconds"
via = [{{ provider = "a", weight = 1 }}, {{ provider = "b", weight = 0 }}]
"""


def test_what_waits_for_a_receipt_and_cannot_be_read_holds_up_no_other(post: Post) -> None:
    """One message that waits is damaged, and the other goes its next way."""
    before = counted("waiting")
    named = itertools.count()
    a = Scripted(lambda _: Receipt(provider_id=f"a-{next(named)}"))
    with post.dispatching({"a": a, "b": Scripted()}, TWO):
        lost = post.bench.service.start("default", a_start("+14155550184")).id
        post.settled(lost)
        [waiting] = post.bench.store.link.client().keys(f"{BASE}waiting:*")
        post.bench.store.link.command(0, ["SET", waiting, b"\x93\x01", "KEEPTTL"])
        other = post.bench.service.start("default", a_start("+14155550185")).id
        post.settled(other)
        post.bench.clock.advance(21)
        until(lambda: ("sent", "b", None) in post.timeline(other))
    assert post.timeline(lost)[2:] == [("sent", "a", None)]
    assert counted("waiting") == before + 1


def test_a_receipt_whose_message_cannot_be_read_is_unknown(post: Post) -> None:
    """The others that came in the same call are applied."""
    accepted = iter(("one", "two"))
    with post.dispatching({"a": Scripted(lambda _: Receipt(provider_id=next(accepted)))}):
        ids = []
        for number in ("+14155550186", "+14155550187"):
            ids.append(post.bench.service.start("default", a_start(number)).id)
            post.settled(ids[-1])
    post.bench.store.link.command(0, ["SET", f"{BASE}delivery:{tag_of('a', 'one')}", b"\xc1", "KEEPTTL"])
    receipts = [Receipt(provider_id=name, status="delivered") for name in ("one", "two")]
    found = post.bench.store.deliveries.all_received(post.bench.clock.now(), "a", receipts)
    assert found == [None, ids[1]]
    assert post.timeline(ids[1])[-1] == ("delivered", "a", None)


def test_a_record_that_cannot_be_read_is_none(post: Post) -> None:
    """Its number starts anew, and the message that was on its way is settled, so that no other waits for that."""
    bench = post.bench
    lost = bench.service.start("default", a_start("+14155550188")).id
    other = bench.service.start("default", a_start("+14155550189")).id
    bench.store.link.command(0, ["SET", f"{BASE}verification:{lost}", b"noise", "KEEPTTL"])
    a = Scripted()
    with post.dispatching({"a": a}):
        post.settled(other)
    assert bench.store.verifications.read(bench.clock.now(), "default", lost) is None
    again = bench.service.start("default", a_start("+14155550188"))
    assert (again.id != lost, again.status) == (True, "pending")
