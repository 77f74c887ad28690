"""Every kind of provider is held to the same contract, each against a server that speaks its vendor's wire format."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.live import PATIENCE_S
from tests.support.peers.contract import BODY, CODE, PATIENT_MS, QUICK_MS, REFUSALS, UCS_2, Peer
from tests.support.peers.http_peer import HttpPeer
from tests.support.peers.kinds import PEERS
from verify_service.errors import DeliveryError, Forged, Rejected
from verify_service.model import InboundText

pytestmark = pytest.mark.slow

CALLING_BACK = [peer for peer in PEERS if peer.calls_back]


@pytest.fixture
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    kind: type[Peer] = request.param
    with kind() as made:
        yield made


def each(kinds: list[type[Peer]] = PEERS) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("peer", kinds, indirect=True, ids=[kind.kind for kind in kinds])


@each()
def test_a_message_arrives_as_it_was_written(peer: Peer) -> None:
    """On every channel of the kind: the number, the sender and each character of the text, once."""
    provider = peer.provider()
    sent = [peer.message(channel=channel) for channel in peer.channels]
    sent.append(peer.message(text=UCS_2))
    receipts = [provider.send(message) for message in sent]
    provider.close()
    assert (peer.taken, peer.wrong) == ([peer.expected(message) for message in sent], [])
    assert [receipt.status for receipt in receipts] == ["accepted"] * len(sent)
    assert all(receipt.provider_id for receipt in receipts)
    assert len({receipt.provider_id for receipt in receipts}) == len(sent)


@each()
def test_many_threads_send_at_once(peer: Peer) -> None:
    """A hundred messages from sixteen threads each arrive once, and each has a receipt of its own."""
    provider = peer.provider()
    numbers = [f"{peer.to[:-3]}{tail:03}" for tail in range(100)]
    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(lambda to: provider.send(peer.message(to)), numbers))
    provider.close()
    assert (sorted(taken.to for taken in peer.taken), peer.wrong) == (sorted(numbers), [])
    assert len({receipt.provider_id for receipt in receipts}) == len(numbers)


@pytest.mark.parametrize(
    ("peer", "how"),
    [pytest.param(kind, how, id=f"{kind.kind} {how}") for kind in PEERS for how in kind.refusals],
    indirect=["peer"],
)
def test_each_refusal_is_told_by_its_class(peer: Peer, how: str) -> None:
    """Whatever the vendor does: one try, and one of three answers, in time, with a reason that names nobody and gives
    nothing away; what the vendor takes after that is sent as ever."""
    provider = peer.provider(QUICK_MS if how in peer.takes_time else PATIENT_MS)
    peer.turn(how)
    began = time.monotonic()
    with pytest.raises(DeliveryError) as raised:
        provider.send(peer.message())
    assert time.monotonic() - began < PATIENT_MS / 1000
    assert (type(raised.value), raised.value.reason) == (peer.refusals[how], raised.value.reason)
    assert 3 <= len(raised.value.reason) <= 100
    for hidden in (peer.to[1:], peer.to[-7:], CODE, BODY, *peer.secrets.values()):
        assert hidden not in raised.value.reason
    assert peer.taken == []
    if isinstance(peer, HttpPeer):
        assert (peer.asked, peer.was_redirected()) == (0 if how == "down" else 1, False)
    peer.turn(None)
    if how in peer.takes_time:
        provider.close()
        provider = peer.provider()
    if how != "down":
        provider.send(peer.message())
        assert (len(peer.taken), peer.wrong) == (1, [])
    provider.close()


@each()
def test_the_kind_knows_every_refusal(peer: Peer) -> None:
    """No kind is spared one of the refusals that every vendor has."""
    assert {how: peer.refusals.get(how) for how in REFUSALS} == dict(REFUSALS)


@each()
def test_a_refusal_of_the_number_itself_is_told(peer: Peer) -> None:
    """Where the vendor says that no message ever arrives there, `permanent` is set; where it may be our own fault, or
    the person's will, it is not."""
    provider = peer.provider()
    for how in (how for how, kind in peer.refusals.items() if kind is Rejected):
        peer.turn(how)
        with pytest.raises(Rejected) as raised:
            provider.send(peer.message())
        assert (how, raised.value.permanent) == (how, how in peer.says_never)
    provider.close()


@each([kind for kind in PEERS if "opted out" in kind.refusals])
def test_an_opt_out_at_the_vendor_is_told(peer: Peer) -> None:
    """A person who told the vendor STOP is not merely a number that cannot be reached."""
    provider = peer.provider()
    peer.turn("opted out")
    with pytest.raises(Rejected) as raised:
        provider.send(peer.message())
    provider.close()
    assert raised.value.opted_out
    assert raised.value.reason.startswith("opted out")


@each()
def test_closing_leaves_nothing_behind(peer: Peer) -> None:
    """After `close` there is no thread that was not there before."""
    before = set(threading.enumerate())
    provider = peer.provider()
    provider.send(peer.message())
    provider.close()
    ours = {thread for thread in set(threading.enumerate()) - before if "process_request" not in thread.name}
    for thread in ours:
        thread.join(PATIENCE_S)
    assert [thread.name for thread in ours if thread.is_alive()] == []


@each(CALLING_BACK)
def test_each_receipt_is_mapped(peer: Peer) -> None:
    """A receipt names the message by the id that `send` had answered, and says whether the number is worth another."""
    provider = peer.provider()
    sent = provider.send(peer.message()).provider_id
    provider.close()
    assert sent
    callbacks = peer.callbacks()
    for outcome in peer.outcomes:
        receipts = callbacks.receipts(peer.receipt(sent, outcome))
        assert list(receipts) == [peer.told(sent, outcome)]
        [receipt] = receipts
        assert receipt.provider_id == sent
        assert receipt.status == {"on its way": "accepted", "delivered": "delivered"}.get(outcome, "failed")
        assert receipt.permanent is (outcome == "failed for good")


@each(CALLING_BACK)
@pytest.mark.parametrize("body", ["STOP", "", "Größe & Maß = 100 % + 1\n☕"])
def test_a_text_from_a_phone_is_read(peer: Peer, body: str) -> None:
    """Who wrote what to which of our addresses, with the vendor's id of it."""
    text = InboundText(id="in-1", from_="+4915112345678", to="+14155550100", body=body)
    assert list(peer.callbacks().inbound(peer.text(text))) == [text]


@each(CALLING_BACK)
def test_nothing_is_believed_that_the_vendor_did_not_sign(peer: Peer) -> None:
    """Without a signature, with another's, with one word changed, or from long ago: Forged, whatever it says."""
    callbacks = peer.callbacks()
    receipt = peer.receipt("id-1", "delivered")
    text = peer.text(InboundText(id="in-1", from_="+4915112345678", to="+14155550100", body="START"))
    callbacks.receipts(receipt)
    callbacks.inbound(text)
    for call, read in ((receipt, callbacks.receipts), (text, callbacks.inbound)):
        forgeries = peer.forgeries(call)
        assert {"unsigned", "another key"} <= forgeries.keys()
        for name, forged in forgeries.items():
            with pytest.raises(Forged):
                pytest.fail(f"{name} was believed: {read(forged)}")


@each(CALLING_BACK)
def test_a_receipt_is_no_text_and_a_text_no_receipt(peer: Peer) -> None:
    """A signed call that is sent to the other address says nothing there."""
    callbacks = peer.callbacks()
    receipt = peer.receipt("id-1", "delivered")
    text = peer.text(InboundText(id="in-1", from_="+4915112345678", to="+14155550100", body="START"))
    with pytest.raises((Forged, ValueError)):
        callbacks.inbound(receipt)
    with pytest.raises((Forged, ValueError)):
        callbacks.receipts(text)


@each(CALLING_BACK)
def test_what_cannot_be_read_is_a_value_error(peer: Peer) -> None:
    """Signed or not, garbage raises nothing else, so that the vendor is told that it was not understood."""
    callbacks = peer.callbacks()
    for name, call in peer.unreadable().items():
        for read in (callbacks.receipts, callbacks.inbound):
            with pytest.raises(ValueError, match=r"."):
                pytest.fail(f"{name} was read as {read(call)}")
