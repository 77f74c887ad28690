"""Where a message goes when a provider is slow, when its receipt does not come, or when it says failed."""

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.support.bench import a_start, make_bench
from tests.support.dispatching import ACCEPTED, THREE, TWO, Post, Scripted, raising, taking
from tests.support.live import PATIENCE_S, clean, until
from tests.support.vendor import vendor_at_work
from verify_service import codes
from verify_service.consents import Ledger
from verify_service.errors import Rejected, Unavailable
from verify_service.model import Actor, Message, Receipt, Start
from verify_service.phone import parse
from verify_service.policy.file import default_text

pytestmark = pytest.mark.slow

TO = "+14155550123"


@contextmanager
def hanging(provider: Scripted, then: Callable[[], Receipt] = lambda: ACCEPTED) -> Iterator[threading.Event]:
    """The provider answers nobody until the event is set, or the end."""
    release = threading.Event()

    def hang(_message: Message) -> Receipt:
        release.wait(PATIENCE_S)
        return then()

    provider.act = hang
    try:
        yield release
    finally:
        release.set()


def went(post: Post, verification_id: str) -> list[tuple[str, str | None, str | None]]:
    return [line for line in post.timeline(verification_id) if line[0] not in ("started", "queued", "expired")]


def soon(post: Post, verification_id: str, *lines: tuple[str, str | None, str | None]) -> None:
    """Waits until the message has gone just so."""
    until(lambda: len(went(post, verification_id)) >= len(lines), f"{len(lines)} lines in the timeline")
    assert went(post, verification_id) == list(lines)


def test_the_next_is_tried_beside_one_that_hangs(post: Post) -> None:
    """A provider that does not answer within a second goes on, and the next takes the message, with the same code; its
    own answer is noted when it comes."""
    a, b = Scripted(), Scripted()
    with hanging(a) as release, post.dispatching({"a": a, "b": b}, TWO):
        began = time.monotonic()
        started = post.bench.service.start("default", a_start(TO))
        beside = ("failed-over", "a", "no answer within 1 second"), ("sent", "b", None)
        assert post.settled(started.id) == list(beside)
        assert time.monotonic() - began > 0.9
        assert not release.is_set()
        release.set()
        until(lambda: len(went(post, started.id)) == 3, "the late answer")
    assert went(post, started.id)[:2] == list(beside)
    event, provider, reason = went(post, started.id)[2]
    assert (event, provider) == ("sent", "a")
    assert (reason or "").startswith("took it too, after ")
    assert a.asked == b.asked


def test_a_late_error_is_noted_and_changes_nothing(post: Post) -> None:
    """What fails after another has taken the message is told, and nobody is asked again."""
    a, b = Scripted(), Scripted()

    def fail() -> Receipt:
        raise Unavailable("HTTP 503")

    with hanging(a, fail) as release, post.dispatching({"a": a, "b": b}, TWO):
        started = post.bench.service.start("default", a_start(TO))
        post.settled(started.id)
        release.set()
        soon(
            post,
            started.id,
            ("failed-over", "a", "no answer within 1 second"),
            ("sent", "b", None),
            ("failed-over", "a", "HTTP 503, after another had taken it"),
        )
    assert (len(a.asked), len(b.asked)) == (1, 1)


def test_a_slow_provider_without_another_is_waited_for(post: Post) -> None:
    """Where nobody else carries the message, it stays with the one that is slow, and is sent once."""
    a = Scripted()
    with hanging(a) as release, post.dispatching({"a": a}):
        started = post.bench.service.start("default", a_start(TO))
        until(lambda: len(a.asked) == 1, "the message to be asked for")
        time.sleep(1.3)  # past the second after which another one would have been tried
        release.set()
        assert post.settled(started.id) == [("sent", "a", None)]
    assert len(a.asked) == 1


def test_where_the_slow_and_the_next_both_fail_the_round_is_over(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next round begins when the last open try has failed, and not before."""
    monkeypatch.setattr("verify_service.dispatch.failover.BACKOFF_S", (0.01,))
    a, b = Scripted(), Scripted(raising(Unavailable("down")))

    def fail() -> Receipt:
        a.act = lambda _: ACCEPTED
        raise Unavailable("HTTP 503")

    with hanging(a, fail) as release, post.dispatching({"a": a, "b": b}, TWO):
        started = post.bench.service.start("default", a_start(TO))
        beside = ("failed-over", "a", "no answer within 1 second"), ("failed-over", "b", "down")
        soon(post, started.id, *beside)
        release.set()
        assert post.settled(started.id) == [*beside, ("failed-over", "a", "HTTP 503"), ("sent", "a", None)]


def test_what_waits_for_a_hanging_provider_is_not_sent_when_another_has_taken_it(post: Post) -> None:
    """A hundred messages for a provider that hangs: those that never reached it are dropped, not sent twice."""
    a, b = Scripted(), Scripted()
    with hanging(a) as release, post.dispatching({"a": a, "b": b}, TWO):
        ids = [post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}")).id for n in range(100)]
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
        asked = len(a.asked)
        release.set()
        time.sleep(0.3)  # what a would be asked now
    assert asked <= 64
    assert len(a.asked) == asked
    assert {message.verification_id for message in b.asked} == set(ids)


def test_what_gets_no_receipt_goes_by_every_other_way(post: Post) -> None:
    """Twenty seconds after each: the next provider, then the channels to fall back on, as long as the code lives. Each
    line of another channel names it: one provider may carry several."""
    providers = {name: taking(name) for name in "abc"}
    with post.dispatching(providers, THREE):
        started = post.bench.service.start("default", a_start(TO))
        lines: list[tuple[str, str | None, str | None]] = [("sent", "a", None)]
        soon(post, started.id, *lines)
        last = "no receipt within 20 seconds"
        steps = (
            (("failed-over", "a", last), ("sent", "b", None)),
            (("failed-over", "b", last), ("sent", "c", "by whatsapp")),
            (("failed-over", "c", f"by whatsapp: {last}"), ("sent", "c", "by voice")),
        )
        for step in steps:
            post.bench.clock.advance(19.999)
            time.sleep(0.6)  # two looks at what is overdue
            assert went(post, started.id) == lines
            post.bench.clock.advance(0.001)
            lines += step
            soon(post, started.id, *lines)
        post.bench.clock.advance(60)
        time.sleep(0.6)
        assert went(post, started.id) == lines
    asked = [message for name in "abc" for message in providers[name].asked]
    assert [message.channel for message in asked] == ["sms", "sms", "whatsapp", "voice"]
    assert {message.code for message in asked} == {post.bench.code(started.id)}


@pytest.mark.parametrize("what", ["delivered", "approved", "canceled", "stopped", "resent", "expired"])
def test_what_needs_no_other_way_takes_none(post: Post, what: str) -> None:
    """A message that arrived, whose verification has ended, or that was sent anew, is not sent by another way; nor is
    one to a person who has opted out meanwhile."""
    service, clock = post.bench.service, post.bench.clock
    if what == "expired":
        post.renew(default_text().replace('life = "10 minutes"', 'life = "15 seconds"'))
        service, clock = post.bench.service, post.bench.clock
    if what == "resent":
        post.renew(default_text().replace('cooldown = ["30 seconds"', 'cooldown = ["15 seconds"'))
        service, clock = post.bench.service, post.bench.clock
    a, b = taking("a"), taking("b")
    with post.dispatching({"a": a, "b": b, "c": taking("c")}, THREE):
        started = service.start("default", a_start(TO))
        soon(post, started.id, ("sent", "a", None))
        if what == "delivered":
            receipt = Receipt(provider_id="a1", status="delivered")
            post.bench.store.deliveries.received(clock.now(), "a", receipt)
        elif what == "approved":
            assert service.check("default", started.id, post.bench.code(started.id)).approved
        elif what == "canceled":
            service.cancel("default", started.id)
        elif what == "stopped":
            Ledger(post.bench.store, post.bench.tagger, clock).record("default", TO, "out", "crm", Actor("api:crm"))
        if what == "resent":  # The new message is waited for anew, and the old one forgotten.
            clock.advance(15)
            assert service.start("default", a_start(TO)).id == started.id
            until(lambda: len(a.asked) == 2, "the resend")
            clock.advance(15)
        else:
            clock.advance(30)
        time.sleep(0.6)  # two looks at what is overdue
        assert [line for line in went(post, started.id) if line[0] == "failed-over"] == []
    assert b.asked == []


def test_what_arrives_late_by_one_way_goes_by_no_further_one(post: Post) -> None:
    """A receipt of the first provider that comes after the second was asked ends the search all the same."""
    providers = {name: taking(name) for name in "abc"}
    with post.dispatching(providers, THREE):
        started = post.bench.service.start("default", a_start(TO))
        soon(post, started.id, ("sent", "a", None))
        post.bench.clock.advance(20)
        late = ("failed-over", "a", "no receipt within 20 seconds")
        soon(post, started.id, ("sent", "a", None), late, ("sent", "b", None))
        post.bench.clock.advance(1)
        receipt = Receipt(provider_id="a1", status="delivered")
        post.bench.store.deliveries.received(post.bench.clock.now(), "a", receipt)
        post.bench.clock.advance(30)
        time.sleep(0.6)  # two looks at what is overdue
        assert went(post, started.id)[2:] == [("sent", "b", None), ("delivered", "a", None)]
    assert providers["c"].asked == []


def test_a_receipt_that_says_failed_sends_it_on_at_once(post: Post) -> None:
    """By the next provider of the same channel; the failure of the last one is final."""
    providers = {name: taking(name) for name in "abc"}
    receive = post.bench.store.deliveries.received
    with post.dispatching(providers, THREE):
        started = post.bench.service.start("default", a_start(TO))
        soon(post, started.id, ("sent", "a", None))
        post.bench.clock.advance(1)
        receive(post.bench.clock.now(), "a", Receipt(provider_id="a1", status="failed", reason="carrier busy"))
        soon(post, started.id, ("sent", "a", None), ("failed-over", "a", "carrier busy"), ("sent", "b", None))
    assert [len(providers[name].asked) for name in "abc"] == [1, 1, 0]


def test_a_number_that_gets_no_texts_is_called_instead(post: Post) -> None:
    """A permanent failure closes the channel: no other provider is asked to text, the next channel takes over."""
    providers = {name: taking(name) for name in "abc"}
    with post.dispatching(providers, THREE):
        started = post.bench.service.start("default", a_start(TO))
        soon(post, started.id, ("sent", "a", None))
        post.bench.clock.advance(1)
        landline = Receipt(provider_id="a1", status="failed", reason="landline", permanent=True)
        post.bench.store.deliveries.received(post.bench.clock.now(), "a", landline)
        soon(post, started.id, ("sent", "a", None), ("failed-over", "a", "landline"), ("sent", "c", "by whatsapp"))
    assert [len(providers[name].asked) for name in "abc"] == [1, 0, 1]
    assert providers["c"].asked[0].channel == "whatsapp"


def test_a_rejected_number_is_tried_by_the_next_channel(post: Post) -> None:
    """A provider that will never text this number ends the texting, not the message."""
    a, b, c = Scripted(raising(Rejected("not mobile"))), Scripted(), Scripted()
    with post.dispatching({"a": a, "b": b, "c": c}, THREE):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [("failed-over", "a", "not mobile"), ("sent", "c", "by whatsapp")]
    assert b.asked == []
    assert c.asked[0].channel == "whatsapp"


def test_whom_rcs_does_not_reach_gets_a_text(post: Post) -> None:
    """The same code by the route's `fallback`, at once, whether the vendor refuses it or tells later; and the next
    start goes by RCS again, because a phone that is out of its reach now may be back."""
    rcs = """
[providers.a]
kind = "fake"
[providers.b]
kind = "fake"
[[routes]]
channel = "rcs"
via = [{ provider = "a" }]
receipt_within = "20 seconds"
fallback = ["sms"]
[[routes]]
via = [{ provider = "b" }]
receipt_within = "20 seconds"
"""
    a, b = Scripted(raising(Rejected("not reachable by RCS"))), Scripted()
    with post.dispatching({"a": a, "b": b}, rcs):
        first = post.bench.service.start("default", Start(number=parse(TO, None), channel="rcs", purpose="login"))
        assert post.settled(first.id) == [("failed-over", "a", "not reachable by RCS"), ("sent", "b", "by sms")]
        a.act = taking("a").act
        post.bench.clock.advance(60)
        second = post.bench.service.start("default", Start(number=parse(TO, None), channel="rcs", purpose="payment"))
        soon(post, second.id, ("sent", "a", None))
        lost = Receipt(provider_id="a1", status="failed", reason="not reachable by RCS")
        post.bench.store.deliveries.received(post.bench.clock.now(), "a", lost)
        there = ("failed-over", "a", "not reachable by RCS")
        soon(post, second.id, ("sent", "a", None), there, ("sent", "b", "by sms"))
    assert [[each.channel for each in provider.asked] for provider in (a, b)] == [["rcs", "rcs"], ["sms", "sms"]]
    for by_rcs, by_text in zip(a.asked, b.asked, strict=True):
        assert by_rcs.code == by_text.code


def test_a_message_that_fails_in_the_answer_goes_on(post: Post) -> None:
    """A receipt of `send` that says failed is a refusal: the next provider is asked, or, where the number gets no
    texts at all, the next channel."""
    failing = Receipt(provider_id="a1", status="failed", reason="carrier busy")
    landline = Receipt(provider_id="b1", status="failed", reason="landline", permanent=True)
    a, b, c = Scripted(lambda _: failing), Scripted(lambda _: landline), Scripted()
    with post.dispatching({"a": a, "b": b, "c": c}, THREE):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [
            ("failed-over", "a", "carrier busy"),
            ("failed-over", "b", "landline"),
            ("sent", "c", "by whatsapp"),
        ]
    assert [len(each.asked) for each in (a, b, c)] == [1, 1, 1]
    assert c.asked[0].channel == "whatsapp"
    tag = post.bench.tagger.number(TO)
    marks = [post.bench.store.link.client().exists(f"vs:{{0}}:unreachable:{tag}:{way}") for way in ("sms", "whatsapp")]
    assert marks == [1, 0]


def test_a_message_that_ends_by_another_channel_says_which(post: Post) -> None:
    """Refused by all, the last line is the last channel's own."""
    a, c = Scripted(raising(Rejected("not mobile"))), Scripted(raising(Rejected("no account"), Rejected("busy")))
    with post.dispatching({"a": a, "b": Scripted(), "c": c}, THREE):
        started = post.bench.service.start("default", a_start(TO))
        assert post.settled(started.id) == [
            ("failed-over", "a", "not mobile"),
            ("failed-over", "c", "by whatsapp: no account"),
            ("failed", "c", "by voice: busy"),
        ]
    [failed] = [event for event in post.bench.store.events.read(0) if event["event"] == "failed"]
    assert (failed["channel"], failed["reason"]) == ("voice", "busy")


def test_a_resend_by_another_channel_goes_by_that(post: Post) -> None:
    """A person who asks for a call gets one, with the same code as the text; what is said of the text later says so."""
    providers = {name: taking(name) for name in "abc"}
    with post.dispatching(providers, THREE):
        started = post.bench.service.start("default", a_start(TO))
        soon(post, started.id, ("sent", "a", None))
        post.bench.clock.advance(31)
        again = post.bench.service.start("default", Start(number=parse(TO, None), channel="voice", purpose="login"))
        assert (again.id, again.channel) == (started.id, "voice")
        until(lambda: len(went(post, started.id)) == 2, "the call")
        late = Receipt(provider_id="a1", status="delivered")
        post.bench.store.deliveries.received(post.bench.clock.now(), "a", late)
    assert post.timeline(started.id)[2:] == [
        ("sent", "a", None),
        ("queued", None, "by voice in place of sms"),
        ("sent", "c", None),
        ("delivered", "a", "by sms"),
    ]
    [call], [text] = providers["c"].asked, providers["a"].asked
    assert (call.channel, call.code) == ("voice", text.code)


def test_an_answer_to_a_keyword_goes_once_by_its_own_way(post: Post) -> None:
    """A reply has no code and no other way: it is sent by whom the person wrote to, or fails, as it does where the
    operator has taken that sender away meanwhile."""
    a, b = Scripted(raising(Unavailable("down"))), Scripted()
    tag = post.bench.tagger.number(TO)
    sealed = post.bench.keys.encrypt(TO.encode(), f"to|default|{tag}")
    fields: dict[str, str | bytes] = {
        "id": "re_0000" + "0" * 28,
        "tenant": "default",
        "number": tag,
        "to": sealed,
        "country": "US",
        "channel": "sms",
        "locale": "en",
        "kind": "reply",
        "text": "stop",
    }
    client = post.bench.store.link.client()
    with post.dispatching({"a": a, "b": b}, TWO):
        for via in ("a/", "b/", "b/gone"):
            client.xadd("vs:{0}:outbox", {**fields, "via": via})  # type: ignore[dict-item]
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    assert [len(each.asked) for each in (a, b)] == [1, 1]
    assert (b.asked[0].to, b.asked[0].code) == (TO, "")
    told = [(event["event"], event.get("provider"), event.get("reason")) for event in post.bench.store.events.read(0)]
    ends = [("failed", "a", "down"), ("sent", "b", None), ("failed", None, "no route carries sms to US")]
    assert sorted(map(str, told)) == sorted(map(str, ends))


def test_a_missing_receipt_is_missed_whoever_sent_the_message(post: Post) -> None:
    """A dispatcher that is killed with -9 after a provider took a message takes nothing with it: another one sends it
    by the next way when its receipt stays out, with the same code."""
    ring = f"k1:{codes.new_key()}"
    post.bench = make_bench(post.bench.store, keys=ring)
    post.bench.clock.ms = time.time_ns() // 1_000_000

    def take() -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b'{"id": "m1"}'

    with vendor_at_work() as a, vendor_at_work() as b:
        a.answer = b.answer = take
        config = post.folder / "verify.toml"
        config.write_text(
            f"""
            [providers.a]
            kind = "webhook"
            url = "{a.url}"
            secret = "env:HOOK"
            [providers.b]
            kind = "webhook"
            url = "{b.url}"
            secret = "env:HOOK"
            [[routes]]
            via = [{{ provider = "a", weight = 1 }}, {{ provider = "b", weight = 0 }}]
            receipt_within = "3 seconds"
            """
        )
        env = {**clean(), "VERIFY_REDIS_URL": post.server.url, "VERIFY_KEYS": ring, "VERIFY_TAG_KEY": codes.new_key()}
        env |= {"VERIFY_CONFIG": str(config), "HOOK": f"whsec_{codes.new_key()}"}
        first = subprocess.Popen([sys.executable, "-m", "verify_service", "dispatch"], env=env)
        try:
            started = post.bench.service.start("default", a_start(TO))
            soon(post, started.id, ("sent", "a", None))
        finally:
            first.kill()
            first.wait()
        assert b.requests == []
        second = subprocess.Popen([sys.executable, "-m", "verify_service", "dispatch"], env=env)
        try:
            late = ("failed-over", "a", "no receipt within 3 seconds")
            soon(post, started.id, ("sent", "a", None), late, ("sent", "b", None))
        finally:
            second.kill()
            second.wait()
    assert (len(a.requests), len(b.requests)) == (1, 1)
    bodies = [json.loads(body)["body"] for _, body in a.requests + b.requests]
    assert all(post.bench.code(started.id) in body for body in bodies)


def test_of_two_that_took_it_the_one_that_was_tried_last_is_waited_for(post: Post) -> None:
    """A slow provider that takes the message after the next one had: its receipts find the message, and its failure
    sends nobody on, since the other's receipt may still come."""
    providers = {name: taking(name) for name in "abc"}
    late = Receipt(provider_id="late")
    with hanging(providers["a"], lambda: late) as release, post.dispatching(providers, THREE):
        started = post.bench.service.start("default", a_start(TO))
        soon(post, started.id, ("failed-over", "a", "no answer within 1 second"), ("sent", "b", None))
        release.set()
        until(lambda: len(went(post, started.id)) == 3, "the late answer")
        post.bench.clock.advance(1)
        receive = post.bench.store.deliveries.received
        failed = Receipt(provider_id="late", status="failed", reason="carrier busy")
        assert receive(post.bench.clock.now(), "a", failed) == started.id
        assert went(post, started.id)[3:] == [("failed", "a", "carrier busy")]
        post.bench.clock.advance(19)
        overdue = ("failed-over", "b", "no receipt within 20 seconds")
        until(lambda: went(post, started.id)[4:] == [overdue, ("sent", "a", None)], "the way without a receipt")
    assert providers["c"].asked == []


def test_whatever_providers_do_every_message_ends_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three providers that take, refuse, fail, are slow, or slow and then fail, at random, for two dispatchers: each
    message is settled once, sent or failed, and nothing is held on to."""
    monkeypatch.setattr("verify_service.dispatch.failover.BACKOFF_S", (0.01, 0.01))
    dice = random.Random(36)

    def act(message: Message) -> Receipt:
        what = dice.choice(("take", "take", "reject", "fail", "slow", "slow and fail"))
        if what.startswith("slow"):
            time.sleep(1.3)
        if what == "reject":
            raise Rejected("no")
        if what.endswith("fail"):
            raise Unavailable("down")
        return Receipt(provider_id=f"{message.id}-{dice.random()}")

    providers = {name: Scripted(act) for name in "abc"}
    with post.dispatching(providers, THREE, "first"), post.dispatching(providers, THREE, "second"):
        ids = [post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}")).id for n in range(300)]
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
        time.sleep(1.5)  # what is still slow
    for each in ids:
        lines = went(post, each)
        taken = [line for line in lines if line[0] == "sent" and "took it too" not in (line[2] or "")]
        failed = [line for line in lines if line[0] == "failed"]
        assert len(taken) + len(failed) == 1, lines


def test_a_backlog_is_sent_once(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits long for a thread of ours is handed to the next provider, not sent by both; and nobody is blamed."""
    monkeypatch.setattr("verify_service.dispatch.pools.THREADS_A_POOL", 4)

    def act(_message: Message) -> Receipt:
        time.sleep(0.05)
        return ACCEPTED

    a, b = Scripted(act), Scripted(act)
    for n in range(400):
        post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}"))
    with post.dispatching({"a": a, "b": b}, TWO):
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    assert len({message.id for message in a.asked + b.asked}) == len(a.asked) + len(b.asked) == 400
    assert len(b.asked) > 50
    post.bench.clock.advance(60)
    assert {state.factor for state in post.bench.store.health.states().values()} == {100}
    moved = post.timeline(b.asked[-1].verification_id)[2]
    assert moved == ("failed-over", "a", "no room in its lane within 1 second")
