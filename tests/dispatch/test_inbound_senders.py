"""Senders of texts, in any spelling that vendors use: a STOP finds its phone, and one that is nobody's is kept."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog

from tests.support.bench import Bench, ManualClock, a_start, make_bench
from tests.support.callbacks import SECRET, signed
from tests.support.contract import LocalClient
from tests.support.live import until
from tests.support.peers.smsc import smsc_at_work
from tests.support.smpp import Heard, bound
from verify_service import config, phone
from verify_service.consents import Consents
from verify_service.data_subjects import DataSubjects
from verify_service.errors import OptedOut
from verify_service.model import InboundText
from verify_service.providers.webhook import WebhookCallbacks
from verify_service.store import Store
from verify_service.telemetry import INBOUND

SHORT = "43721"
OPERATOR = f"""
[tenants.acme]
[providers.a]
kind = "fake"
[senders.short]
type = "short-code"
address = "{SHORT}"
countries = ["GB", "AR"]
[senders.long]
type = "long-code"
address = "+447400123456"
[senders.everywhere]
type = "short-code"
address = "55555"
[[routes]]
via = [{{ provider = "a", sender = "short" }}, {{ provider = "a", sender = "long" }}]
"""
PHONES = {
    "+14155550123": ["+14155550123", "14155550123", "0014155550123", "+0014155550123", "whatsapp:+14155550123"],
    "+447911123456": ["00447911123456", "whatsapp:447911123456", "tel:+44-7911-123456", "sms:+447911123456"],
    "+525512345678": ["+525512345678", "5215512345678", "+5215512345678", "whatsapp:+5215512345678", "005215512345678"],
    "+5511987654321": ["whatsapp:+551187654321", "551187654321", "+5511987654321", "WhatsApp:5511987654321"],
    "+5491123456789": [
        "+541123456789",
        "541123456789",
        "5491123456789",
        "+54 9 11 2345-6789",
    ],
}
SPELLINGS = [(to, spelled) for to, all_of in PHONES.items() for spelled in all_of]
NOBODY = [
    "43721",
    "Acme",
    "",
    "anonymous",
    "whatsapp:",
    "+",
    "000",
    "12",
    "0" * 20,
    "9" * 40,
    "+1415555012x",
    "a@b.example",
]


@pytest.fixture(autouse=True)
def none_unread(store: Store) -> None:
    """Each test has its own keys, under which the lines of others cannot be read."""
    store.link.command(0, ["DEL", "vs:{0}:unread"])


def ledger(bench: Bench, folder: Path) -> Consents:
    file = folder / "verify.toml"
    file.write_text(OPERATOR)
    return Consents(bench.store, config.load(file, None), bench.keys, bench.tagger, bench.clock)


@pytest.mark.parametrize(("to", "spelled"), SPELLINGS)
def test_a_stop_finds_its_phone(bench: Bench, tmp_path: Path, to: str, spelled: str) -> None:
    """However the vendor writes the sender, the next start is refused, and START by another spelling takes it back."""
    consents = ledger(bench, tmp_path)
    consents.heard(InboundText("1", spelled, SHORT, "STOP"), "a")
    with pytest.raises(OptedOut):
        bench.service.start("default", a_start(to))
    consents.heard(InboundText("2", PHONES[to][0], SHORT, "START"), "a")
    assert bench.service.start("default", a_start(to)).status == "pending"
    assert consents.unread() == []


@pytest.mark.parametrize(
    ("spelled", "to", "national", "found"),
    [
        ("07911123456", SHORT, True, "+447911123456"),
        ("7911123456", SHORT, True, "+447911123456"),
        ("07911123456", "+447400123456", True, "+447911123456"),
        ("447400999888", "+447400123456", False, "+447400999888"),
        ("+07911123456", SHORT, False, "+447911123456"),
        ("07911123456", SHORT, False, "+447911123456"),
        ("01115 2345 6789".replace("01115", "011 15"), SHORT, True, "+5491123456789"),
        ("4155550123", "+14155550100", True, "+14155550123"),
        ("2125550123", "55555", True, None),
        ("2125550123", "not ours", True, None),
    ],
)
def test_a_national_sender_is_of_the_country_that_was_written_to(
    bench: Bench, tmp_path: Path, spelled: str, to: str, national: bool, found: str | None
) -> None:
    """That of the number, or the one of the sender's countries where it is somebody's; where no country is known,
    nobody is guessed at."""
    consents = ledger(bench, tmp_path)
    consents.heard(InboundText("1", spelled, to, "STOP", national=national), "a")
    if found:
        assert consents.look("default", found).state == "out"
    assert len(consents.unread()) == (0 if found else 1)


def test_a_national_number_of_two_countries_is_nobodys() -> None:
    """Where it would be one phone in one of the countries and another in the other."""
    assert phone.sender("2125550123", ["US", "GB"], national=True) == phone.parse("+12125550123", None)
    assert phone.sender("612345678", ["ES", "FR"], national=True) is None
    assert phone.sender("612345678", ["ES"], national=True) == phone.parse("+34612345678", None)


@pytest.mark.parametrize("spelled", NOBODY)
@pytest.mark.parametrize("body", ["STOP", "start", "HELP", "don't stop"])
def test_a_keyword_of_nobody_is_logged_counted_and_kept(store: Store, tmp_path: Path, spelled: str, body: str) -> None:
    """One warning without the sender, one count, one sealed line; told twice, it is kept once."""
    bench = make_bench(store)
    consents = ledger(bench, tmp_path)
    counter = INBOUND.labels("a", "unread")
    before = counter._value.get()
    with structlog.testing.capture_logs() as logged:
        for _ in range(2):
            consents.heard(InboundText("1", spelled, SHORT, body), "a")
    [kept] = consents.unread()
    assert kept.at == bench.clock.now()
    assert (kept.from_, kept.to, kept.words, kept.provider) == (spelled, SHORT, body, "a")
    assert counter._value.get() - before == 2
    [line] = logged
    assert (line["log_level"], line["provider"], line["keyword"]) == ("warning", "a", kept.keyword)
    assert line["sender"].startswith(f"{len(spelled)} characters, ")
    [sealed] = store.consents.unreads()
    assert body.encode() not in sealed


def test_what_is_no_keyword_of_nobody_is_not_kept(bench: Bench, tmp_path: Path) -> None:
    """A carrier's own texts are no opt-outs."""
    before = bench.store.consents.unreads()
    ledger(bench, tmp_path).heard(InboundText("1", "Carrier", SHORT, "Your balance is low"), "a")
    assert bench.store.consents.unreads() == before


def test_the_newest_thousand_are_kept_for_90_days(bench: Bench, tmp_path: Path) -> None:
    """Whatever is sent to us: the list has an end, and a time to live."""
    consents = ledger(bench, tmp_path)
    for count in range(1_005):
        consents.heard(InboundText(str(count), "Acme", SHORT, "STOP"), "a")
    assert len(bench.store.consents.unreads()) == 1_000
    assert 0 < bench.store.link.command(0, ["PTTL", "vs:{0}:unread"]) <= 7_776_000_000


@pytest.mark.parametrize(
    ("ton", "source", "from_", "national"),
    [
        (1, b"14155550123", "+14155550123", False),
        (0, b"0014155550123", "+0014155550123", False),
        (2, b"4155550123", "4155550123", True),
        (5, b"Acme", "Acme", False),
        (3, b"43721", "43721", False),
    ],
)
def test_an_smsc_says_what_type_of_number_it_is(ton: int, source: bytes, from_: str, national: bool) -> None:
    """TON 1 is international, 2 national: SMPP 3.4, 5.2.5."""
    heard = Heard()
    with smsc_at_work() as smsc, bound(smsc, heard):
        until(lambda: smsc.binds)
        smsc.deliver(b"STOP", ton=ton, source=source)
        [text] = heard.texts
    assert (text.from_, text.national, text.body) == (from_, national, "STOP")


@pytest.mark.parametrize("spelled", ["0014155550171", "14155550171", "whatsapp:+14155550171", "+1 (415) 555-0171"])
def test_a_signed_call_with_any_spelling_opts_out(store: Store, spelled: str) -> None:
    """Over HTTP, as a vendor tells it."""
    client = LocalClient(store, ManualClock(), callbacks={"hook": WebhookCallbacks(SECRET)})
    body, headers = signed([{"id": "in-1", "from": spelled, "to": SHORT, "body": "STOP"}])
    path = "/providers/hook/inbound"
    assert client.app.test_client().post(path, data=body, headers=headers).status_code == 200
    assert client.refused("POST", "/start", {"to": "+14155550171"})["type"] == "/problems/opted-out"


def test_an_operator_sees_what_is_nobodys(bench: Bench, tmp_path: Path) -> None:
    """`person unread` prints each as a line: when, by whom, from and to what, which word."""
    ledger(bench, tmp_path).heard(InboundText("1", "Acme", SHORT, "STOP"), "a")
    found: list[Any] = DataSubjects(bench.store, bench.tagger, bench.clock).unread()
    shown = json.loads(msgspec.json.encode(found[-1]))
    assert (shown["from"], shown["to"], shown["keyword"], shown["words"]) == ("Acme", SHORT, "stop", "STOP")
