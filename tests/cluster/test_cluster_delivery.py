"""Receipts, other ways and senders on a cluster of three primaries: what belongs together lies in three partitions."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.authenticator import TENANT, enrolled
from tests.support.bench import Bench, a_start, make_bench
from tests.support.concurrency import numbers
from tests.support.dispatching import Scripted, taking
from tests.support.live import PATIENCE_S, until
from verify_service import config
from verify_service.adapters import Provider
from verify_service.dispatch import Dispatcher
from verify_service.dispatch.notices import NoticeGate
from verify_service.errors import Blocked
from verify_service.model import Receipt
from verify_service.store import Store
from verify_service.tenants import NoticeConfig

pytestmark = pytest.mark.slow

TOML = """
[providers.a]
kind = "fake"
[providers.b]
kind = "fake"
[senders.short]
type = "short-code"
address = "43721"
per_second = 1000
[[routes]]
via = [{ provider = "a", sender = "short", weight = 1 }, { provider = "b", weight = 0 }]
receipt_within = "20 seconds"
"""

POLICY = """
[prices]
default = 0.1
[[limit]]
name = "number"
of = ["number"]
allow = "10/day"
[[rule]]
name = "money"
kind = "budget"
of = ["country"]
allow = "$0.7/day"
mode = "enforce"
"""


@contextmanager
def dispatching(bench: Bench, folder: Path, providers: Mapping[str, Provider]) -> Iterator[None]:
    file = folder / "verify.toml"
    file.write_text(TOML)
    operator = config.load(file, None)
    gate = NoticeGate(bench.store.notices, operator, bench.tagger, bench.clock, bench.service.rules)
    made = Dispatcher(bench.store, operator, bench.keys, bench.clock, providers, folder.name, gate)
    stop = threading.Event()
    thread = threading.Thread(target=made.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def went(bench: Bench, verification_id: str) -> list[tuple[str, str | None, str | None]]:
    lines = bench.service.status("default", verification_id).timeline
    return [(line.event, line.provider, line.reason) for line in lines if line.event not in ("started", "queued")]


def test_receipts_find_their_messages_wherever_they_lie(spread: Store, tmp_path: Path) -> None:
    """Forty messages over all partitions: those with a receipt are delivered, the others go by the next provider after
    twenty seconds; a number that fails for good is refused."""
    bench = make_bench(spread)
    providers = {name: taking(name) for name in "ab"}
    ids = {}
    with dispatching(bench, tmp_path, providers):
        for _, to in zip(range(40), numbers(646), strict=False):
            ids[to] = bench.service.start("default", a_start(to)).id
        until(lambda: all(went(bench, each) for each in ids.values()), "all messages to be sent")
        assert {message.to for message in providers["a"].asked} == set(ids)
        bench.clock.advance(1)
        places = {message.to: f"a{n}" for n, message in enumerate(providers["a"].asked, 1)}
        arrived = list(ids)[::2]
        for to in arrived:
            receipt = Receipt(provider_id=places[to], status="delivered")
            assert spread.deliveries.received(bench.clock.now(), "a", receipt) == ids[to]
        bench.clock.advance(19)
        late = ("failed-over", "a", "no receipt within 20 seconds")
        others = [to for to in ids if to not in arrived]
        until(lambda: all(len(went(bench, ids[to])) == 3 for to in others), "the others to go on")
        for to in arrived:
            assert went(bench, ids[to]) == [("sent", "a", None), ("delivered", "a", None)]
        for to in others:
            assert went(bench, ids[to]) == [("sent", "a", None), late, ("sent", "b", None)]
        places = {message.to: f"b{n}" for n, message in enumerate(providers["b"].asked, 1)}
        bench.clock.advance(30)
        for to in others:
            landline = Receipt(provider_id=places[to], status="failed", permanent=True)
            assert spread.deliveries.received(bench.clock.now(), "b", landline) == ids[to]
            with pytest.raises(Blocked, match="never arrive"):
                bench.service.start("default", a_start(to))
    until(lambda: sum("a/sms" in name for name in spread.health.states()) == 1, "the health of a")


def test_health_and_costs_are_kept_for_all(spread: Store, tmp_path: Path) -> None:
    """What is sent from all partitions is counted in one place, to the last message of a dispatcher that ends."""
    bench = make_bench(spread)
    before = spread.health.costs(bench.clock.now()).get("a/short/sms", {}).get("messages", 0)
    with dispatching(bench, tmp_path, {"a": Scripted(), "b": Scripted()}):
        for _, to in zip(range(20), numbers(415), strict=False):
            bench.service.start("default", a_start(to))
        until(lambda: spread.outbox.depth() == 0, "empty outboxes")
    assert spread.health.costs(bench.clock.now())["a/short/sms"]["messages"] == before + 20


def test_a_notice_obeys_its_number_from_its_users_partition(spread: Store, tmp_path: Path) -> None:
    """Eight users over all partitions with one phone: five notices a day reach it. A budget that lies elsewhere counts
    what was sent alone, and refuses another phone's; what a carrier says of the phone after one refuses its codes."""
    bench = make_bench(spread, POLICY)
    bench.service.config = replace(bench.service.config, notices={TENANT: NoticeConfig(factor_added=True)})
    to, other, users = "+14155550161", "+14155550162", [f"u-{n}" for n in range(12)]
    for n, user in enumerate(users):
        contact = bench.factors.parse_contact(to if n < 8 else other, None, None, None)
        bench.factors.set_contact(TENANT, user, contact)
    assert len({spread.verifications.partition(bench.tagger.user(TENANT, user)) for user in users}) > 3
    a = taking("a")

    def said() -> list[str]:
        """What became of each that has ended."""
        mine = [each for each in spread.events.read(0) if each["id"] in ids]
        ended = {each["id"]: each["reason"] for each in mine if each["event"] == "failed"}
        return sorted((ended | {each["id"]: "sent" for each in mine if each["event"] == "sent"}).values())

    with dispatching(bench, tmp_path, {"a": a, "b": taking("b")}):
        for user in users[:8]:
            enrolled(bench, user)
        ids = {each["id"] for each in spread.events.read(0) if each["event"] == "notice"}
        until(lambda: len(said()) == 8, "all to be settled")
        assert said() == ["refused by `number-notices`"] * 3 + ["sent"] * 5
        for user in users[8:]:
            enrolled(bench, user)
        ids = {each["id"] for each in spread.events.read(0) if each["event"] == "notice"} - ids
        until(lambda: len(said()) == 4, "all to be settled")
        assert said() == ["refused by `money`"] * 2 + ["sent"] * 2
        lost = Receipt(provider_id="a1", status="failed", reason="gone", permanent=True)
        spread.deliveries.received(bench.clock.now(), "a", lost)
    assert {message.to for message in a.asked} == {to, other}
    waits = spread.verifications.decisions.pending(bench.clock.now(), bench.tagger.number(to), TENANT, "login")
    assert waits == ("unreachable", 3_600_000)
