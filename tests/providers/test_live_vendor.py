"""A login through each vendor, end to end: `verify-service run`, a vendor's server, its signed receipt, and STOP."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from tests.support.live import until
from tests.support.peers.contract import PUBLIC_URL, Peer
from tests.support.peers.infobip_peer import InfobipPeer
from tests.support.peers.own_peer import OwnPeer
from tests.support.peers.twilio_peer import TwilioPeer
from tests.support.peers.vonage_peer import VonagePeer
from verify_service.model import Callback, InboundText
from verify_service.testing import VerifyClient, VerifyProblem, start_server

pytestmark = pytest.mark.slow

# The id that each peer gives to its first message.
FIRST: dict[type[Peer], str] = {
    TwilioPeer: f"SM{1:032x}",
    VonagePeer: f"{1:016X}",
    InfobipPeer: "2033247207850523792",
    OwnPeer: "acme-1",
}


def toml(table: Mapping[str, Any]) -> str:
    def value(found: Any) -> str:
        if isinstance(found, dict):
            return "{ " + ", ".join(f'"{key}" = {value(inner)}' for key, inner in found.items()) + " }"
        return f'"{found}"'

    return "\n".join(f"{name} = {value(found)}" for name, found in table.items())


@pytest.fixture(params=FIRST, ids=lambda kind: kind.kind)
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with request.param() as made:
        yield made


def test_a_login_its_receipt_and_stop(peer: Peer, tmp_path: Path) -> None:
    """The code arrives and is approved, the vendor's receipt stands in the timeline, a forged one is refused, a STOP
    ends it and a START begins anew; and no secret, number or code is in the log."""
    kind = type(peer)
    config = tmp_path / "verify.toml"
    config.write_text(
        f"""
        public_url = "{PUBLIC_URL.partition("/providers")[0]}"
        [providers.it]
        kind = "{kind.kind}"
        {toml(peer.table())}
        [senders.main]
        type = "long-code"
        address = "{peer.sender}"
        [[routes]]
        via = [{{ provider = "it", sender = "main" }}]
        """
    )
    path = {"PYTHONPATH": ":".join(found for found in OwnPeer.paths() if kind is OwnPeer)}
    running = start_server(
        tmp_path / "state",
        {**peer.secrets, **path, "VERIFY_CONFIG": str(config), "VERIFY_CLOCK": "system"},
        workers=1,
    )
    vendor = urllib3.PoolManager(retries=False)

    def call(made: Callback) -> int:
        """As the vendor calls: what it believes to be our public address is this server."""
        url = urlsplit(made.url)
        target = f"{running.server.url}{url.path}" + (f"?{url.query}" if url.query else "")
        answer = vendor.request(made.method, target, body=made.body, headers=made.headers)
        assert answer.data == b"" or answer.status != 200
        return answer.status

    try:
        client = VerifyClient(running.server)
        started = client.start(peer.to)
        until(lambda: peer.taken)
        assert (peer.taken[0].to, peer.taken[0].sender, peer.wrong) == (peer.to, peer.sender, [])
        [code] = re.findall(r"\b\d{6}\b", peer.taken[0].text)
        receipt = peer.receipt(FIRST[kind], "delivered")
        refusals = {name: call(forged) for name, forged in peer.forgeries(receipt).items()}
        assert refusals == {name: 404 if name == "at another address" else 401 for name in refusals}
        assert call(receipt) == 200
        until(lambda: "delivered" in [event["event"] for event in client.status(started["id"])["timeline"]])
        assert client.check(id=started["id"], code=code)["approved"]
        assert call(peer.text(InboundText("in-1", peer.to, peer.sender, "STOP"))) == 200
        with pytest.raises(VerifyProblem) as refused:
            client.start(peer.to, purpose="again")
        assert refused.value.body["type"] == "/problems/opted-out"
        assert call(peer.text(InboundText("in-2", peer.to, peer.sender, "START"))) == 200
        assert client.start(peer.to, purpose="again")["status"] == "pending"
        client.close()
    finally:
        vendor.clear()
        assert running.stop() == 0
    said = running.log.read_text()
    for hidden in (*peer.secrets.values(), code, peer.to[1:]):
        assert hidden not in said
