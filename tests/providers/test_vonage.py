"""What is Vonage's alone: the three ways it calls, several segments, prices in the account's currency."""

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.support.peers.contract import CODE
from tests.support.peers.http_peer import Asked, Reply
from tests.support.peers.vonage_peer import VonagePeer
from verify_service.errors import Forged, Rejected
from verify_service.model import InboundText, Receipt


class Recorder(VonagePeer):
    """Answers what a test wants."""

    parts: tuple[Mapping[str, str], ...] = ()

    def answer(self, asked: Asked) -> Reply:
        if not self.parts:
            return super().answer(asked)
        return Reply(200, json.dumps({"message-count": str(len(self.parts)), "messages": self.parts}).encode())


@pytest.fixture
def peer() -> Iterator[Recorder]:
    with Recorder() as made:
        yield made


@pytest.mark.parametrize("by", ["GET", "POST", "JSON"])
def test_it_may_call_in_three_ways(peer: Recorder, by: str) -> None:
    """The account's settings say whether it calls by GET, by a form or by JSON."""
    told = {"msisdn": "4915112345678", "to": "43721", "messageId": "0A", "text": "STOP & ende=1", "type": "text"}
    [text] = peer.callbacks().inbound(peer.call("inbound", told, by=by))
    assert text == InboundText("0A", "+4915112345678", "43721", "STOP & ende=1")


def test_who_told_vonage_stop_is_known_by_a_receipt(peer: Recorder) -> None:
    """Vonage takes every message, and says afterwards that the person had opted out."""
    told = {"messageId": "0A", "status": "failed", "err-code": "9"}
    assert peer.callbacks().receipts(peer.call("receipts", told)) == [
        Receipt("0A", "failed", "opted out (9)", opted_out=True)
    ]


def test_a_message_of_two_segments_costs_two(peer: Recorder) -> None:
    """Each segment has an answer of its own; the first one's id stands for the message."""
    peer.parts = tuple(
        {"status": "0", "message-id": f"0{part}", "message-price": "0.04", "network": "310150"} for part in "AB"
    )
    provider = peer.provider(currency="USD")
    receipt = provider.send(peer.message())
    provider.close()
    assert receipt == Receipt("0A", segments=2, price=0.08, carrier="310150")


def test_one_segment_that_is_refused_refuses_the_message(peer: Recorder) -> None:
    """Half a message has no code in it, perhaps; Vonage's words, which may quote it, are not repeated."""
    peer.parts = (
        {"status": "0", "message-id": "0A"},
        {"status": "7", "error-text": f"+4915112345678 is barred from {CODE}"},
    )
    provider = peer.provider()
    with pytest.raises(Rejected) as raised:
        provider.send(peer.message())
    provider.close()
    assert raised.value.reason == "number barred (7)"


def test_a_price_in_another_currency_is_left_out(peer: Recorder) -> None:
    """Prices are in US dollars everywhere: euros would be added to them unnoticed."""
    for currency, price in (("EUR", None), ("USD", 0.0333)):
        provider = peer.provider(currency=currency)
        assert provider.send(peer.message()).price == price
        provider.close()
        [receipt] = peer.callbacks(currency=currency).receipts(peer.receipt("0A", "delivered"))
        assert receipt.price == price


def test_without_a_signature_secret_nothing_is_asked_for_and_nothing_believed(peer: Recorder) -> None:
    """Whoever cannot check a receipt had better not get one."""
    provider = peer.provider(signature_secret=None)
    provider.send(peer.message())
    provider.close()
    assert peer.wrong == ["no receipt asked for"]
    with pytest.raises(Forged):
        peer.callbacks(signature_secret=None).receipts(peer.receipt("0A", "delivered"))


def test_an_alphanumeric_sender_stays_as_it_is(peer: Recorder) -> None:
    """A name is a sender, too."""
    provider = peer.provider()
    provider.send(peer.message(sender="Acme"))
    provider.close()
    assert peer.wrong == []
    assert [taken.sender for taken in peer.taken] == ["Acme"]
