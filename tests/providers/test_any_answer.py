"""Whatever a vendor answers, and whatever anybody calls us with: nothing escapes an adapter but what it may raise."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.peers.contract import PUBLIC_URL, Peer
from tests.support.peers.http_peer import HttpPeer, Reply
from tests.support.peers.kinds import PEERS
from verify_service.adapters import Provider
from verify_service.errors import DeliveryError, Forged, Unavailable, Uncertain
from verify_service.model import Callback, Message, Receipt

pytestmark = pytest.mark.slow

HTTP = [kind for kind in PEERS if issubclass(kind, HttpPeer)]
TOLD = [kind for kind in PEERS if kind.calls_back]
# Names and values that mean something to one vendor or another.
_NAMES = """
sid status code error_code num_segments messages message-id message-price network messageId details messageCount groupId
name id MessageId __type Reason Error Message results error text
"""
_VALUES = "0 5 failed delivered queued 21211 REJECTED_DND ConflictException"
WORDS = st.sampled_from([*_NAMES.split(), *_VALUES.split()])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=12
)
BODIES = st.binary(max_size=64) | JSON.map(lambda found: json.dumps(found).encode())
STATUSES = st.sampled_from([200, 201, 202, 204, 206, 301, 304, 400, 401, 402, 404, 409, 422, 429, 500, 503, 599])
HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "authorization", "x-twilio-signature", "webhook-id", "webhook-signature", "webhook-timestamp"]
    ),
    st.sampled_from(["application/json", "Basic e30=", "Basic \xff", "v1,AAAA", "v1", "0", "x"]) | st.text(max_size=8),
)


def _sent(provider: Provider, message: Message) -> Receipt | DeliveryError:
    try:
        return provider.send(message)
    except DeliveryError as error:
        return error


@pytest.mark.parametrize("kind", HTTP, ids=lambda kind: kind.kind)
def test_any_answer_is_a_receipt_or_a_delivery_error(kind: type[HttpPeer]) -> None:
    """A receipt of the right types, or one of the three refusals with a short reason that holds no number."""
    with kind() as peer:
        provider = peer.provider()
        peer.turn("says")

        @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(STATUSES, BODIES)
        def answered(status: int, body: bytes) -> None:
            peer.saying = Reply(status, b"" if status in (204, 304) else body)
            said = _sent(provider, peer.message())
            if isinstance(said, DeliveryError):
                assert 0 < len(said.reason) <= 100
                assert peer.to[1:] not in said.reason
            else:
                assert isinstance(said.provider_id, str | None)
                assert said.status in ("accepted", "delivered", "failed")

        answered()
        provider.close()


@pytest.mark.parametrize("kind", TOLD, ids=lambda kind: kind.kind)
def test_any_call_is_refused_in_words(kind: type[Peer]) -> None:
    """Nobody but the vendor can make a signature, so no call that is made up is believed, and none raises anything but
    what callbacks may."""
    with kind() as peer:
        callbacks = peer.callbacks()

        @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(st.sampled_from(["GET", "POST"]), st.text(max_size=40), HEADERS, BODIES)
        def called(method: str, query: str, headers: dict[str, Any], body: bytes) -> None:
            call = Callback(method, f"{PUBLIC_URL}/receipts?{query}", headers, body)
            for read in (callbacks.receipts, callbacks.inbound):
                with pytest.raises((Forged, ValueError, Unavailable, Uncertain)):
                    pytest.fail(f"read as {read(call)}")

        called()
