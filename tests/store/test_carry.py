"""What is carried between partitions and to the dispatcher: a stream of its own, which costs nobody else anything."""

from typing import Any

import pytest

from tests.support.bench import Bench, a_start, make_bench, wrong
from verify_service.model import Receipt
from verify_service.store import Store
from verify_service.store.deliveries import tag_of
from verify_service.store.entries import Came
from verify_service.store.layouts import Delivery

pytestmark = pytest.mark.slow

BASE = "vs:{0}:"
TO = "+14155550193"
INTERNAL = {b"credits", b"undo", b"corrects", b"refunds"}


@pytest.fixture
def bench(alone: Store) -> Bench:
    """On a store of the test's own: what others carry would be in the same stream."""
    return make_bench(alone)


def carried(bench: Bench) -> list[Came]:
    """What the dispatcher is told by one look, which leaves nothing behind."""
    came: list[Came] = []
    assert bench.store.outbox.carry(0, 1000, came.append) is False
    return came


def events(bench: Bench) -> list[dict[bytes, bytes]]:
    client: Any = bench.store.link.client()
    return [fields for _, fields in client.xrange(f"{BASE}events")]


def test_a_start_and_a_check_on_a_single_server_leave_nothing_to_carry(bench: Bench) -> None:
    """Their refunds are applied where they are: there is no stream, and no event has what only we read."""
    found = bench.service.start("default", a_start(TO, ip="192.0.2.9")).id
    code = bench.code(found)
    assert bench.service.check("default", found, wrong(code)).checks_left == 4
    assert bench.service.check("default", found, code).approved
    assert bench.store.link.command(0, ["EXISTS", f"{BASE}carry"]) == 0
    told = [fields for fields in events(bench) if fields[b"id"] == found.encode()]
    assert [fields[b"event"] for fields in told] == [b"start", b"wrong", b"approved"]
    assert all(INTERNAL.isdisjoint(fields) for fields in told)


def test_a_receipt_is_carried_once_and_its_event_says_what_happened(bench: Bench) -> None:
    """To one dispatcher, with what the event does not show; the entry goes with the call that answers it."""
    carried(bench)
    found = bench.service.start("default", a_start(TO)).id
    about = Delivery(found, "1-1", "default", bench.tagger.number(TO), "sms", "US", "a//sms")
    bench.store.link.command(0, ["SET", f"{BASE}delivery:{tag_of('a', 'm1')}", about.pack(), "EX", 60])
    for status in ("failed", "delivered"):
        receipt = Receipt(provider_id="m1", status=status, price=0.005)
        assert bench.store.deliveries.received(bench.clock.now(), "a", receipt) == found
    assert 6 * 86_400 < bench.store.link.command(0, ["TTL", f"{BASE}carry"]) <= 7 * 86_400
    assert carried(bench) == [Came("a//sms", False, False, 5000, False), Came("a//sms", True, False, 0, True)]
    assert carried(bench) == []
    assert bench.store.link.command(0, ["EXISTS", f"{BASE}carry"]) == 0
    [first, second] = [each for each in bench.store.events.read(0) if each["id"] == found and each["event"] != "start"]
    assert (first["event"], first["way"], first["price"]) == ("failed", "a//sms", 0.005)
    assert (second["event"], "price" in second, "corrects" in second) == ("delivered", False, False)


def test_what_the_release_before_carried_by_its_events_is_carried(bench: Bench) -> None:
    """By their names, in whatever order they stand; what its exports did not show, ours do not either."""
    carried(bench)
    fields = (
        "corrects",
        "1",
        "price",
        "7",
        "permanent",
        "1",
        "way",
        "b//sms",
        "event",
        "delivered",
        "at",
        "1",
        "id",
        "x",
    )
    bench.store.link.command(0, ["XADD", f"{BASE}events", "*", *fields])
    assert carried(bench) == [Came("b//sms", True, True, 7, True)]
    assert carried(bench) == []
    [shown] = [each for each in bench.store.events.read(0) if each["id"] == "x"]
    assert INTERNAL.isdisjoint(name.encode() for name in shown)
