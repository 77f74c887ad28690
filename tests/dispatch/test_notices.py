"""Messages that nobody asked for: by the outbox, routes and providers of codes, and never more than people want."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.support.bench import ManualClock, a_start
from tests.support.dispatching import ONE, TWO, Post, Scripted, raising
from tests.support.live import PATIENCE_S, everything, patient, until
from verify_service import codes, recipient
from verify_service.consents import Ledger
from verify_service.dispatching import dispatcher
from verify_service.errors import Blocked, RateLimited, Rejected, Unavailable
from verify_service.model import Actor, Receipt
from verify_service.runtime import Runtime
from verify_service.settings import Settings
from verify_service.store import partitions
from verify_service.store.entries import queued
from verify_service.store.layouts import Content

pytestmark = pytest.mark.slow

TO = "+14155550123"
ADDED = "Verify: A new way to sign in was added to your account. If this was not you, contact us at once."
NO_US = """
[countries]
deny = ["US"]
[[limit]]
name = "number"
of = ["number"]
allow = "10/day"
"""
LIMITED = "refused by `number-notices`"


def queue(post: Post, to: str = TO, name: str = "factor_added", channel: str = "sms", locale: str = "") -> str:
    """A notice as the script of a user queues it; answers its id."""
    bench = post.bench
    tag, number = bench.tagger.number(to), recipient.parse(to, None)
    content = Content(number=tag, country=number.country, locale=locale)
    id = partitions.new_id("no", 0, 1)
    sealed = bench.keys.seal_to(number.e164, "default", tag)
    entry: list[Any] = ["id", id, "expires_at", bench.clock.ms + 3_600_000, "to", sealed]
    entry += queued("default", channel, content, kind="notice", text=name)
    bench.store.link.command(0, ["XADD", "vs:{0}:outbox", "*", *entry])
    return id


def told(post: Post, id: str) -> list[tuple[str, str | None]]:
    """What the events say of a notice, (event, reason), once the outbox is empty."""
    until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    return [(each["event"], each.get("reason")) for each in post.bench.store.events.read(0) if each["id"] == id]


def test_a_notice_goes_out_by_the_route_of_its_country(post: Post) -> None:
    """In the person's language, with the tenant's brand, without a code; by the next provider where the first fails;
    an email has a subject. What it says is counted under its name."""
    a, b = Scripted(raising(Unavailable("down"))), Scripted()
    with post.dispatching({"a": a, "b": b}, f'{TWO}[[routes]]\nchannel = "email"\nvia = [{{ provider = "a" }}]\n'):
        first = queue(post)
        assert told(post, first) == [("failed-over", "down"), ("sent", None)]
        second = queue(post, "ann@example.org", "wrong_codes", "email", "de-AT")
        assert told(post, second) == [("sent", None)]
    (text,), (mail,) = b.asked, a.asked[1:]
    assert (text.body, text.code, text.to, text.segments, text.verification_id) == (ADDED, "", TO, 1, first)
    assert mail.subject == "Verify: Für Ihr Konto wurden viele falsche Codes eingegeben."
    assert mail.body == f"{mail.subject}\n\nWaren Sie das nicht? Melden Sie sich sofort bei uns."


def test_a_number_gets_five_notices_a_day_beside_its_codes(post: Post) -> None:
    """The limit is of its own: starts that are spent take none from it, and it takes no start; another number has its
    own; a day later there is room again."""
    a = Scripted()
    start = post.bench.service.start
    with post.dispatching({"a": a}, ONE):
        for purpose in ("p1", "p2", "p3", "p4", "p5"):
            start("default", a_start(TO, purpose))
        with pytest.raises(RateLimited):
            start("default", a_start(TO, "p6"))
        ids = [queue(post) for _ in range(7)]
        said = [told(post, each) for each in ids]
        assert said.count([("sent", None)]) == 5
        assert said.count([("failed", LIMITED)]) == 2
        assert told(post, queue(post, "+14155550124")) == [("sent", None)]
        post.bench.clock.advance(601)
        assert start("default", a_start(TO, "p6")).status == "pending"
        post.bench.clock.advance(86_401)
        assert told(post, queue(post)) == [("sent", None)]


def test_a_notice_that_is_tried_again_counts_once(post: Post) -> None:
    """However many rounds it takes: five that each fail at first still leave room for none and no less than five."""
    a = Scripted(raising(*[Unavailable("down")] * 5))
    with post.dispatching({"a": a}, ONE):
        ids = [queue(post) for _ in range(5)]
        assert [told(post, each)[-1] for each in ids] == [("sent", None)] * 5
        assert told(post, queue(post)) == [("failed", LIMITED)]


def test_who_opted_out_gets_no_notice(post: Post) -> None:
    """STOP holds for them; so does what a carrier says of a number, and a test number is never sent to."""
    a = Scripted(raising(Rejected("no such number", permanent=True)))
    ledger = Ledger(post.bench.store, post.bench.tagger, post.bench.clock)
    tests = f'{ONE}[[test_numbers]]\nmatch = "+1415555*"\ncode = "123456"\nuntil = 2999-01-01\n'
    with post.dispatching({"a": a}, ONE):
        assert told(post, queue(post)) == [("failed", "no such number")]
        assert told(post, queue(post)) == [("failed", "refused by `unreachable`")]
        ledger.record("default", "+14155550124", "out", "sms", Actor("api:crm"))
        assert told(post, queue(post, "+14155550124")) == [("failed", "opted out")]
    with post.dispatching({"a": a}, tests, "d2"):
        assert told(post, queue(post, "+14155550125")) == [("failed", "a test number, which nothing is sent to")]
    assert len(a.asked) == 1


def test_the_policy_judges_notices(post: Post) -> None:
    """Countries that are denied, budgets that are spent, and limits of its own that count notices; an allow-list
    passes all but the number's own limit."""
    post.renew("""
[countries]
deny = ["FR"]
[allow]
numbers = ["+33612345678"]
[prices]
default = 0.4
[[limit]]
name = "number"
of = ["number"]
allow = "10/day"
[[limit]]
name = "two"
of = ["number"]
allow = "2/day"
counts = "notices"
[[rule]]
name = "money"
kind = "budget"
of = ["tenant"]
allow = "$1/day"
mode = "enforce"
[[rule]]
name = "pumping"
mode = "enforce"
""")
    a = Scripted()
    spent = [("sent", None), ("sent", None), ("failed", "refused by `two`")]
    with post.dispatching({"a": a}, ONE):
        assert told(post, queue(post, "+33612345679")) == [("failed", "refused by `countries`")]
        assert [told(post, queue(post))[-1] for _ in range(3)] == spent
        assert told(post, queue(post, "+14155550124")) == [("failed", "refused by `money`")]
        assert [told(post, queue(post, "+33612345678"))[-1] for _ in range(3)] == spent
    assert b":chart:" not in everything(post.bench.store)


def test_a_receipt_of_a_notice_is_told(post: Post) -> None:
    """Delivered, or that the number will never get one, which refuses the next start, too; and nothing says the number
    in clear."""
    a = Scripted(lambda _: Receipt(provider_id="a1"))
    with post.dispatching({"a": a}, ONE):
        first = queue(post)
        assert told(post, first) == [("sent", None)]
        lost = Receipt(provider_id="a1", status="failed", reason="gone", permanent=True)
        assert post.bench.store.deliveries.received(post.bench.clock.ms, "a", lost) == first
        assert told(post, first)[1:] == [("failed", "gone")]
        assert told(post, queue(post)) == [("failed", "refused by `unreachable`")]
        with pytest.raises(Blocked) as refused:
            post.bench.service.start("default", a_start(TO))
    assert refused.value.members["rule"] == "unreachable"
    assert TO.encode() not in everything(post.bench.store)


def test_the_dispatch_role_sends_by_the_policy_in_the_store(post: Post) -> None:
    """As the role is built: it reads the policy that is in force at each notice, waits while there is none, and the
    fake provider's inbox shows the notice, without a code."""
    ring, tag_key = f"k1:{codes.new_key()}", codes.new_key()
    runtime = Runtime(Settings(redis_url=patient(post.server.url), keys=ring, tag_key=tag_key))
    made, stop, inbox = dispatcher(runtime, {}, "d1"), threading.Event(), runtime.inbox
    assert inbox is not None
    post.bench = replace(post.bench, keys=runtime.keys, tagger=runtime.tagger, clock=ManualClock(runtime.clock.now()))
    thread = threading.Thread(target=made.run, args=(stop,), daemon=True)
    thread.start()
    first = queue(post)
    until(lambda: post.bench.store.link.client().xpending("vs:{0}:outbox", "dispatch")["pending"], "it to be taken")
    live = runtime.live()
    assert told(post, first) == [("sent", None), ("delivered", None)]
    live.push(runtime.clock.now(), Actor("ada"), "no codes there", NO_US)
    assert told(post, queue(post)) == [("failed", "refused by `countries`")]
    stop.set()
    thread.join(PATIENCE_S)
    (message,) = inbox.messages("default", TO, None, 0)
    assert (message.body, message.code, message.verification_id, message.segments) == (ADDED, "", first, 1)
