"""Every kind's peer, for the contract."""

from tests.support.peers.aws_peer import AwsPeer
from tests.support.peers.contract import Peer
from tests.support.peers.email_peer import EmailPeer
from tests.support.peers.infobip_peer import InfobipPeer
from tests.support.peers.kannel_peer import KannelPeer
from tests.support.peers.own_peer import OwnPeer
from tests.support.peers.smpp_peer import SmppPeer
from tests.support.peers.twilio_peer import TwilioPeer
from tests.support.peers.vonage_peer import VonagePeer
from tests.support.peers.webhook_peer import WebhookPeer

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
