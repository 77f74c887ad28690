"""What a user is told of: a new factor, the last recovery code, many wrong codes; once each, whatever comes at once."""

import json
import threading
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.authenticator import TENANT, App, enrolled, verify
from tests.support.bench import make_bench, wrong
from tests.support.concurrency import at_once, outcome
from tests.support.dispatching import ONE, Post, Scripted
from tests.support.live import PATIENCE_S, everything, patient, until
from tests.support.vendor import Vendor
from tests.support.webhook_bench import SECRETS, to
from verify_service.authenticators import HASH_BYTES
from verify_service.codes import KeyRing, new_key
from verify_service.dispatch.webhooks import Webhooks
from verify_service.errors import InvalidRequest, NotFound
from verify_service.factors import NewFactor
from verify_service.factors.keeping import Keeping
from verify_service.factors.records import Records
from verify_service.model import Actor
from verify_service.store import Store
from verify_service.tenants import NoticeConfig

pytestmark = pytest.mark.slow

TO = "+14155550123"
USER = "u-4711"
RING = f"k1:{new_key()}"


def ask_for(post: Post, **wishes: Any) -> None:
    """What the tenant's users are told of from now on."""
    service = post.bench.service
    service.config = replace(service.config, notices={TENANT: NoticeConfig(**wishes)})


def reach(post: Post, to: str | None = TO, channel: str | None = None, locale: str | None = None) -> None:
    factors = post.bench.factors
    factors.set_contact(TENANT, USER, factors.parse_contact(to, None, channel, locale) if to else None)


def notices(post: Post) -> list[dict[str, Any]]:
    """What was queued, oldest first."""
    return [each for each in post.bench.store.events.read(0) if each["event"] == "notice"]


def names(post: Post) -> list[str]:
    return [each["notice"] for each in notices(post)]


def sealed(post: Post) -> dict[bytes, bytes]:
    found: Any = post.bench.store.link.client().hgetall("vs:{0}:sealed")
    return {kid: count for kid, count in found.items() if count != b"0"}


def test_the_person_hears_of_it_in_their_language(post: Post) -> None:
    """From the first code of a new factor to the provider, by the user's record alone; the event has pseudonyms."""
    ask_for(post, factor_added=True)
    reach(post, locale="de")
    a = Scripted()
    with post.dispatching({"a": a}, ONE):
        enrolled(post.bench, USER)
        until(lambda: len(a.asked) == 1, "the notice")
    (message,) = a.asked
    assert (message.to, message.code, message.locale) == (TO, "", "de")
    assert message.body.startswith("Verify: Ihrem Konto wurde eine neue Anmeldemethode hinzugefügt.")
    (event,) = notices(post)
    tagger = post.bench.tagger
    assert (event["id"], event["notice"]) == (message.verification_id, "factor_added")
    assert (event["user"], event["number"]) == (tagger.user(TENANT, USER), tagger.number(TO))
    assert (event["tenant"], event["channel"], event["country"]) == (TENANT, "sms", "US")
    held = everything(post.bench.store)
    assert (TO.encode() in held, USER.encode() in held) == (False, False)


def test_each_is_told_once_whatever_comes_at_once(post: Post) -> None:
    """Many right first codes, the last recovery code sent three times, wrong codes in a crowd: one notice of each."""
    bench = post.bench
    ask_for(post, factor_added=True, recovery_codes_used=True, wrong_codes=4)
    reach(post)
    app = App(bench, bench.factors.enrol(TENANT, USER, NewFactor()))
    at_once(*[outcome(partial(verify, bench, USER, app, codes=False))] * 8)
    assert names(post) == ["factor_added"]
    records = Records(bench.keys, bench.tagger)
    subject = records.subject(TENANT, USER)
    codes, salt, kept = records.new_codes(subject)
    assert bench.store.users.renew_codes(bench.clock.now(), subject, salt, kept[-2 * HASH_BYTES :])
    assert bench.factors.check(TENANT, USER, codes[-2]).approved
    assert names(post) == ["factor_added"]
    at_once(*[outcome(partial(bench.factors.check, TENANT, USER, codes[-1]))] * 3)
    assert names(post) == ["factor_added", "recovery_codes_used"]
    bench.clock.advance(3601)  # The code that was used before counts as a wrong one.
    at_once(*[outcome(partial(bench.factors.check, TENANT, USER, wrong(app.at())))] * 8)
    assert names(post) == ["factor_added", "recovery_codes_used", "wrong_codes"]


def test_wrong_codes_are_told_of_in_a_row_and_once_a_day(post: Post) -> None:
    """A right code between begins the row again; after a notice a day passes before the next."""
    bench = post.bench
    ask_for(post, wrong_codes=3)
    reach(post)
    app = enrolled(bench, USER)

    def mistype(times: int) -> list[str]:
        for _ in range(times):
            bench.factors.check(TENANT, USER, wrong(app.at()))
        return names(post)

    assert mistype(2) == []
    assert bench.factors.check(TENANT, USER, app.at()).approved
    assert mistype(2) == []
    assert mistype(1) == ["wrong_codes"]
    assert mistype(4) == ["wrong_codes"]
    bench.clock.advance(86_401)
    assert mistype(1) == ["wrong_codes"] * 2


def test_nobody_is_told_who_did_not_ask_for_it(post: Post) -> None:
    """Off by default, and each by itself; nothing for a user without a contact, or with one no more."""
    bench = post.bench
    reach(post)
    enrolled(bench, USER)
    ask_for(post, wrong_codes=1)
    enrolled(bench, USER)
    enrolled(bench, "u-2")
    reach(post, None)
    bench.factors.check(TENANT, USER, "000000")
    assert names(post) == []
    assert bench.store.outbox.depth() == 0


def test_a_contact_is_kept_and_counted_as_what_is_sealed(post: Post) -> None:
    """Without a factor and without an end, until it is taken back; it opens no door, and outlives the last factor.
    What each key seals is counted exactly."""
    post.bench = bench = make_bench(post.bench.store, keys=RING)
    key = f"vs:{{0}}:user:{bench.tagger.user(TENANT, USER)}"
    client: Any = bench.store.link.client()
    reach(post, "Ann@Example.org", locale="fr")
    assert (client.pttl(key), sealed(post)) == (-1, {b"k1": b"2"})
    found = bench.factors.look(TENANT, USER).contact
    assert found is not None
    assert (found.to, found.channel, found.locale) == ("A•••@example.org", "email", "fr")
    with pytest.raises(NotFound):
        bench.factors.check(TENANT, USER, "123456")
    with pytest.raises(NotFound):
        bench.factors.renew_recovery_codes(TENANT, USER)
    app = enrolled(bench, USER)
    assert sealed(post) == {b"k1": b"3"}
    bench.factors.remove(TENANT, USER, app.id, Actor("ops"))
    assert (client.pttl(key), sealed(post)) == (-1, {b"k1": b"2"})
    assert bench.factors.look(TENANT, USER).contact == found
    rotated = KeyRing(f"k2:{new_key()},{RING}")
    assert Keeping(bench.store, rotated, bench.tagger, bench.clock).reseal(Actor("ops")) == (2, 0, 0)
    assert sealed(post) == {b"k2": b"2"}
    assert bench.factors_of(bench.service, rotated).look(TENANT, USER).contact == found
    nobody = bench.factors.look(TENANT, USER).contact
    assert nobody is not None
    assert nobody.to is None
    reach(post, None)
    assert (client.exists(key), sealed(post)) == (0, {})
    reach(post)
    assert bench.factors.erase(TENANT, USER, Actor("ops"))
    assert (client.exists(key), sealed(post)) == (0, {})
    for address, by in ((TO, "voice"), (TO, "whatsapp"), (TO, "email"), ("ann@example.org", "sms")):
        with pytest.raises(InvalidRequest):
            reach(post, address, by)
    events = [each for each in bench.store.events.read(0) if each["event"] == "contact"]
    assert [each.get("channel") for each in events] == ["email", None, "sms"]


def test_an_endpoint_is_told_of_notices(post: Post, vendor: Vendor) -> None:
    """That one is queued, by its name, and what became of it; the id is the notice's, and there is no number."""
    ask_for(post, factor_added=True)
    reach(post)
    store = post.bench.store
    store.webhooks.due(post.bench.clock.now(), [])  # The events begin here.
    stop, endpoints = threading.Event(), {TENANT: to(vendor, "notice", "sent")}
    telling = Webhooks(Store(patient(post.server.url)).webhooks, endpoints, SECRETS.__getitem__, post.bench.clock)
    thread = threading.Thread(target=telling.run, args=(stop,), daemon=True)
    thread.start()
    with post.dispatching({"a": Scripted()}, ONE):
        enrolled(post.bench, USER)
        until(lambda: len(vendor.requests) == 2, "two events")
    stop.set()
    thread.join(PATIENCE_S)
    first, second = (json.loads(body) for _, body in vendor.requests)
    (event,) = notices(post)
    assert (first["type"], second["type"]) == ("notice.queued", "notice.sent")
    about = {"id": event["id"], "notice": "factor_added", "channel": "sms", "country": "US"}
    assert first["data"] == about
    assert second["data"] == {"id": event["id"], "channel": "sms", "country": "US", "provider": "a"}
