"""STOP, START and HELP from a phone: whom they opt out, what the record shows, and what is answered how often."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.bench import Bench, a_start, make_bench
from tests.support.dispatching import Scripted, raising
from tests.support.live import everything, patient
from verify_service import config
from verify_service.consents import Consents, TrailEntry, shown
from verify_service.data_subjects import DataSubjects
from verify_service.dispatch.sending import OptOutRecorder
from verify_service.duration import rfc3339
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import OptedOut, Rejected
from verify_service.model import Actor, InboundText, Message
from verify_service.store import Store
from verify_service.store.layouts import Content

pytestmark = pytest.mark.slow

TO = "+14155550123"
SHORT = "43721"
OPERATOR = f"""
[tenants.acme]
[tenants.bolt]
[tenants.cork]
[providers.a]
kind = "fake"
[providers.b]
kind = "fake"
[senders.short]
type = "short-code"
address = "{SHORT}"
tenants = ["acme", "bolt"]
[senders.long]
type = "long-code"
address = "+1 (415) 555-0100"
[senders.silent]
type = "toll-free"
address = "+18885550100"
replies = false
[senders.agent]
type = "rcs"
address = "acme_k3x_agent"
[senders.chat]
type = "whatsapp"
address = "+14155550199"
[[routes]]
via = [{{ provider = "a", sender = "short" }}, {{ provider = "b", sender = "long" }}]
"""


class Phone:
    """A person's phone, and the ledger that hears it."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        file = folder / "verify.toml"
        file.write_text(OPERATOR)
        self.bench = bench
        self.config = config.load(file, None)
        self.consents = Consents(bench.store, self.config, bench.keys, bench.tagger, bench.clock)
        self.count = 0

    def writes(self, body: str, to: str = SHORT, provider: str = "a", **more: Any) -> None:
        self.count += 1
        text = InboundText(id=more.pop("id", f"t{self.count}"), from_=more.pop("from_", TO), to=to, body=body, **more)
        self.consents.heard(text, provider)

    def states(self) -> dict[str, str | None]:
        return {tenant: self.consents.look(tenant, TO).state for tenant in self.config.tenants}

    def answers(self) -> list[dict[str, str]]:
        """What waits in the outbox, oldest first."""
        found: Any = self.bench.store.link.client().xrange("vs:{0}:outbox")
        entries = [{name.decode(): value for name, value in fields.items()} for _, fields in found]
        return [
            {name: value.decode() for name, value in entry.items() if name not in ("to", "message")}
            | {
                "country": Content.open(entry["message"]).country,
                "to": self.bench.keys.decrypt(entry["to"], _sealed_for(entry)).decode(),
            }
            for entry in entries
        ]


def _sealed_for(entry: dict[str, bytes]) -> str:
    return f"to|{entry['tenant'].decode()}|{Content.open(entry['message']).number}"


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Phone]:
    """A phone, on a store of its own."""
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        store = Store(patient(server.url))
        store.prepare()
        yield Phone(make_bench(store), tmp_path)


def test_stop_refuses_every_start_of_the_senders_tenants_and_start_admits_them_again(person: Phone) -> None:
    """STOP to a sender opts out of the tenants that it serves and no other; START to it opts in again."""
    person.writes("STOP")
    assert person.states() == {"acme": "out", "bolt": "out", "cork": None}
    for tenant in ("acme", "bolt"):
        with pytest.raises(OptedOut):
            person.bench.service.start(tenant, a_start(TO))
    assert person.bench.service.start("cork", a_start(TO)).status == "pending"
    person.writes("start")
    assert person.states() == {"acme": "in", "bolt": "in", "cork": None}
    assert person.bench.service.start("acme", a_start(TO)).status == "pending"


def test_a_sender_that_names_no_tenants_serves_all(person: Phone) -> None:
    """Those in the file, and the one that VERIFY_API_KEY speaks for, which is in no file."""
    person.writes("Stop.", to="14155550100", provider="b")
    assert set(person.states().values()) == {"out"}
    person.writes("UNSTOP", to="14155550100", provider="b")
    assert set(person.states().values()) == {"in"}
    assert person.consents.look("default", TO).state == "in"


def test_start_to_an_unknown_address_takes_back_what_stop_to_it_did(person: Phone) -> None:
    """STOP to an address that is not in the file is for all: better one message too few than one that nobody wants.
    START to it admits nobody else: not who was stopped at a sender, at another such address, or by a caller's word."""
    person.writes("START", to="+14155550177")
    assert set(person.states().values()) == {None}
    person.writes("STOP")
    person.writes("STOP", to="+14155550177")
    assert set(person.states().values()) == {"out"}
    person.writes("START", to="+14155550188")
    assert set(person.states().values()) == {"out"}
    person.writes("START", to="1 (415) 555-0177")
    assert person.states() == {"acme": "out", "bolt": "out", "cork": "in"}
    person.consents.record("cork", TO, "out", "crm", Actor("api:crm"))
    person.writes("START", to="+14155550177")
    assert person.states()["cork"] == "out"
    person.writes("START")
    assert person.states() == {"acme": "in", "bolt": "in", "cork": "out"}


def test_the_trail_says_what_was_said_when_where_and_by_whom_it_came(person: Phone) -> None:
    """All of it is in the record, oldest first, with a caller's entry between a person's."""
    begin = person.bench.clock.now()
    person.writes(" stop ")
    person.bench.clock.advance(60)
    person.consents.record("acme", TO, "in", "web-form", Actor("api:crm"), "asked for codes again")
    person.bench.clock.advance(60)
    person.writes("STOPALL", to="+14155550199", provider="b")
    consent = person.consents.look("acme", TO)
    assert consent.state == "out"
    assert consent.trail == (
        TrailEntry(at=begin, state="out", source="sms", provider="a", sender=SHORT, words=" stop "),
        TrailEntry(at=begin + 60_000, state="in", source="web-form", note="asked for codes again"),
        TrailEntry(
            at=begin + 120_000, state="out", source="whatsapp", provider="b", sender="+14155550199", words="STOPALL"
        ),
    )


def test_a_text_to_an_rcs_agent_is_a_persons_own_word(person: Phone) -> None:
    """The record says by which channel it came; an agent is known by its name."""
    person.writes("STOP", to="acme_k3x_agent")
    consent = person.consents.look("acme", TO)
    (entry,) = consent.trail
    assert (consent.state, entry.source, entry.sender) == ("out", "rcs", "acme_k3x_agent")


def test_a_text_that_the_vendor_tells_twice_counts_once(person: Phone) -> None:
    """A repeated STOP does not undo the START that came after it; another vendor's text of the same id is another."""
    person.writes("STOP", id="m1")
    person.writes("START", id="m2")
    person.writes("STOP", id="m1")
    assert person.states()["acme"] == "in"
    assert [entry.state for entry in person.consents.look("acme", TO).trail] == ["out", "in"]
    person.writes("STOP", id="m1", provider="b")
    assert person.states()["acme"] == "out"


def test_what_was_said_before_is_no_entry(person: Phone) -> None:
    """A person who repeats themselves does not fill their trail."""
    for _ in range(5):
        person.writes("STOP")
    assert len(person.consents.look("acme", TO).trail) == 1


@pytest.mark.parametrize("body", ["STOP it now please", "", "492816", "nonstop", "HELP"])
def test_other_words_change_nothing(person: Phone, body: str) -> None:
    """Only a keyword alone is one; HELP is answered and changes nothing."""
    person.writes(body)
    assert set(person.states().values()) == {None}


def test_a_polite_stop_is_one_and_an_unclear_text_stands_in_the_trail(person: Phone) -> None:
    """Whatever holds a stop and is none changes nothing, is answered by nobody, and is seen with the person's words;
    a vendor's repetition of it counts once, and no number of them crowds out what changed the consent."""
    begin = person.bench.clock.now()
    person.writes("Stop. Thank you", to="+14155550100", provider="b")
    person.bench.clock.advance(60)
    for _ in range(2):
        person.writes("don't stop", id="u1", to="+14155550100", provider="b")
    consent = person.consents.look("cork", TO)
    told = TrailEntry(at=begin, state="out", source="sms", provider="b", sender="+14155550100", words="Stop. Thank you")
    unclear = replace(told, at=begin + 60_000, state="unclear", words="don't stop")
    assert (consent.state, consent.trail) == ("out", (told, unclear))
    assert (shown(TO, consent)["source"], shown(TO, consent)["at"]) == ("sms", rfc3339(begin))
    assert len(person.answers()) == 1
    for _ in range(30):
        person.writes("nonstop", to="+14155550100", provider="b")
    consent = person.consents.look("cork", TO)
    assert (consent.state, consent.newest, len(consent.trail)) == ("out", told, 21)
    person.writes("START", to="+14155550100", provider="b")
    assert person.consents.look("cork", TO).state == "in"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("Stop. 123 456 is not mine", "Stop. ### ### is not mine"),
        ("don't stop, call +1 415 555 0123", "don't stop, call +# ### ### ####"),
        ("nonstop \u0661\u0662\u0663\u0664", "nonstop ####"),
        ("STOP 2 me now", "STOP 2 me now"),
        ("لغو11", "لغو11"),
    ],
)
def test_a_trail_has_no_code_and_no_number(person: Phone, body: str, words: str) -> None:
    """What a person writes beside a keyword may quote the code that they got, or anybody's number."""
    person.writes(body)
    [entry] = person.consents.look("acme", TO).trail
    assert entry.words == words


def test_erasure_takes_what_was_unclear(person: Phone) -> None:
    """It is the person's own words, so it goes with the trail; until then no store shows it in clear."""
    person.writes("do not stop this")
    assert b"do not stop" not in everything(person.bench.store)
    people = DataSubjects(person.bench.store, person.bench.tagger, person.bench.clock)
    [entry] = people.export("acme", TO)["consent"]["trail"]
    assert (entry["state"], entry["words"]) == ("unclear", "do not stop this")
    people.erase("acme", TO, Actor("test"), "asked")
    assert person.consents.look("acme", TO) == (None, ())


@pytest.mark.parametrize("sender", [SHORT, "Acme", "", "+1", "+99999999999"])
def test_what_is_no_phone_is_not_heard(person: Phone, sender: str) -> None:
    """A short code, a name or an impossible number is nobody that a message was ever sent to, and gets no answer."""
    person.writes("STOP", from_=sender)
    assert set(person.states().values()) == {None}
    assert person.answers() == []


def test_each_kind_is_answered_once_a_day(person: Phone) -> None:
    """STOP, START and HELP are answered by the way they came, each once a day and sender: no two robots converse."""
    for body in ("STOP", "HELP", "START", "STOP", "INFO", "HELP", "YES"):
        person.writes(body)
    answers = person.answers()
    assert [answer["text"] for answer in answers] == ["stop", "help", "start"]
    for answer in answers:
        assert re.fullmatch("re_[0-9a-f]{32}", answer["id"])
        assert (answer["kind"], answer["via"], answer["to"]) == ("reply", "a/short", TO)
        assert (answer["tenant"], answer["channel"], answer["country"]) == ("acme", "sms", "US")
        assert int(answer["expires_at"]) == person.bench.clock.now() + 600_000
        assert "nonce" not in answer


def test_each_sender_answers_for_itself(person: Phone) -> None:
    """Who writes STOP to a second sender of ours on the same day is told there, too, that it was heard."""
    for _ in range(2):
        person.writes("STOP")
        person.writes("STOP", to="+14155550100", provider="b")
    assert [(answer["text"], answer["via"]) for answer in person.answers()] == [("stop", "a/short"), ("stop", "b/long")]


@pytest.mark.parametrize(
    ("to", "more"),
    [("+18885550100", {}), (SHORT, {"answered": True}), ("who knows", {})],
    ids=["the sender does not reply", "the vendor has replied", "no sender of ours"],
)
def test_no_answer_where_somebody_else_gives_it_or_nobody_can(person: Phone, to: str, more: dict[str, Any]) -> None:
    """A sender with `replies = false`, a vendor that has answered, an address that is not in the file."""
    person.writes("STOP", to=to, **more)
    assert person.states()["acme"] == "out"
    assert person.answers() == []


def test_a_vendors_own_opt_out_becomes_ours(person: Phone) -> None:
    """What a vendor refuses as opted out is refused here from then on; told again, it is no news."""
    tag = person.bench.tagger.number(TO)
    for _ in range(2):
        person.consents.opted_out("acme", tag, "a", "21610 opted out")
    consent = person.consents.look("acme", TO)
    assert consent.state == "out"
    assert [(e.source, e.provider, e.note) for e in consent.trail] == [("carrier", "a", "21610 opted out")]
    with pytest.raises(OptedOut):
        person.bench.service.start("acme", a_start(TO))


def test_a_vendor_that_refuses_the_opted_out_is_heeded(person: Phone) -> None:
    """A send that the vendor refuses so changes the tenant's consent and stays a refusal; another refusal does not."""
    message = Message(
        id="m",
        verification_id="v",
        tenant="acme",
        to=TO,
        sender=SHORT,
        channel="sms",
        body="b",
        code="123456",
        encoding="GSM-7",
        segments=1,
        expires_at=1,
    )
    for opted_out, state in ((False, None), (True, "out")):
        provider = Scripted(raising(Rejected("no", opted_out=opted_out)))
        with pytest.raises(Rejected):
            OptOutRecorder(provider, "a", person.consents, person.bench.tagger).send(message)
        assert person.consents.look("acme", TO).state == state


def test_a_trail_keeps_its_newest_thousand(person: Phone) -> None:
    """Whoever writes in a loop does not fill the store."""
    for _ in range(502):
        person.consents.record("acme", TO, "out", "api", Actor("api:crm"))
        person.consents.record("acme", TO, "in", "api", Actor("api:crm"))
    assert len(person.consents.look("acme", TO).trail) == 1000


def test_nothing_that_a_person_wrote_is_in_clear(person: Phone) -> None:
    """Neither number nor words are readable in the store, under no key of it."""
    person.writes("STOPALL")
    person.consents.record("acme", TO, "out", "call-centre", Actor("api:crm"), "asked on the phone")
    held = everything(person.bench.store)
    for secret in (TO, TO[1:], "STOPALL", "asked on the phone"):
        assert secret.encode() not in held


def test_a_change_of_consent_is_an_event(person: Phone) -> None:
    """With tenant, state and source, under the number's pseudonym."""
    person.writes("STOP")
    events = [event for event in person.bench.store.events.read(0) if event["event"] == "consent"]
    tag = person.bench.tagger.number(TO)
    assert [(e["tenant"], e["number"], e["state"], e["source"]) for e in events] == [
        ("acme", tag, "out", "sms"),
        ("bolt", tag, "out", "sms"),
    ]


def test_on_a_cluster_a_stop_counts_for_every_tenant(spread: Store, tmp_path: Path) -> None:
    """All tenants' consents of a number lie in one partition, so one step changes them, wherever that is."""
    person = Phone(make_bench(spread), tmp_path)
    for last in range(5):
        number = f"+1415555020{last}"
        person.writes("STOP", from_=number)
        for tenant in ("acme", "bolt"):
            assert person.consents.look(tenant, number).state == "out"
            with pytest.raises(OptedOut):
                person.bench.service.start(tenant, a_start(number))
