"""What is Infobip's alone: reports in batches, and a secret of ours in place of a signature."""

import base64
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.peers.contract import OUTCOMES, PUBLIC_URL
from tests.support.peers.infobip_peer import InfobipPeer
from verify_service.errors import ConfigError, Forged
from verify_service.model import Callback, InboundText, Receipt
from verify_service.providers.infobip import InfobipCallbacks


@pytest.fixture
def peer() -> Iterator[InfobipPeer]:
    with InfobipPeer() as made:
        yield made


def test_a_batch_of_reports_is_as_many_receipts(peer: InfobipPeer) -> None:
    """Infobip tells of up to hundreds of messages in one call."""
    reports = [peer.report(f"m{count}", outcome) for count in range(100) for outcome in OUTCOMES]
    told = peer.callbacks().receipts(peer.call("receipts", reports))
    assert list(told) == [peer.told(f"m{count}", outcome) for count in range(100) for outcome in OUTCOMES]


@pytest.mark.parametrize("unread", [{"messageId": "7"}, {"text": None}, None, "STOP", [], 7])
def test_an_entry_that_cannot_be_read_takes_no_other_with_it(peer: InfobipPeer, unread: object) -> None:
    """A STOP beside it is heard, and a report taken; what is not read is counted, and nothing of it told."""
    strays: list[tuple[str, str, int]] = []
    counting = replace(peer.surroundings(), stray=lambda why, words, times=1: strays.append((why, words, times)))
    callbacks = InfobipCallbacks(peer.settings(), counting)
    stop = InboundText("in-1", "+4915112345678", "+14155550100", "STOP")
    [good] = json.loads(peer.text(stop).body)["results"]
    broken = {**good, **unread} if unread == {"text": None} else unread
    assert callbacks.inbound(peer.call("inbound", [broken, good, broken])) == [stop]
    report = peer.report("m1", "delivered")
    assert callbacks.receipts(peer.call("receipts", [unread, report])) == [peer.told("m1", "delivered")]
    assert strays == [("entry", "not what is expected in a list", times) for times in (2, 1)]
    for call in (callbacks.inbound, callbacks.receipts):
        with pytest.raises(ValueError, match="no entry that can be read"):
            call(peer.call("inbound", [broken, broken]))
        with pytest.raises(Forged):
            call(peer.call("inbound", [broken, good], token="another secret, as long"))
    assert len(strays) == 2


def test_an_empty_batch_is_none(peer: InfobipPeer) -> None:
    """Nothing to tell is no error."""
    assert (
        peer.callbacks().receipts(peer.call("receipts", [])),
        peer.callbacks().inbound(peer.call("inbound", [])),
    ) == (
        [],
        [],
    )


def test_the_secret_may_come_as_a_password(peer: InfobipPeer) -> None:
    """An account that sends Basic authentication keeps the secret out of its URLs, and out of proxies' logs."""
    call = peer.text(InboundText("in-1", "+4915112345678", "+14155550100", "STOP"))
    login = base64.b64encode(f"infobip:{peer.secrets['CALLS']}".encode()).decode()
    bare = Callback("POST", f"{PUBLIC_URL}/inbound", {"authorization": f"Basic {login}"}, call.body)
    assert [text.body for text in peer.callbacks().inbound(bare)] == ["STOP"]


def test_delivered_to_the_operator_is_not_delivered(peer: InfobipPeer) -> None:
    """It stands in the group of the delivered, and the handset's own report may follow."""
    report = peer.report("m1", "delivered")
    report["status"]["name"] = "DELIVERED_TO_OPERATOR"
    assert peer.callbacks().receipts(peer.call("receipts", [report])) == [
        Receipt("m1", segments=2, price=0.1, carrier="26201")
    ]


def test_a_price_that_no_message_has_is_none(peer: InfobipPeer) -> None:
    """For all segments together it is at most a thousand dollars: sums of costs stay sums."""
    for each, price in ((500, 1_000), (500.01, None), (1e308, None)):
        report = peer.report("m1", "delivered")
        report["price"]["pricePerMessage"] = each
        [receipt] = peer.callbacks().receipts(peer.call("receipts", [report]))
        assert (receipt.segments, receipt.price) == (2, price)


def test_a_price_in_another_currency_is_left_out(peer: InfobipPeer) -> None:
    """Prices are in US dollars everywhere: euros would be added to them unnoticed."""
    report = peer.report("m1", "delivered")
    report["price"]["currency"] = "EUR"
    [receipt] = peer.callbacks().receipts(peer.call("receipts", [report]))
    assert receipt.price is None


def test_a_reason_repeats_only_names_of_errors(peer: InfobipPeer) -> None:
    """Whatever stands where a name should: a reason goes into timelines and logs."""
    report = peer.report("m1", "failed")
    report["error"]["name"] = "to +4915112345678: 493817"
    [receipt] = peer.callbacks().receipts(peer.call("receipts", [report]))
    assert receipt.reason == "unnamed error"


def test_without_a_secret_no_report_is_asked_for_and_none_believed(peer: InfobipPeer) -> None:
    """An empty token is not the secret that is missing."""
    callbacks = peer.callbacks(callback_secret=None)
    for call in (peer.receipt("m1", "delivered"), *peer.forgeries(peer.receipt("m1", "delivered")).values()):
        with pytest.raises(Forged):
            callbacks.receipts(call)


@pytest.mark.parametrize("secret", ["", "short", "long enough, but with a \n in it", "long enough, but größer"])
def test_a_weak_secret_stops_the_start(peer: InfobipPeer, secret: str) -> None:
    """It stands in place of a signature."""
    peer.secrets = {**peer.secrets, "CALLS": secret}  # type: ignore[misc]
    with pytest.raises(ConfigError, match="callback_secret"):
        peer.callbacks()


def test_a_key_with_a_line_break_stops_the_start(peer: InfobipPeer) -> None:
    """It could not be sent; that is told once, at the start, and without showing it."""
    peer.secrets = {**peer.secrets, "KEY": "the-key\n"}  # type: ignore[misc]
    with pytest.raises(ConfigError) as raised:
        peer.provider()
    assert str(raised.value) == "a credential has characters that no HTTP header may carry"
