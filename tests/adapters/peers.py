"""Every kind's peer, for the contract."""

from tests.adapters.aws_peer import AwsPeer
from tests.adapters.contract import Peer
from tests.adapters.email_peer import EmailPeer
from tests.adapters.infobip_peer import InfobipPeer
from tests.adapters.kannel_peer import KannelPeer
from tests.adapters.own_peer import OwnPeer
from tests.adapters.smpp_peer import SmppPeer
from tests.adapters.twilio_peer import TwilioPeer
from tests.adapters.vonage_peer import VonagePeer
from tests.adapters.webhook_peer import WebhookPeer

PEERS: list[type[Peer]] = [
    AwsPeer,
    EmailPeer,
    InfobipPeer,
    KannelPeer,
    OwnPeer,
    SmppPeer,
    TwilioPeer,
    VonagePeer,
    WebhookPeer,
]
