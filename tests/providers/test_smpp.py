"""The SMPP adapter against an SMSC on a real socket: the bind, the submits, how answers are judged, what it hears."""

import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.live import until
from tests.support.peers.smsc import (
    BIND,
    DELIVER,
    DELIVER_RESP,
    ENQUIRE,
    ENQUIRE_RESP,
    NACK,
    SUBMIT,
    SUBMIT_RESP,
    UNBIND,
    UNBIND_RESP,
    Smsc,
    smsc_at_work,
    tlv,
)
from tests.support.smpp import CLOCK, MESSAGE, Heard, bound
from tests.support.vendor import self_signed
from verify_service.adapters import AdapterContext, find
from verify_service.errors import ConfigError, DeliveryError, Rejected, Unavailable, Uncertain
from verify_service.model import Message, Receipt
from verify_service.providers.smpp import SmppProvider, SmppSettings

pytestmark = pytest.mark.slow

LONG = "\u20ac" * 90 + "@" * 10  # 190 septets, all but ten of them in pairs
THROTTLED, QUEUE_FULL, BAD_NUMBER, SYSTEM_ERROR = 0x58, 0x14, 0x0B, 0x08


@pytest.fixture
def smsc() -> Iterator[Smsc]:
    with smsc_at_work() as made:
        yield made


def with_(**changes: Any) -> Message:
    return msgspec.structs.replace(MESSAGE, **changes)


def test_a_message_is_submitted_once_over_a_transceiver_bind(smsc: Smsc) -> None:
    """The bind carries the account, the submit the message, a receipt is asked for, and the SMSC's id is the send's."""
    with bound(smsc, system_type="otp") as provider:
        assert provider.send(MESSAGE) == Receipt(provider_id="m1", status="accepted")
    assert smsc.binds == [("acme", "s3cret", "otp")]
    [submit] = smsc.submits
    assert (submit.source, submit.to) == ((3, 0, "43721"), (1, 1, "14155550123"))
    assert (submit.coding, submit.text, submit.esm_class) == (0, b"123456 is your Verify code.", 0)
    assert (submit.registered, submit.validity) == (1, "000000001000000R")


def test_it_leaves_with_an_unbind(smsc: Smsc) -> None:
    """Who closes says so to the SMSC, and no thread is left."""
    with bound(smsc) as provider:
        provider.send(MESSAGE)
    assert [command for command, _, _ in smsc.seen] == [BIND, SUBMIT, UNBIND]
    assert not [thread for thread in threading.enumerate() if thread.name == "smpp"]


@pytest.mark.parametrize(
    ("sender", "wire"),
    [("43721", (3, 0, "43721")), ("+14155550100", (1, 1, "14155550100")), ("Acme", (5, 0, "Acme"))],
    ids=["short-code", "long-code", "alphanumeric"],
)
def test_a_sender_goes_with_its_type_of_number(smsc: Smsc, sender: str, wire: tuple[int, int, str]) -> None:
    """A short code, a number and letters are told apart, as the SMSC needs them to be."""
    with bound(smsc) as provider:
        provider.send(with_(sender=sender))
    assert smsc.submits[0].source == wire


def test_an_operator_can_set_the_type_of_number(smsc: Smsc) -> None:
    """Aggregators have their own ideas of it."""
    with bound(smsc, source_ton=0, source_npi=1) as provider:
        provider.send(MESSAGE)
    assert smsc.submits[0].source == (0, 1, "43721")


@pytest.mark.parametrize(
    ("alphabet", "body", "coding", "octets"),
    [
        ("gsm-7", "@£_€[§`"[:6], 0, b"\x00\x01\x11\x1be\x1b<\x5f"),
        ("gsm-7", "код 1", 8, "код 1".encode("utf-16-be")),
        ("gsm-7", "`", 8, b"\x00`"),
        ("latin-1", "@£_[§", 0, b"@\xa3_[\xa7"),
        ("latin-1", "€", 8, b"\x20\xac"),
    ],
)
def test_each_text_goes_in_the_alphabet_that_has_it(
    smsc: Smsc, alphabet: str, body: str, coding: int, octets: bytes
) -> None:
    """GSM-7 unpacked or Latin-1 as data_coding 0, as the SMSC takes it; UCS-2 as 8 for all else."""
    with bound(smsc, alphabet=alphabet) as provider:
        provider.send(with_(body=body))
    assert (smsc.submits[0].coding, smsc.submits[0].text) == (coding, octets)


@pytest.mark.parametrize(
    ("body", "rooms"),
    [("a" * 160, [160]), ("a" * 161, [153, 8]), (LONG, [152, 38]), ("ж" * 71, [134, 8]), ("a" * 66 + "😀" * 3, None)],
)
def test_a_long_text_is_cut_between_characters(smsc: Smsc, body: str, rooms: list[int] | None) -> None:
    """160 septets or 70 code units alone, 153 or 67 in a segment; no escape and no surrogate pair is cut in two."""
    with bound(smsc) as provider:
        provider.send(with_(body=body))
    headers = [submit.text[:6] if submit.esm_class & 0x40 else b"" for submit in smsc.submits]
    texts = [submit.text[len(header) :] for submit, header in zip(smsc.submits, headers, strict=True)]
    total = len(texts)
    if total > 1:
        reference = headers[0][3]
        assert headers == [bytes([5, 0, 3, reference, total, number]) for number in range(1, total + 1)]
    if rooms is not None:
        assert list(map(len, texts)) == rooms
    if smsc.submits[0].coding == 8:
        assert "".join(text.decode("utf-16-be") for text in texts) == body
    else:
        assert not [text for text in texts if text.endswith(b"\x1b")]
    assert [submit.registered for submit in smsc.submits] == [0] * (total - 1) + [1]


def test_segments_can_be_told_by_optional_parameters(smsc: Smsc) -> None:
    """`long_messages = "sar"` for an SMSC that writes the header itself; the last segment's id is the message's."""
    ids = iter(["m1", "m2"])
    smsc.answer = lambda _: (0, next(ids))
    with bound(smsc, long_messages="sar") as provider:
        assert provider.send(with_(body="a" * 161)).provider_id == "m2"
    first, second = smsc.submits
    assert (first.esm_class, first.tlvs[0x020E], first.tlvs[0x020F]) == (0, b"\x02", b"\x01")
    assert (second.tlvs[0x020E], second.tlvs[0x020F]) == (b"\x02", b"\x02")
    assert first.tlvs[0x020C] == second.tlvs[0x020C]


@pytest.mark.parametrize(
    ("status", "judgement", "reason"),
    [
        (BAD_NUMBER, Rejected, "ESME_RINVDSTADR"),
        (THROTTLED, Unavailable, "ESME_RTHROTTLED"),
        (QUEUE_FULL, Unavailable, "ESME_RMSGQFUL"),
        (0x0A, Unavailable, "ESME_RINVSRCADR"),
        (SYSTEM_ERROR, Uncertain, "ESME_RSYSERR"),
        (0x0401, Unavailable, "0x00000401"),
    ],
)
def test_each_status_is_judged(smsc: Smsc, status: int, judgement: type[DeliveryError], reason: str) -> None:
    """What is wrong with the number rejects it; what the SMSC did not take may go elsewhere."""
    smsc.answer = lambda _: (status, "")
    with bound(smsc) as provider, pytest.raises(judgement) as raised:
        provider.send(MESSAGE)
    assert (type(raised.value), raised.value.reason) == (judgement, reason)


def test_a_message_of_which_a_part_was_taken_is_uncertain(smsc: Smsc) -> None:
    """The first segment was accepted, the second was throttled."""
    statuses = iter([0, THROTTLED])
    smsc.answer = lambda _: (next(statuses), "m1")
    with bound(smsc) as provider, pytest.raises(Uncertain) as raised:
        provider.send(with_(body="a" * 161))
    assert raised.value.reason == "ESME_RTHROTTLED"


def test_a_nack_is_a_refusal(smsc: Smsc) -> None:
    """An SMSC that could not read the submit says so without a submit_sm_resp."""

    def nack(_: object) -> None:
        smsc.write(NACK, 0x03, smsc.seen[-1][2])

    smsc.answer = nack
    with bound(smsc) as provider, pytest.raises(Unavailable) as raised:
        provider.send(MESSAGE)
    assert raised.value.reason == "ESME_RINVCMDID"


def test_silence_after_a_submit_is_uncertain(smsc: Smsc) -> None:
    """The SMSC has the message and says nothing."""
    smsc.answer = lambda _: None
    with bound(smsc, timeout="1 second") as provider, pytest.raises(Uncertain) as raised:
        provider.send(MESSAGE)
    assert raised.value.reason == "no answer in time"


def test_a_bind_that_breaks_after_a_submit_is_uncertain_and_made_anew(smsc: Smsc) -> None:
    """Who waited for an answer is told at once; a later message goes over the next bind."""
    smsc.answer = lambda _: smsc.hang_up()
    with bound(smsc, timeout="20 seconds") as provider:
        began = time.monotonic()
        with pytest.raises(Uncertain) as raised:
            provider.send(MESSAGE)
        assert raised.value.reason == "the bind broke"
        assert time.monotonic() - began < 20
        smsc.answer = lambda _: (0, "m2")
        until(lambda: len(smsc.binds) == 2)
        until(lambda: _sent(provider) == "m2")
    assert len(smsc.submits) >= 2


def test_while_there_is_no_bind_a_message_goes_elsewhere_at_once(smsc: Smsc) -> None:
    """A refused bind is said with the SMSC's own word, and asked for again while messages are not kept waiting."""
    smsc.bind_status = 0x0E
    with bound(smsc, timeout="20 seconds") as provider:
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            provider.send(MESSAGE)
        assert raised.value.reason == "bind refused (ESME_RINVPASWD)"
        assert time.monotonic() - began < 20
        smsc.bind_status = 0
        until(lambda: _sent(provider) == "m1")


def test_nobody_listening_is_unavailable() -> None:
    """No connection, so nothing was sent."""
    with smsc_at_work() as gone:
        pass
    with bound(gone) as provider, pytest.raises(Unavailable) as raised:
        provider.send(MESSAGE)
    assert raised.value.reason == "no bind (ConnectionRefusedError)"


def test_submits_wait_for_room_in_the_window(smsc: Smsc) -> None:
    """With a window of 2 the SMSC never has more than 2 submits to answer, and all of 12 get through."""
    lock, most, now, answers = threading.Lock(), 0, 0, []

    def answer(_: object) -> None:
        nonlocal most, now
        sequence = smsc.seen[-1][2]
        with lock:
            now += 1
            most = max(most, now)

        def later() -> None:
            nonlocal now
            with lock:
                now -= 1
                smsc.write(SUBMIT_RESP, 0, sequence, b"m%d\0" % sequence)

        answers.append(threading.Timer(0.03, later))
        answers[-1].start()

    smsc.answer = answer
    with bound(smsc, window=2) as provider, ThreadPoolExecutor(12) as senders:
        ids = list(senders.map(lambda _: _sent(provider), range(12)))
    assert (len(set(ids)), most) == (12, 2)


def test_a_full_window_is_unavailable(smsc: Smsc) -> None:
    """Who finds no room within the timeout has sent nothing."""
    smsc.answer = lambda _: None
    with bound(smsc, window=1, timeout="1 second") as provider, ThreadPoolExecutor(4) as senders:
        found: list[str] = []
        # On a busy machine four may come one after the other, and then each has found room.
        while "Unavailable" not in found:
            found += senders.map(lambda _: _kind(provider), range(4))
        assert set(found) <= {"Uncertain", "Unavailable"}
        until(lambda: len(smsc.submits) >= found.count("Uncertain"), "what was sent to have come")
    assert len(smsc.submits) == found.count("Uncertain")


def test_a_silent_bind_is_asked_after_and_made_anew(smsc: Smsc) -> None:
    """An SMSC that answers enquiries keeps its bind; one that is gone without a word loses it."""
    with bound(smsc, enquire_every="1 second", timeout="1 second"):
        until(lambda: [seen[0] for seen in smsc.seen].count(ENQUIRE) >= 2)
        assert len(smsc.binds) == 1
        smsc.answers_enquiries = False
        until(lambda: len(smsc.binds) == 2)


def test_the_smscs_own_enquiries_and_unbinds_are_answered(smsc: Smsc) -> None:
    """An SMSC that asks gets an answer; one that unbinds gets one too, and a new bind."""
    with bound(smsc):
        until(lambda: smsc.binds)
        smsc.write(ENQUIRE, 0, 41)
        smsc.write(UNBIND, 0, 42)
        until(lambda: len(smsc.binds) == 2)
    assert {(ENQUIRE_RESP, 0, 41), (UNBIND_RESP, 0, 42)} <= set(smsc.seen)


def test_bytes_that_are_no_pdu_cost_the_bind_and_nothing_else(smsc: Smsc) -> None:
    """Whatever a peer writes, the adapter binds anew and sends on."""
    with bound(smsc) as provider:
        until(lambda: smsc.binds)
        smsc.connections[-1].sendall(b"GET / HTTP/1.1\r\n\r\n")
        until(lambda: len(smsc.binds) == 2)
        until(lambda: _sent(provider) == "m1")


RECEIPT = b"id:%s sub:001 dlvrd:001 submit date:2611220100 done date:2611220101 stat:%s err:%s text:id:9 stat:EXPIRED"


@pytest.mark.parametrize(
    ("word", "error", "receipt"),
    [
        (b"DELIVRD", b"000", Receipt(provider_id="m1", status="delivered")),
        (b"UNDELIV", b"001", Receipt(provider_id="m1", status="failed", reason="UNDELIV 001", permanent=True)),
        (b"REJECTD", b"069", Receipt(provider_id="m1", status="failed", reason="REJECTD 069")),
        (b"REJECTD", b"078", Receipt(provider_id="m1", status="failed", reason="REJECTD 078", opted_out=True)),
        (b"EXPIRED", b"027", Receipt(provider_id="m1", status="failed", reason="EXPIRED 027")),
        (b"UNKNOWN", b"000", Receipt(provider_id="m1", status="failed", reason="UNKNOWN 000")),
        (b"DELIVERED", b"000", Receipt(provider_id="m1", status="delivered")),
        (b"delivrd", b"000", Receipt(provider_id="m1", status="delivered")),
        (b"FAILED", b"001", Receipt(provider_id="m1", status="failed", reason="FAILED 001", permanent=True)),
        (b"UNDELIVERABLE", b"5", Receipt(provider_id="m1", status="failed", reason="UNDELIVERABLE 5")),
        (b"REJECTED", b"5", Receipt(provider_id="m1", status="failed", reason="REJECTED 5")),
    ],
)
def test_a_receipt_in_words_is_read(smsc: Smsc, word: bytes, error: bytes, receipt: Receipt) -> None:
    """The words of appendix B, with the SMSC's error; `permanent_errors` are those that will never change, and
    `opted_out_errors` those that are the person's own wish."""
    heard = Heard()
    with bound(smsc, heard, permanent_errors=["001"], opted_out_errors=["078"]):
        until(lambda: smsc.binds)
        smsc.deliver(RECEIPT % (b"m1", word, error), esm_class=0x04)
    assert (heard.receipts, heard.texts) == ([receipt], [])


def test_what_is_on_its_way_is_no_receipt(smsc: Smsc) -> None:
    """Neither an intermediate word nor a receipt that names no message is told."""
    heard = Heard()
    with bound(smsc, heard):
        until(lambda: smsc.binds)
        for word in (b"ACCEPTD", b"ACKED", b"BUFFRED", b"ENROUTE", b"SCHEDULED"):
            smsc.deliver(RECEIPT % (b"m1", word, b"000"), esm_class=0x04)
        smsc.deliver(RECEIPT % (b"m1", b"ENROUTE", b"000"), esm_class=0x20)
    assert (heard.receipts, heard.texts, heard.strays) == ([], [], [])


def test_a_receipt_that_cannot_be_used_is_counted(smsc: Smsc) -> None:
    """A word that is not known, with the word where it is one; and a receipt without an id. Neither comes again."""
    heard = Heard()
    with bound(smsc, heard):
        until(lambda: smsc.binds)
        smsc.deliver(RECEIPT % (b"m1", b"VANISHED", b"000"), esm_class=0x04)
        smsc.deliver(RECEIPT % (b"m1", b"14155550123", b"000"), esm_class=0x04)
        smsc.deliver(b"nothing of use", esm_class=0x04)
        smsc.deliver(b"id: stat:DELIVRD err:000", esm_class=0x04)
    assert (heard.receipts, heard.texts) == ([], [])
    assert heard.strays == [
        ("word", "VANISHED"),
        ("word", "(no word)"),
        ("word", "(no word)"),
        ("nameless", "DELIVRD"),
    ]


@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le", "utf-16", "latin-1"])
@pytest.mark.parametrize("coding", [0, 1, 3, 8])
def test_a_receipt_is_read_in_any_coding(smsc: Smsc, codec: str, coding: int) -> None:
    """Some SMSCs send it as UCS-2, as the message was, and say so or not."""
    heard = Heard()
    with bound(smsc, heard):
        until(lambda: smsc.binds)
        smsc.deliver("id:m1 stat:UNDELIV err:069 text:id:9 stat:DELIVRD".encode(codec), esm_class=0x04, coding=coding)
    assert heard.receipts == [Receipt(provider_id="m1", status="failed", reason="UNDELIV 069")]


def test_a_receipt_is_known_by_its_parameters_alone(smsc: Smsc) -> None:
    """Where esm_class says nothing; but what a phone can write is a text, however much it looks like a receipt."""
    heard = Heard()
    with bound(smsc, heard):
        until(lambda: smsc.binds)
        smsc.deliver(b"", tlvs=tlv(0x001E, b"m7\0") + tlv(0x0427, b"\x02"))
        smsc.deliver(RECEIPT % (b"m1", b"DELIVRD", b"000"), esm_class=0)
    assert heard.receipts == [Receipt(provider_id="m7", status="delivered")]
    assert [text.body[:5] for text in heard.texts] == ["id:m1"]


@pytest.mark.parametrize(
    ("answered", "reported"),
    [
        ("0000000255", b"255"),
        ("00FF", b"ff"),
        ("ff", b"000000FF"),
        ("550E8400-E29B", b"550e8400-e29b"),
        ("12:34:56", b"12:34:56"),
        ("{ABC-1}", b"{abc-1}"),
        ("a_b.c@d/e=", b"a_b.c@d/e="),
        ("0000", b"0"),
    ],
)
def test_an_id_comes_back_as_it_was_however_it_is_spelled(smsc: Smsc, answered: str, reported: bytes) -> None:
    """Without its leading zeros, in another case, and whatever signs it holds; in words and as a parameter."""
    heard = Heard()
    smsc.answer = lambda _: (0, answered)
    with bound(smsc, heard) as provider:
        sent = provider.send(MESSAGE)
        smsc.deliver(RECEIPT % (reported, b"DELIVRD", b"000"), esm_class=0x04)
        smsc.deliver(b"", esm_class=0x04, tlvs=tlv(0x001E, reported + b"\0") + tlv(0x0427, b"\x02"))
    assert [receipt.provider_id for receipt in heard.receipts] == [sent.provider_id] * 2
    assert sent.provider_id


def test_a_receipt_in_optional_parameters_is_read(smsc: Smsc) -> None:
    """receipted_message_id, message_state and network_error_code say it all, beside parameters of the vendor's own."""
    heard = Heard()
    tlvs = tlv(0x1403, b"vendor") + tlv(0x001E, b"m7\0") + tlv(0x0427, b"\x05") + tlv(0x0423, b"\x03\x00\x0b")
    with bound(smsc, heard):
        until(lambda: smsc.binds)
        smsc.deliver(b"", esm_class=0x04, tlvs=tlvs)
    assert heard.receipts == [Receipt(provider_id="m7", status="failed", reason="UNDELIV 11")]


@pytest.mark.parametrize(
    ("message_ids", "answered", "reported"),
    [("same", "00FF", b"00FF"), ("hex-then-decimal", "00FF", b"0000000255"), ("decimal-then-hex", "255", b"00FF")],
)
def test_an_id_is_the_same_in_answer_and_receipt(smsc: Smsc, message_ids: str, answered: str, reported: bytes) -> None:
    """Some SMSCs answer in hexadecimal and report in decimal, or the other way round."""
    heard = Heard()
    smsc.answer = lambda _: (0, answered)
    with bound(smsc, heard, message_ids=message_ids) as provider:
        sent = provider.send(MESSAGE)
        smsc.deliver(RECEIPT % (reported, b"DELIVRD", b"000"), esm_class=0x04)
    assert [receipt.provider_id for receipt in heard.receipts] == [sent.provider_id]


@pytest.mark.parametrize(
    ("text", "coding", "esm_class", "body"),
    [
        (b"STOP", 0, 0, "STOP"),
        (b"\x00\x1be\x11", 0, 0, "@€_"),
        ("СТОП".encode("utf-16-be"), 8, 0, "СТОП"),
        (b"\x05\x00\x03\x01\x02\x01Stop", 0, 0x40, "Stop"),
        (b"arr\xeat", 3, 0, "arrêt"),
        ("СТОП".encode("iso8859_5"), 6, 0, "СТОП"),
        ("הסר".encode("iso8859_8"), 7, 0, "הסר"),
        ("停止".encode("iso2022_jp"), 5, 0, "停止"),
        ("停止".encode("shift_jis"), 5, 0, "停止"),
        ("停止".encode("euc_jp"), 5, 0, "停止"),
        ("停止".encode("iso2022_jp"), 10, 0, "停止"),
        ("停止".encode("iso2022_jp"), 13, 0, "停止"),
        ("중지".encode("euc_kr"), 14, 0, "중지"),
        ("중지".encode("iso2022_kr"), 14, 0, "중지"),
        (b"STOP", 0x10, 0, "STOP"),
        (b"STOP", 0x15, 0, "STOP"),
        *(("СТОП".encode("utf-16-be"), coding, 0, "СТОП") for coding in (0x18, 0x19, 0x1A, 0x1B, 0x48, 0xE0)),
        *((b"\x00STOP", coding, 0, "@STOP") for coding in (0xC0, 0xD0, 0xF0, 0xF1, 0xF2, 0xF3)),
        *((b"STOP", coding, 0, "STOP") for coding in (0xF4, 0xF5, 0xF6, 0xF7)),
        ("СТОП".encode("utf-16-be"), 0, 0, "СТОП"),
        ("STOP".encode("utf-16-be"), 0, 0, "STOP"),
        ("อ่าน หยุด".encode("utf-16-be"), 0, 0, "อ่าน หยุด"),
        (b"0000", 0, 0, "0000"),
        ("退訂".encode("utf-16-be"), 0, 0, "退訂"),
        (b"arr\xeat!", 0, 0, "arrêt!"),
        ("£1£2".encode("latin-1").replace(b"\xa3", b"\x01"), 0, 0, "£1£2"),
    ],
)
def test_a_text_from_a_phone_is_heard(smsc: Smsc, text: bytes, coding: int, esm_class: int, body: str) -> None:
    """Whatever its alphabet, and without the header of a long one."""
    heard = Heard()
    with bound(smsc, heard):
        until(lambda: smsc.binds)
        smsc.deliver(text, coding=coding, esm_class=esm_class)
    [found] = heard.texts
    assert (found.from_, found.to, found.body) == ("+14155550123", "43721", body)
    assert found.id


@pytest.mark.parametrize(
    ("text", "coding", "body"),
    [
        (b"STOP", 0x20, ""),
        (b"STOP", 0x09, ""),
        (b"STOP", 0x9A, ""),
        (b"\x04\x21\xd8\x00\x04", 8, "С\ufffd"),
        (b"\x1b$B\xff", 5, "\x1b$B\ufffd"),
    ],
)
def test_a_text_that_cannot_be_read_is_counted_without_its_words(
    smsc: Smsc, text: bytes, coding: int, body: str
) -> None:
    """A compressed one, a coding that is none, bytes that are none of its alphabet: heard as far as it goes."""
    heard = Heard()
    with bound(smsc, heard):
        until(lambda: smsc.binds)
        smsc.deliver(text, coding=coding)
    assert [found.body for found in heard.texts] == [body]
    assert heard.strays == [("text", f"data_coding {coding}")]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 0),
        (b"\0\x01\x01+14155550123", 0x65),
        (b"\0\x01\x01" + b"1\0" + b"\0\0" + b"2\0" + bytes(9), 0),
        (b"\0\x01\x01" + b"1\0" + b"\0\0" + b"2\0" + bytes([4, 0, 0, 0, 0, 0, 0, 0, 0]) + tlv(0x0427, b""), 0),
        (b"\0\x01\x01" + b"1\0" + b"\0\0" + b"2\0" + bytes([0x40, 0, 0, 0, 0, 0, 0, 0, 200]) + b"\xff", 0),
    ],
    ids=["nothing", "half an address", "no text", "an empty state", "less text than it says"],
)
def test_a_delivery_that_says_little_is_answered_once(smsc: Smsc, body: bytes, status: int) -> None:
    """It costs neither the bind nor a repetition: taken, or refused for good where it cannot be read."""
    with bound(smsc) as provider:
        until(lambda: smsc.binds)
        smsc.write(DELIVER, 0, 7, body)
        until(lambda: (DELIVER_RESP, status, 7) in smsc.seen)
        assert provider.send(MESSAGE).provider_id == "m1"
    assert len(smsc.binds) == 1


def test_tls_is_checked_against_the_authority(tmp_path: Path) -> None:
    """With `tls` the bind goes to a server whose certificate `tls_ca` vouches for, and to no other."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = self_signed(tmp_path)
    tls.load_cert_chain(certificate)
    with smsc_at_work(tls) as smsc, bound(smsc, tls=True, tls_ca=str(certificate)) as provider:
        assert provider.send(MESSAGE) == Receipt(provider_id="m1")
    with smsc_at_work(tls) as smsc:
        with bound(smsc, tls=True) as provider, pytest.raises(Unavailable) as raised:
            provider.send(MESSAGE)
        assert (raised.value.reason, smsc.binds) == ("no bind (SSLCertVerificationError)", [])


@pytest.mark.parametrize(
    ("table", "secret", "message"),
    [
        ({}, "nine char", "an SMPP password has at most 8 characters"),
        ({"tls": True, "tls_ca": "/no/such/file"}, "s3cret", "tls_ca: there is no file /no/such/file"),
    ],
)
def test_a_table_that_cannot_work_stops_the_start(table: dict[str, Any], secret: str, message: str) -> None:
    """It is said at once what is wrong, without showing the password."""
    settings = SmppSettings(host="127.0.0.1", system_id="acme", password="env:SMPP", **table)
    with pytest.raises(ConfigError) as raised:
        SmppProvider(settings, AdapterContext(name="aggregator", secret=lambda _: secret, clock=CLOCK))
    assert str(raised.value) == message


def test_it_is_found_by_its_kind() -> None:
    """`kind = "smpp"` carries texts, and needs no callback: receipts come over the bind."""
    adapter = find("smpp")
    assert adapter.settings is SmppSettings
    assert adapter.channels == {"sms"}
    assert adapter.callbacks is None


def _sent(provider: SmppProvider) -> str | None:
    try:
        return provider.send(MESSAGE).provider_id
    except DeliveryError:
        return None


def _kind(provider: SmppProvider) -> str:
    try:
        provider.send(MESSAGE)
    except DeliveryError as error:
        return type(error).__name__
    return "sent"
