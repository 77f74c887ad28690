"""What a receipt changes: timeline, events, what is known of the number, what the detector has counted."""

import struct
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import Bench, a_start
from tests.support.dispatching import ONE, Post, Scripted, raising
from tests.support.live import PATIENCE_S, until
from verify_service import config, telemetry
from verify_service.dispatch import Dispatcher
from verify_service.errors import Blocked, Rejected, StoreUnavailable
from verify_service.model import Actor, Message, Receipt, Start
from verify_service.phone import parse
from verify_service.policy.file import default_text
from verify_service.store.connection import prefix
from verify_service.store.deliveries import Deliveries, tag_of
from verify_service.store.layouts import Record
from verify_service.telemetry import carrier_label, exposition

pytestmark = pytest.mark.slow

TO = "+14155550123"
HOUR_S = 3600
PERMANENT = Receipt(provider_id="m1", status="failed", reason="30006 landline", permanent=True)


def taking(first: int = 1) -> Scripted:
    """Takes every message, and calls them m1, m2 and so on."""
    serial = count(first)

    def take(_message: Message) -> Receipt:
        return Receipt(provider_id=f"m{next(serial)}")

    return Scripted(take)


def sent(post: Post, number: int = 1) -> str:
    """The id of a verification whose message provider a has taken, as m1 or so."""
    with post.dispatching({"a": taking(number)}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("sent", "a", None)]
    return started.id


def received(post: Post, receipt: Receipt) -> str | None:
    return post.bench.store.deliveries.received(post.bench.clock.now(), "a", receipt)


def after_sent(post: Post, verification_id: str) -> list[tuple[str, str | None, str | None]]:
    lines = post.timeline(verification_id)
    return lines[lines.index(("sent", "a", None)) + 1 :]


def events(bench: Bench, name: str) -> list[dict[str, Any]]:
    return [event for event in bench.store.events.read(0) if event["event"] == name]


def test_a_receipt_is_found_by_the_providers_id(post: Post) -> None:
    """It stands in its verification's timeline, and in the events with country, channel and carrier; in two trips."""
    verification = sent(post)
    link = post.bench.store.link
    before = link.round_trips
    receipt = Receipt(provider_id="m1", status="failed", reason="30008 unknown", carrier="310260")
    assert received(post, receipt) == verification
    assert link.round_trips - before == 2
    assert after_sent(post, verification) == [("failed", "a", "30008 unknown")]
    [event] = events(post.bench, "failed")
    told = {name: event[name] for name in ("id", "provider", "reason", "channel", "country", "carrier")}
    assert told == {
        "id": verification,
        "provider": "a",
        "reason": "30008 unknown",
        "channel": "sms",
        "country": "US",
        "carrier": "310260",
    }


def test_delivered_beats_everything_and_nothing_is_said_twice(post: Post) -> None:
    """Failed, delivered, both again and out of order: one line each, and never failed after delivered."""
    verification = sent(post)
    failed, delivered = (Receipt(provider_id="m1", status=status) for status in ("failed", "delivered"))
    for receipt in (failed, failed, delivered, delivered, failed):
        post.bench.clock.advance(1)
        assert received(post, receipt) == verification
    assert after_sent(post, verification) == [("failed", "a", None), ("delivered", "a", None)]
    assert [len(events(post.bench, name)) for name in ("failed", "delivered")] == [1, 1]


def test_whatever_a_vendor_calls_a_carrier_a_metric_has_few(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label is a network's number, or `other`; beyond the first 500 of a process it is `other`, too."""
    monkeypatch.setattr(telemetry, "_carriers", set())
    sent(post)
    for carrier in ("310260", "31026", "Acme Mobile", "3102600", "31026\n", "", None):
        post.bench.clock.advance(1)
        received(post, Receipt(provider_id="m1", status="failed", carrier=carrier))
    labels = {carrier_label(f"{n:05}") for n in range(2_000)}
    assert len(labels) <= 501
    assert "other" in labels
    assert carrier_label("310260") == "310260"
    assert {carrier_label(each) for each in ("Acme Mobile", "3102600", "31026\n")} == {"other"}
    assert (carrier_label(""), carrier_label(None)) == ("", "")
    series = [line for line in exposition(False, {}).decode().splitlines() if line.startswith("verify_receipts_total{")]
    shown = {line.partition('carrier="')[2].partition('"')[0] for line in series}
    assert "other" in shown
    assert all(each in ("", "other") or each.isdecimal() for each in shown)


def test_an_id_that_a_provider_gives_again_is_the_newest_messages(post: Post) -> None:
    """What was said of the message before it says nothing of this one; of this one nothing is said twice."""
    delivered = Receipt(provider_id="m1", status="delivered")
    first = sent(post)
    assert received(post, delivered) == first
    post.bench.clock.advance(3_600)
    second = sent(post)
    assert (after_sent(post, second), received(post, delivered)) == ([], second)
    assert received(post, delivered) == second
    assert after_sent(post, first)[0] == ("delivered", "a", None)
    assert after_sent(post, second) == [("delivered", "a", None)]
    assert len(events(post.bench, "delivered")) == 2


def test_a_receipt_that_overtakes_its_send_is_applied_with_it(post: Post) -> None:
    """Of receipts that come before the send is written down, the best one is kept for a minute."""
    for status in ("delivered", "failed"):
        assert received(post, Receipt(provider_id="m1", status=status)) is None
    assert 0 < post.bench.store.link.client().pttl(f"{prefix(0)}early:{tag_of('a', 'm1')}") <= 60_000
    with post.dispatching({"a": taking()}):
        started = post.bench.service.start("default", a_start(TO))
        post.settled(started.id)
    assert post.settled(started.id) == [("sent", "a", None), ("delivered", "a", None)]


def test_a_receipt_that_overtakes_its_send_outlives_a_silent_store(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be applied with the send is applied when that is written down again."""
    real, silent = Deliveries.early, [StoreUnavailable("gone"), StoreUnavailable("still gone")]

    def early(self: Deliveries, *about: Any) -> None:
        if silent:
            raise silent.pop()
        real(self, *about)

    monkeypatch.setattr(Deliveries, "early", early)
    assert received(post, Receipt(provider_id="m1", status="delivered")) is None
    with post.dispatching({"a": taking()}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id)[:1] == [("sent", "a", None)]
        until(lambda: after_sent(post, started.id) == [("delivered", "a", None)], "the receipt")


class Parting(Scripted):
    """Has one more receipt to tell while its connection ends."""

    tell: Callable[[Receipt], bool]

    def close(self) -> None:
        self.tell(Receipt(provider_id="m1", status="delivered"))


def test_what_a_provider_tells_while_it_is_closed_is_heard(post: Post, tmp_path: Path) -> None:
    """A vendor with a connection of its own may tell until that has ended."""
    file = tmp_path / "verify.toml"
    file.write_text(ONE)
    provider, bench, stop = Parting(taking().act), post.bench, threading.Event()
    made = Dispatcher(bench.store, config.load(file, None), bench.keys, bench.clock, {"a": provider}, "d1")
    provider.tell = made.report("a")
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        started = bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("sent", "a", None)]
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert after_sent(post, started.id) == [("delivered", "a", None)]


def test_a_reason_is_one_line_whatever_a_vendor_writes(post: Post) -> None:
    """Neither a line break nor a tab makes another line of the timeline, or of what it can be read as."""
    verification = sent(post)
    reason = "no\n1\tdelivered\tc\r\u2028line"
    assert received(post, Receipt(provider_id="m1", status="failed", reason=reason)) == verification
    assert after_sent(post, verification) == [("failed", "a", "no 1 delivered c \u2028line")]


def test_another_providers_receipt_is_not_ours(post: Post) -> None:
    """The same id from another provider is another message; one without an id is nobody's."""
    verification = sent(post)
    now = post.bench.clock.now()
    assert post.bench.store.deliveries.received(now, "b", Receipt(provider_id="m1", status="delivered")) is None
    assert received(post, Receipt(status="delivered")) is None
    assert after_sent(post, verification) == []


def test_a_receipt_for_a_verification_that_is_gone_is_still_an_event(post: Post) -> None:
    """Hours later the record is forgotten: there is no timeline to write into, and nothing is made for it."""
    verification = sent(post)
    keys = [f"{prefix(0)}{kind}:{verification}" for kind in ("verification", "timeline", "to")]
    client = post.bench.store.link.client()
    client.delete(*keys)
    assert received(post, Receipt(provider_id="m1", status="delivered")) == verification
    assert [event["id"] for event in events(post.bench, "delivered")] == [verification]
    assert client.exists(*keys) == 0


def test_a_number_that_no_message_reaches_is_left_alone_for_an_hour(post: Post) -> None:
    """A permanent failure refuses further starts by that channel before anything is counted, with a decision; after an
    hour one is let through, and if that fails too, none for a day. Who hears from the person forgets it at once."""
    service, clock = post.bench.service, post.bench.clock
    sent(post)
    assert received(post, PERMANENT)
    clock.advance(60)
    with pytest.raises(Blocked) as refused:
        service.start("default", a_start(TO))
    assert refused.value.members["rule"] == "unreachable"
    assert refused.value.detail == "A carrier says that messages by this channel never arrive at this number."
    decision = post.bench.explain.decision("default", refused.value.members["decision"])
    assert decision.sentence == "A carrier says that messages never arrive at this number; again in 3540 s."
    assert [verdict.count for verdict in decision.judged if verdict.name == "number"] == [1]
    assert post.bench.explain.explain("default", a_start(TO).number).by == "unreachable"
    clock.advance(HOUR_S - 60 - 0.001)
    with pytest.raises(Blocked):
        service.start("default", a_start(TO))
    clock.advance(0.001)
    assert sent(post, 2)
    clock.advance(1)
    received(post, Receipt(provider_id="m2", status="failed", permanent=True))
    clock.advance(24 * HOUR_S - 0.001)
    with pytest.raises(Blocked):
        service.start("default", a_start(TO))
    post.bench.store.deliveries.reachable(post.bench.tagger.number(TO), ("sms", "voice"))
    assert service.start("default", a_start(TO)).status == "pending"


def test_a_vendor_may_tell_of_many_messages_at_once(post: Post) -> None:
    """Two round trips for two hundred receipts: each is applied, in its order, and the unknown among them are passed
    over."""
    verification, link = sent(post), post.bench.store.link
    many = [Receipt(provider_id=f"x{nth}", status="delivered") for nth in range(997)]
    many[500:500] = [Receipt(provider_id="m1", status=status) for status in ("failed", "delivered", "failed")]
    before = link.round_trips
    found = post.bench.store.deliveries.all_received(post.bench.clock.now(), "a", many)
    assert link.round_trips - before == 6
    assert found == [None] * 500 + [verification] * 3 + [None] * 497
    told = [event["event"] for event in post.bench.store.events.read(0) if event["id"] == verification]
    assert told[-2:] == ["failed", "delivered"]


def test_two_failures_of_one_message_are_one(post: Post) -> None:
    """What says again within the hour that a number gets no messages does not make a day of it."""
    number, clock = post.bench.tagger.number(TO), post.bench.clock
    for _ in range(2):
        post.bench.store.deliveries.unreachable(clock.now(), number, "sms")
    clock.advance(HOUR_S - 0.001)
    with pytest.raises(Blocked):
        post.bench.service.start("default", a_start(TO))
    clock.advance(0.001)
    assert post.bench.service.start("default", a_start(TO)).status == "pending"


@pytest.mark.parametrize("permanent", [True, False])
def test_a_number_that_a_provider_refuses_is_left_alone_too(post: Post, *, permanent: bool) -> None:
    """A vendor that says at once that the number gets no messages is asked no more for an hour; one that refuses for
    another reason is. Other channels stay open."""
    refusing = Scripted(raising(Rejected("invalid number (21211)", permanent=permanent)))
    with post.dispatching({"a": refusing}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("failed", "a", "invalid number (21211)")]
    post.bench.clock.advance(60)
    if permanent:
        with pytest.raises(Blocked) as refused:
            post.bench.service.start("default", a_start(TO))
        assert refused.value.members["rule"] == "unreachable"
    else:
        assert post.bench.service.start("default", a_start(TO)).id == started.id
    post.bench.clock.advance(120)
    called = post.bench.service.start("default", Start(number=parse(TO, None), channel="voice", purpose="login"))
    assert called.channel == "voice"


def test_unlocking_a_number_makes_it_reachable(post: Post) -> None:
    """An operator who unlocks a number also takes back what a carrier said of it."""
    sent(post)
    received(post, PERMANENT)
    post.bench.relief.unlock(TO, Actor("ops"), "a ported number")
    post.bench.clock.advance(60)
    assert post.bench.service.start("default", a_start(TO)).status == "pending"


def test_a_message_that_does_not_arrive_is_no_evidence_of_fraud(post: Post) -> None:
    """The trial that the detector counted for it is taken back with the first receipt that says failed, once."""
    post.renew(default_text())
    verification = sent(post)
    assert _trials(post.bench) == 1
    assert ":t," in _record(post.bench, verification).refunds
    received(post, Receipt(provider_id="m1", status="failed"))
    assert ":t," not in _record(post.bench, verification).refunds
    for _ in range(2):
        post.bench.store.outbox.carry(0, 1000)
    assert _trials(post.bench) == 0
    assert post.bench.service.check("default", verification, post.bench.code(verification)).approved


def _record(bench: Bench, verification: str) -> Record:
    return Record.open(bench.store.link.command(0, ["GET", f"{prefix(0)}verification:{verification}"]))


def _trials(bench: Bench) -> float:
    """The messages that the detector has counted in the country: the tenth field of its chart, behind two bytes."""
    client = bench.store.link.client()
    [chart] = [client.get(key) for key in client.scan_iter(f"{prefix(0)}chart:*:cUS")]
    fields: tuple[float, ...] = struct.unpack_from("<dfffffffff", chart, 2)  # type: ignore[arg-type]
    return fields[9]
