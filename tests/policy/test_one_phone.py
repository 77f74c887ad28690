"""One phone, one identity: where a country writes a phone in two ways, limits, cooldown, blocks, consent and what is
pending are of the phone, whichever spelling came."""

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import Bench, ManualClock, a_start, make_bench, wrong
from tests.support.contract import LocalClient
from verify_service import codes, config, phone, recipient
from verify_service.consents import Consents
from verify_service.data_subjects import DataSubjects
from verify_service.errors import Blocked, IdempotencyMismatch, OptedOut, RateLimited
from verify_service.inbox import Inbox, InboxMessage, Rule
from verify_service.model import Actor, InboundText
from verify_service.policy.file import default_text
from verify_service.store import Store

TENANT = "default"
# What a phone is known by, and how else it is written.
PHONES = {
    "AR": ("+5491123456789", "+541123456789"),
    "MX": ("+525512345678", "+5215512345678"),
    "BR": ("+5511987654321", "+551187654321"),
}
TWO_WAYS = pytest.mark.parametrize(
    ("one", "other"), [pair for known, also in PHONES.values() for pair in ((known, also), (also, known))]
)


def consents_of(bench: Bench) -> Consents:
    return Consents(bench.store, bench.service.config, bench.keys, bench.tagger, bench.clock)


def start(bench: Bench, to: str, purpose: str = "login") -> Any:
    return bench.service.start(TENANT, a_start(to, purpose))


@TWO_WAYS
def test_a_spelling_is_its_phone(one: str, other: str) -> None:
    """Both are known by the one that has all the digits of today, in its pseudonym, and in the place that detectors
    watch."""
    tagger = codes.Tagger(codes.new_key())
    known = {pair[0] for pair in PHONES.values()}
    assert phone.identity(one) == phone.identity(other)
    assert phone.identity(one) in known
    assert tagger.number(one) == tagger.number(other)
    assert phone.parse(one, None).prefix == phone.parse(other, None).prefix


@pytest.mark.parametrize(
    "number",
    [
        *("+14155550123", "+442079460018", "+551132654321", "+5511", "+5491", "+549112345678", "+54911234567890"),
        *("+5212345678", "+52155123456789", "+55118765432", "+551112345678", "ann@example.org"),
    ],
)
def test_any_other_number_is_known_by_itself(number: str) -> None:
    """Landlines of Brazil, numbers of another length, other countries, and email addresses."""
    assert recipient.identity(number) == number
    assert recipient.formerly(number) == ()


@TWO_WAYS
def test_cooldown_and_what_is_pending_are_of_the_phone(bench: Bench, one: str, other: str) -> None:
    """A start under the other spelling is a resend, and waits as one; a check by number finds it."""
    found = start(bench, one)
    with pytest.raises(RateLimited) as refused:
        start(bench, other)
    assert refused.value.members["limit"] == "cooldown"
    bench.clock.advance(30)
    assert start(bench, other).id == found.id
    client = LocalClient(bench.store, ManualClock())
    begun = client.start(one)
    assert client.check(to=other, code="000000")["id"] == begun["id"]


@TWO_WAYS
def test_limits_are_of_the_phone(bench: Bench, one: str, other: str) -> None:
    """Five starts in ten minutes, whichever way they are written; wrong codes likewise; `explain` and `unlock` know
    either."""
    for count, to in enumerate((one, other, one, other, one)):
        start(bench, to, f"purpose-{count}")
    for to in (one, other):
        with pytest.raises(RateLimited) as refused:
            start(bench, to, "more")
        assert refused.value.members["limit"] == "number"
        explained = bench.explain.explain(TENANT, phone.parse(to, None), purpose="more")
        assert (explained.decision, explained.by) == ("refuse", "number")
    assert bench.relief.unlock(other, Actor("test"), "said so") >= 1
    assert start(bench, one, "more")


@TWO_WAYS
def test_wrong_codes_are_of_the_phone(bench: Bench, one: str, other: str) -> None:
    """Ten an hour, over both spellings."""
    for count, to in enumerate((one, other)):
        found = start(bench, to, f"purpose-{count}")
        for _ in range(5):
            bench.service.check(TENANT, found.id, wrong(bench.code(found.id)))
    with pytest.raises(RateLimited) as refused:
        start(bench, one, "third")
    assert refused.value.members["limit"] == "number-wrong-codes"


@TWO_WAYS
def test_a_stop_in_one_spelling_is_heeded_in_the_other(bench: Bench, one: str, other: str) -> None:
    """By a text, by a caller's word, by a vendor's; and START in the other spelling takes it back."""
    consents = consents_of(bench)
    consents.heard(InboundText("t1", one, "43721", "STOP"), "fake-a", [TENANT])
    for to in (one, other):
        with pytest.raises(OptedOut):
            start(bench, to)
        assert consents.look(TENANT, to).state == "out"
        assert bench.explain.explain(TENANT, phone.parse(to, None)).by == "opted-out"
    consents.heard(InboundText("t2", other, "43721", "START"), "fake-a", [TENANT])
    assert start(bench, one)
    consents.record(TENANT, other, "out", "web-form", Actor("api:crm"))
    with pytest.raises(OptedOut):
        start(bench, one, "payment")


@TWO_WAYS
def test_what_a_list_names_is_the_phone(store: Store, one: str, other: str) -> None:
    """A number on the block-list, and a prefix of either spelling, refuse both."""
    named = phone.parse(one, None).e164
    for entry in (f'numbers = ["{named}"]', f'prefixes = ["{one[:-2]}"]', f'prefixes = ["{other[:-2]}"]'):
        bench = make_bench(
            store, default_text().replace("[block]\nnumbers = []\nprefixes = []", f"[block]\n{entry}", 1)
        )
        for to in (one, other):
            with pytest.raises(Blocked):
                start(bench, to)


@TWO_WAYS
def test_a_person_is_exported_and_erased_under_either_spelling(bench: Bench, one: str, other: str) -> None:
    """What was said and started under one is held, shown and forgotten under the other."""
    people = DataSubjects(bench.store, bench.tagger, bench.clock)
    consents_of(bench).record(TENANT, one, "in", "web-form", Actor("api:crm"))
    found = start(bench, one)
    held = people.export(TENANT, other)
    assert [each["id"] for each in held["verifications"]] == [found.id]
    assert held["consent"]["state"] == "in"
    assert people.erase(TENANT, other, Actor("test"), "asked") == 1
    assert consents_of(bench).look(TENANT, one).trail == ()


@TWO_WAYS
def test_the_inbox_is_of_the_phone(bench: Bench, one: str, other: str) -> None:
    """A message to one spelling is found under the other."""
    inbox = Inbox(bench.store, bench.keys, bench.tagger)
    sent = InboxMessage("", one, "Verify", "text", "123456", "sms", "GSM-7", 1, "ve_" + "0" * 32, 0)
    inbox.put(TENANT, sent, 1, consulted=True)
    assert [each.to for each in inbox.messages(TENANT, other, None, 0)] == [one]


@TWO_WAYS
def test_the_fake_provider_behaves_to_the_phone(bench: Bench, one: str, other: str) -> None:
    """A rule for one spelling, or for what it begins with, acts on a message to the other, and on no other phone."""
    inbox = Inbox(bench.store, bench.keys, bench.tagger)
    for to in (one, f"{one[:-4]}*", one[:3] + "*"):
        rule = Rule(to=to, do="reject")
        assert inbox.rule_for((rule,), "fake", other) == rule
        assert inbox.rule_for((rule,), "fake", "+14155550123") is None
    assert inbox.rule_for((Rule(to=one, do="reject"),), "fake", other[:-1] + "0") is None


@TWO_WAYS
def test_a_start_is_retried_in_either_spelling(bench: Bench, one: str, other: str) -> None:
    """One `Idempotency-Key` and the same phone: what the first start was answered, and no second message."""
    first = bench.service.start(TENANT, a_start(one), "key")
    assert bench.service.start(TENANT, a_start(other), "key").id == first.id
    with pytest.raises(IdempotencyMismatch):
        bench.service.start(TENANT, a_start("+14155550123"), "key")
    free = phone.parse("+548001234567", None)  # With a 9 it is no number.
    assert recipient.known(free) == free


@pytest.mark.parametrize(
    ("to", "channel", "dialled"),
    [
        ("+541123456789", "sms", "+5491123456789"),
        ("+541123456789", "whatsapp", "+5491123456789"),
        ("+541123456789", "voice", "+541123456789"),
        ("+5491123456789", "voice", "+5491123456789"),
        ("+525512345678", "sms", "+525512345678"),
        ("+14155550123", "sms", "+14155550123"),
        ("ann@example.org", "email", "ann@example.org"),
    ],
)
def test_a_channel_is_given_the_spelling_that_it_wants(to: str, channel: str, dialled: str) -> None:
    """Texts in Argentina go to the mobile, with its 9; a call goes to the line that was asked for."""
    assert phone.dialled(to, channel) == dialled


def test_the_answer_has_the_number_as_it_was_read(bench: Bench) -> None:
    """E.164 as libphonenumber reads it; a spelling that is no number any more is answered as the number of today."""
    assert start(bench, "+54 11 2345-6789").to == "+541123456789"
    assert start(bench, "+52 1 55 1234 5678").to == "+525512345678"
    assert start(bench, "+55 (11) 8765-4321").to == "+5511987654321"


class Earlier(codes.Tagger):
    """Pseudonyms as versions made them that did not know that two spellings are one phone."""

    def number(self, to: str) -> str:
        return self.tag("number", to.lower())

    def former(self, _to: str) -> tuple[str, ...]:
        return ()


def opted_out_earlier(bench: Bench, secret: str, to: str) -> None:
    earlier = Consents(bench.store, bench.service.config, bench.keys, Earlier(secret), bench.clock)
    earlier.record(TENANT, to, "out", "web-form", Actor("api:crm"), "before")


def upgraded(store: Store, to: str) -> Bench:
    """A bench on a store where an earlier version has heard that a number opts out."""
    bench = make_bench(store)
    secret = codes.new_key()
    bench.tagger = codes.Tagger(secret)
    rules = bench.service.rules
    bench.service = type(bench.service)(
        config.load(None, None), rules, bench.keys, bench.tagger, store.verifications, bench.clock
    )
    opted_out_earlier(bench, secret, to)
    return bench


EARLIER = pytest.mark.parametrize("to", ["+541123456789", "+5491123456789", "+551177654321"])


@EARLIER
def test_an_opt_out_of_an_earlier_version_is_heeded(store: Store, to: str) -> None:
    """Under whichever spelling it was written down: starts are refused, `explain` says why, its trail is shown."""
    bench = upgraded(store, to)
    consents = consents_of(bench)
    for spelled in phone.spellings(to):
        with pytest.raises(OptedOut):
            start(bench, spelled)
        assert bench.explain.explain(TENANT, phone.parse(spelled, None)).by == "opted-out"
        found = consents.look(TENANT, spelled)
        assert (found.state, [entry.note for entry in found.trail]) == ("out", ["before"])
    assert DataSubjects(store, bench.tagger, bench.clock).export(TENANT, to)["consent"]["state"] == "out"


@EARLIER
@pytest.mark.parametrize("word", ["text", "record"])
def test_a_newer_word_takes_an_earlier_opt_out_back(store: Store, to: str, word: str) -> None:
    """START, or a caller's word, under the other spelling: starts pass, and the trail is whole."""
    bench = upgraded(store, to)
    consents = consents_of(bench)
    bench.clock.advance(1)
    other = phone.spellings(to)[0 if phone.spellings(to)[1] == to else 1]
    if word == "text":
        consents.heard(InboundText("t", other, "43721", "START"), "fake-a", [TENANT])
    else:
        consents.record(TENANT, other, "in", "web-form", Actor("api:crm"))
    assert start(bench, to)
    assert [entry.state for entry in consents.look(TENANT, to).trail] == ["out", "in"]


@EARLIER
def test_an_erasure_leaves_an_earlier_opt_out_in_force(store: Store, to: str) -> None:
    """As one bare word; its trail is gone."""
    bench = upgraded(store, to)
    DataSubjects(store, bench.tagger, bench.clock).erase(TENANT, to, Actor("test"), "asked")
    with pytest.raises(OptedOut):
        start(bench, to)
    assert consents_of(bench).look(TENANT, to) == ("out", ())


@pytest.mark.slow
def test_an_opt_out_of_an_earlier_version_is_heeded_on_a_cluster(spread: Store) -> None:
    """Where its pseudonym of then lies in another partition than that of now."""
    for last in range(6):
        to = f"+54112345678{last}"
        bench = upgraded(spread, to)
        for spelled in phone.spellings(to):
            with pytest.raises(OptedOut) as refused:
                start(bench, spelled)
            decision = bench.explain.decision(TENANT, refused.value.members["decision"])
            assert decision.by == "opted-out"
            assert bench.explain.explain(TENANT, phone.parse(spelled, None)).by == "opted-out"
        consents_of(bench).record(TENANT, to, "in", "web-form", Actor("api:crm"))
        assert start(bench, to)


@pytest.mark.parametrize("to", ["+5491123456789", "+541123456789", "+14155550123"])
def test_a_start_is_one_round_trip_for_any_phone(bench: Bench, to: str) -> None:
    """What an earlier version may have written is read by the same script."""
    trips = bench.store.link.round_trips
    start(bench, to)
    assert bench.store.link.round_trips - trips == 1


def test_every_pseudonym_of_a_number_is_made_in_one_place() -> None:
    """Nothing but `Tagger.number` and `Tagger.former` makes a tag of the kind `number`."""
    package = Path(__file__).parents[2] / "verify_service"
    makers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "tag"
        and node.args
        and ast.unparse(node.args[0]) == "'number'"
    }
    assert makers == {"codes.py"}
