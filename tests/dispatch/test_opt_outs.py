"""A vendor that knows of a STOP before we do: whenever it says so, the message goes no other way, nor does the next."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.bench import a_start
from tests.support.dispatching import THREE, Post, Scripted, raising
from tests.support.live import until
from verify_service.consents import Ledger
from verify_service.dispatch.sending import OptOutRecorder
from verify_service.errors import OptedOut, Rejected, StoreUnavailable
from verify_service.model import Actor, Message, Receipt

pytestmark = pytest.mark.slow

TO = "+14155550123"
STOPPED = Receipt(provider_id="m1", status="failed", reason="opted out (21610)", opted_out=True)


@pytest.fixture
def ledger(post: Post) -> Ledger:
    """Hears what receipts say of consent, however they come."""
    made = Ledger(post.bench.store, post.bench.tagger, post.bench.clock)
    post.bench.store.deliveries.heed_opt_outs(made.opted_out)
    return made


def take(_message: Message) -> Receipt:
    return Receipt(provider_id="m1")


@pytest.fixture
def others() -> Iterator[dict[str, Scripted]]:
    """Two providers beside the first, by text and by other channels; at the end, nobody has asked them."""
    made = {"b": Scripted(), "c": Scripted()}
    yield made
    assert [each.asked for each in made.values()] == [[], []]


def is_out(post: Post, ledger: Ledger) -> None:
    """The consent says who knew of it, in one entry, and the next start is refused."""
    trail = ledger.look("default", TO).trail
    assert [(e.state, e.source, e.provider, e.note) for e in trail] == [("out", "carrier", "a", "opted out (21610)")]
    with pytest.raises(OptedOut):
        post.bench.service.start("default", a_start(TO, purpose="pay"))


@pytest.mark.parametrize("times", [1, 2])
def test_a_receipt_that_says_opted_out_ends_the_message(
    post: Post, ledger: Ledger, others: dict[str, Scripted], times: int
) -> None:
    """Neither another provider nor another channel is tried, and the number is not taken for a dead one."""
    with post.dispatching({"a": Scripted(take), **others}, THREE):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("sent", "a", None)]
        for _ in range(times):
            assert post.bench.store.deliveries.received(post.bench.clock.now(), "a", STOPPED) == started.id
        assert post.settled(started.id) == [("sent", "a", None), ("failed", "a", "opted out (21610)")]
    is_out(post, ledger)
    tag = post.bench.tagger.number(TO)
    assert post.bench.store.link.client().exists(f"vs:{{0}}:unreachable:{tag}:sms") == 0


def test_one_that_overtakes_its_send_is_heeded_with_it(post: Post, ledger: Ledger, others: dict[str, Scripted]) -> None:
    """Nobody knows whose message it is about before the send is written down."""
    assert post.bench.store.deliveries.received(post.bench.clock.now(), "a", STOPPED) is None
    with post.dispatching({"a": Scripted(take), **others}, THREE, store=post.bench.store):
        started = post.bench.service.start("default", a_start(TO))
        until(lambda: len(post.settled(started.id)) > 1, "the receipt to be taken, which is after the send is settled")
        assert post.settled(started.id) == [("sent", "a", None), ("failed", "a", "opted out (21610)")]
    is_out(post, ledger)


@pytest.mark.parametrize(
    "act", [raising(Rejected("opted out (21610)", opted_out=True)), lambda _: STOPPED], ids=["refusal", "receipt"]
)
def test_an_answer_that_says_opted_out_ends_the_message(
    post: Post, ledger: Ledger, others: dict[str, Scripted], act: Callable[[Message], Receipt]
) -> None:
    """Whether the vendor refuses the message, or makes it and fails it in one answer."""
    heeding = OptOutRecorder(Scripted(act), "a", ledger, post.bench.tagger)
    with post.dispatching({"a": heeding, **others}, THREE):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("failed", "a", "opted out (21610)")]
    is_out(post, ledger)


def test_a_receipt_is_not_taken_before_the_consent_is_written(post: Post, ledger: Ledger) -> None:
    """Where the store takes the one and not the other, the vendor is to tell it again, and nothing is lost."""
    with post.dispatching({"a": Scripted(take), "b": Scripted(), "c": Scripted()}, THREE):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("sent", "a", None)]
    silent = [StoreUnavailable("gone")]

    def heed(tenant: str, tag: str, provider: str, reason: str, sent_at: int) -> None:
        if silent:
            raise silent.pop()
        ledger.opted_out(tenant, tag, provider, reason, sent_at)

    deliveries = post.bench.store.deliveries
    deliveries.heed_opt_outs(heed)
    with pytest.raises(StoreUnavailable):
        deliveries.received(post.bench.clock.now(), "a", STOPPED)
    assert post.settled(started.id) == [("sent", "a", None)]
    assert deliveries.received(post.bench.clock.now(), "a", STOPPED) == started.id
    assert post.settled(started.id) == [("sent", "a", None), ("failed", "a", "opted out (21610)")]
    is_out(post, ledger)


def test_a_late_receipt_takes_back_nothing_that_was_said_since(post: Post, ledger: Ledger) -> None:
    """STOP and START again after the message: its receipt, however often it comes, is about a wish of before."""
    with post.dispatching({"a": Scripted(take), "b": Scripted(), "c": Scripted()}, THREE):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("sent", "a", None)]
    post.bench.clock.advance(1)
    ledger.record("default", TO, "out", "api", Actor("api:crm"))
    ledger.record("default", TO, "in", "api", Actor("api:crm"))
    for _ in range(2):
        post.bench.store.deliveries.received(post.bench.clock.now(), "a", STOPPED)
    assert ledger.look("default", TO).state == "in"
