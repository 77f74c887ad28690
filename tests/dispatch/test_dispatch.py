"""What becomes of one message: who is asked to send it, in what order, how often, and when nobody is any more."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.bench import a_start
from tests.support.dispatching import ACCEPTED, ONE, TWO, Post, Scripted, raising
from tests.support.live import until
from verify_service import codes, messages, recipient
from verify_service.codes import KeyRing
from verify_service.consents import Ledger
from verify_service.dispatch.planner import DeliveryPath, order, ordered
from verify_service.errors import Rejected, StoreUnavailable, Unavailable, Uncertain
from verify_service.model import Actor, Message, Receipt, Start
from verify_service.policy.file import default_text
from verify_service.store.entries import Settlement
from verify_service.store.outbox import Outbox

pytestmark = pytest.mark.slow

TO = "+14155550123"
DISPATCHER = "verify_service.dispatch.dispatcher"
READER = "verify_service.dispatch.reader"
FAILOVER = "verify_service.dispatch.failover"


@pytest.fixture
def quick_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rounds without the seconds between them."""
    monkeypatch.setattr(f"{FAILOVER}.BACKOFF_S", (0.01, 0.01))


def test_the_first_try_is_drawn_by_weight_and_zero_is_the_last_resort() -> None:
    """Of 9 to 1, nine in ten first tries go to the one; all are asked once a round, weight 0 last as written."""
    weights = {"last": 0, "much": 90, "little": 10, "very-last": 0}
    ways = [DeliveryPath(name, None, "sms", weight) for name, weight in weights.items()]
    orders = Counter(tuple(way.provider for way in order(ways)) for _ in range(10_000))
    assert set(orders) == {("much", "little", "last", "very-last"), ("little", "much", "last", "very-last")}
    assert 8_800 < orders["much", "little", "last", "very-last"] < 9_200  # within six sigmas of 9,000


def test_an_order_is_drawn_while_what_a_provider_deserves_changes() -> None:
    """Each is asked for once: one that goes down meanwhile has the place that it had."""
    ways = [DeliveryPath(name, None, "sms", 1) for name in "ab"]
    answers = {way: iter([100, 0]) for way in ways}
    assert set(order(ways, lambda way: next(answers[way], 0))) == set(ways)


def test_a_message_over_which_the_dispatcher_stumbles_is_found_again(
    post: Post, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that nobody foresaw is said, and neither keeps the message nor those that came with it."""
    monkeypatch.setattr("verify_service.dispatch.reader.IDLE_MS", 500)
    draw, stumbles = ordered, iter([True])

    def once(*args: Any) -> Any:
        if next(stumbles, False):
            raise ZeroDivisionError
        return draw(*args)

    monkeypatch.setattr("verify_service.dispatch.job.ordered", once)
    provider = Scripted()
    ids = [post.bench.service.start("default", a_start(to)).id for to in ("+14155550123", "+14155550124")]
    with post.dispatching({"a": provider}):
        until(lambda: len(provider.asked) == 2, "both to be sent")
    assert {message.verification_id for message in provider.asked} == set(ids)
    assert "ZeroDivisionError in once, test_dispatch.py" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "error", [Unavailable("HTTP 503"), Uncertain("no answer in time")], ids=["unavailable", "uncertain"]
)
def test_the_next_provider_takes_over(post: Post, error: Exception) -> None:
    """Not sent, or perhaps sent: the next provider is asked at once, for the same message with the same code."""
    a, b = Scripted(raising(error)), Scripted()
    with post.dispatching({"a": a, "b": b}, TWO):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("failed-over", "a", str(error)), ("sent", "b", None)]
    assert a.asked == b.asked
    [message] = b.asked
    assert (message.to, message.code) == (TO, post.bench.code(started.id))


def test_what_is_told_twice_stands_in_the_timeline_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispatcher that hears no answer of the store calls again, though everything may have been written."""
    real, unheard = Outbox.settle, [StoreUnavailable("no answer"), StoreUnavailable("no answer")]

    def settle(self: Outbox, settlements: Sequence[Settlement]) -> None:
        real(self, settlements)
        if unheard:
            raise unheard.pop()

    monkeypatch.setattr(Outbox, "settle", settle)
    with post.dispatching({"a": Scripted(raising(Unavailable("HTTP 503"))), "b": Scripted()}, TWO):
        started = post.bench.service.start("default", a_start(TO))
        until(lambda: not unheard, "the settlement")
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    expected = [("failed-over", "a", "HTTP 503"), ("sent", "b", None)]
    assert [line for line in post.timeline(started.id) if line[1]] == expected
    told = [(event["event"], event["provider"]) for event in post.bench.store.events.read(0) if event.get("provider")]
    assert told == [("failed-over", "a"), ("sent", "b")]


def test_an_email_comes_from_the_whole_brand(post: Post) -> None:
    """A carrier takes eleven letters for a sender; a mail program shows them all."""
    a = Scripted()
    brand = '[tenants.default]\nbrand = "Verification Bank"\n'
    with post.dispatching({"a": a}, brand + ONE):
        for to, channel in ((TO, "sms"), ("zora@example.org", "email")):
            post.bench.service.start(
                "default", Start(number=recipient.parse(to, None), channel=channel, purpose="login")
            )
        until(lambda: len(a.asked) == 2, "both messages")
    assert {message.channel: message.sender for message in a.asked} == {
        "sms": "Verificatio",
        "email": "Verification Bank",
    }


def test_a_rejected_number_is_given_up_at_once(post: Post) -> None:
    """A provider's word that a number can never be reached is final: nobody else is asked, and the reason is told."""
    a, b = Scripted(raising(Rejected("HTTP 422"))), Scripted()
    with post.dispatching({"a": a, "b": b}, TWO):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("failed", "a", "HTTP 422")]
    assert (len(a.asked), len(b.asked)) == (1, 0)


@pytest.mark.usefixtures("quick_rounds")
def test_rounds_end_and_the_reason_is_told(post: Post) -> None:
    """Where no provider takes it, all are asked again in each round; after the last the timeline says so."""
    a, b = Scripted(raising(*[Unavailable("down")] * 9)), Scripted(raising(*[Uncertain("slow")] * 9))
    with post.dispatching({"a": a, "b": b}, TWO):
        started = post.bench.service.start("default", a_start(TO))
        round_ = [("failed-over", "a", "down"), ("failed-over", "b", "slow")]
        assert post.settled(started.id) == [*round_ * 3, ("failed", None, "no provider took it")]


@pytest.mark.usefixtures("quick_rounds")
def test_a_provider_that_comes_back_gets_the_message(post: Post) -> None:
    """A provider that fails for two rounds and recovers sends the message in the third, once."""
    a = Scripted(raising(Unavailable("down"), Unavailable("down")))
    with post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id)[-1] == ("sent", "a", None)
    assert len(a.asked) == 3
    assert len({message.id for message in a.asked}) == 1


def test_an_adapter_that_breaks_is_one_that_failed(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception that no adapter may raise costs the message nothing but a try, and its words are in no log."""
    a, b = Scripted(raising(ZeroDivisionError("secret words"))), Scripted()
    with post.dispatching({"a": a, "b": b}, TWO):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [
            ("failed-over", "a", "adapter failed (ZeroDivisionError)"),
            ("sent", "b", None),
        ]
    said = "".join(capsys.readouterr())
    assert "ZeroDivisionError in act, dispatching.py" in said
    assert "secret words" not in said


@pytest.mark.usefixtures("quick_rounds")
def test_what_an_adapter_cannot_compose_fails_once_and_blames_nobody(post: Post) -> None:
    """A message that makes its adapter raise is asked of it once, in no further round; its timeline says why, without a
    provider, and the provider keeps its good name."""
    a = Scripted(raising(*[ValueError("a header holds a line break")] * 9))
    with post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("failed", None, "adapter failed (ValueError)")]
    assert len(a.asked) == 1
    states = post.bench.store.health.states()
    assert "a/sms" not in states or states["a/sms"].errors == 0


@pytest.mark.usefixtures("quick_rounds")
def test_a_connection_that_breaks_in_an_adapter_is_its_providers_fault(post: Post) -> None:
    """An OSError that an adapter lets through is of the network: the message is tried again."""
    a = Scripted(raising(ConnectionResetError("reset")))
    with post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [
            ("failed-over", "a", "connection broke (ConnectionResetError)"),
            ("sent", "a", None),
        ]


def test_a_text_that_cannot_be_composed_fails_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of ours while a message is written is told in its timeline; no provider is asked, nothing is retried,
    and the next message goes out."""
    real = messages.compose

    def compose(*args: Any) -> Any:
        if args[3] == "US":
            raise KeyError("no such text")
        return real(*args)

    monkeypatch.setattr(messages, "compose", compose)
    a, b = Scripted(), Scripted()
    with post.dispatching({"a": a, "b": b}, TWO):
        started = post.bench.service.start("default", a_start(TO))
        other = post.bench.service.start("default", a_start("+447911123456"))
        assert post.settled(started.id) == [("failed", None, "cannot be composed (KeyError)")]
        assert post.settled(other.id) == [("sent", "a", None)]
    assert [message.to for message in a.asked + b.asked] == ["+447911123456"]


def test_a_receipt_follows_the_sending(post: Post) -> None:
    """What a provider says of the message's fate in its answer stands after `sent`."""
    a = Scripted(lambda _: Receipt(status="delivered", reason="the carrier says so"))
    with post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("sent", "a", None), ("delivered", "a", "the carrier says so")]
    assert len(a.asked) == 1


def test_the_way_names_its_sender(post: Post) -> None:
    """A route's sender is the message's; without one it is the brand, as far as an alphanumeric sender may be long."""
    named = f"""{ONE}
        [senders.short]
        type = "short-code"
        address = "43721"
        [[routes]]
        countries = ["US"]
        via = [{{ provider = "a", sender = "short" }}]
        [[routes]]
        via = [{{ provider = "a" }}]
    """
    a = Scripted()
    with post.dispatching({"a": a}, named):
        post.bench.service.start("default", a_start(TO))
        started = post.bench.service.start("default", a_start("+447911123456"))
        post.settled(started.id)
    assert {message.to: message.sender for message in a.asked} == {TO: "43721", "+447911123456": "Verify"}


def test_nothing_is_sent_after_the_end_of_life(post: Post) -> None:
    """A message that is taken a millisecond too late is not sent; one that is taken in time is."""
    late = post.bench.service.start("default", a_start(TO))
    post.bench.clock.advance(0.001)
    in_time = post.bench.service.start("default", a_start("+14155550124"))
    post.bench.clock.ms = late.expires_at
    a = Scripted()
    with post.dispatching({"a": a}):
        assert post.settled(late.id) == [("failed", None, "expired before it was sent")]
        assert post.settled(in_time.id) == [("sent", "a", None)]
    assert [message.to for message in a.asked] == ["+14155550124"]


@pytest.mark.usefixtures("quick_rounds")
def test_no_round_begins_after_the_end_of_life(post: Post) -> None:
    """A message whose life ends while it waits for the next round is not sent in it."""

    def fail_and_let_time_pass(_message: Message) -> Receipt:
        post.bench.clock.advance(601)
        raise Unavailable("down")

    a = Scripted(fail_and_let_time_pass)
    with post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id)[:2] == [
            ("failed-over", "a", "down"),
            ("failed", None, "expired before it was sent"),
        ]
    assert len(a.asked) == 1


@pytest.mark.parametrize("end", ["canceled", "approved"])
def test_what_ended_before_the_dispatcher_came_is_withdrawn(post: Post, end: str) -> None:
    """Ending a verification takes its unsent message out of the outbox."""
    started = post.bench.service.start("default", a_start(TO))
    _end(post, started.id, end)
    assert post.bench.store.outbox.depth() == 0
    assert ("failed", None, "withdrawn before it was sent") in post.timeline(started.id)
    a = Scripted()
    with post.dispatching({"a": a}):
        other = post.bench.service.start("default", a_start("+14155550124"))
        post.settled(other.id)
    assert [message.to for message in a.asked] == ["+14155550124"]


@pytest.mark.parametrize("end", ["canceled", "approved", "opted out"])
def test_what_ends_between_two_tries_is_not_tried_again(post: Post, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the first quarter second is over, each try asks whether anybody still waits for the code."""
    monkeypatch.setattr(f"{FAILOVER}.FRESH_S", 0.0)
    monkeypatch.setattr(f"{FAILOVER}.BACKOFF_S", (0.01, 0.01))

    def end_and_fail(message: Message) -> Receipt:
        _end(post, message.verification_id, end)
        raise Uncertain("no answer in time")

    a = Scripted(end_and_fail)
    with post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id)[-1] == ("failed", None, "nobody waited for it any more")
    assert len(a.asked) == 1


@pytest.mark.usefixtures("quick_rounds")
def test_a_code_that_was_replaced_is_not_sent_any_more(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a new code on resend, a try of the old message that is still to come is left out: it could only mislead."""
    monkeypatch.setattr(f"{FAILOVER}.FRESH_S", 0.0)
    post.renew(default_text().replace('resend = "same"', 'resend = "new"'))

    def fail_after_a_resend(message: Message) -> Receipt:
        if len(a.asked) == 1:
            post.bench.clock.advance(31)
            assert post.bench.service.start("default", a_start(TO)).id == message.verification_id
            raise Unavailable("down")
        return ACCEPTED

    a = Scripted(fail_after_a_resend)
    with post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        assert ("failed", None, "nobody waited for it any more") in post.settled(started.id)
    old, new = a.asked
    assert old.code != new.code == post.bench.code(started.id)


def test_a_dispatcher_without_the_key_leaves_the_message_to_one_that_has_it(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While keys are rotated process by process, a message under a key not known here yet waits for who knows it."""
    monkeypatch.setattr(f"{READER}.IDLE_MS", 100)
    monkeypatch.setattr(f"{DISPATCHER}.BEAT_S", 0.05)
    behind, a = Scripted(), Scripted()
    with post.dispatching({"a": behind}, name="behind", keys=KeyRing(f"old:{codes.new_key()}")) as stop:
        started = post.bench.service.start("default", a_start(TO))
        client = post.bench.store.link.client()
        until(lambda: client.xpending("vs:{0}:outbox", "dispatch")["pending"] == 1, "the message to be taken")
        with post.dispatching({"a": a}, name="ahead"):
            assert post.settled(started.id) == [("sent", "a", None)]
        stop.set()
    assert (len(behind.asked), len(a.asked)) == (0, 1)


def test_a_number_sealed_for_another_entry_is_not_used(post: Post) -> None:
    """Ciphertext that was moved between entries is refused: nobody with access to the store can redirect a code."""
    mine = post.bench.service.start("default", a_start(TO))
    theirs = post.bench.service.start("default", a_start("+14155550124"))
    client = post.bench.store.link.client()
    entries: Any = client.xrange("vs:{0}:outbox")
    [(entry, fields), (_, other)] = entries
    client.xdel("vs:{0}:outbox", entry)
    client.xadd("vs:{0}:outbox", {**fields, b"to": other[b"to"]})
    a = Scripted()
    with post.dispatching({"a": a}):
        assert post.settled(mine.id) == [("failed", None, "its number cannot be deciphered")]
        assert post.settled(theirs.id) == [("sent", "a", None)]
    assert [message.to for message in a.asked] == ["+14155550124"]


def _end(post: Post, verification_id: str, how: str) -> None:
    if how == "canceled":
        post.bench.service.cancel("default", verification_id)
    elif how == "opted out":
        Ledger(post.bench.store, post.bench.tagger, post.bench.clock).record(
            "default", TO, "out", "crm", Actor("api:crm")
        )
    else:
        assert post.bench.service.check("default", verification_id, post.bench.code(verification_id)).approved
