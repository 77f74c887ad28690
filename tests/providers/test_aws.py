"""What is AWS's alone: topics that are subscribed to, certificates that are fetched, credentials that are found."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.live import PATIENCE_S
from tests.support.peers.aws_peer import CERTIFICATE, TOPIC, AwsPeer, ended_certificate
from verify_service.adapters import Callbacks
from verify_service.errors import ConfigError, Forged, Unavailable
from verify_service.model import Callback, Receipt
from verify_service.providers.aws import AwsCallbacks
from verify_service.providers.sns import Topics

CONFIRM = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=verify&Token=2336412f37"


@pytest.fixture
def peer() -> Iterator[AwsPeer]:
    with AwsPeer() as made:
        yield made


def subscription(peer: AwsPeer, **changed: str) -> Callback:
    """As SNS asks whether a subscription is meant."""
    fields: dict[str, Any] = {"Type": "SubscriptionConfirmation", "Token": "2336412f37", "SubscribeURL": CONFIRM}
    return peer.notification("receipts", "You have chosen to subscribe to the topic.", **fields | changed)


def test_a_subscription_is_confirmed_by_itself(peer: AwsPeer) -> None:
    """Whoever subscribes our address to the topic has nothing else to do: the signed question is answered."""
    assert peer.callbacks().receipts(subscription(peer)) == []
    assert peer.fetched == [CERTIFICATE, CONFIRM]


@pytest.mark.parametrize(
    "changed",
    [
        {"TopicArn": TOPIC.replace("123456789012", "210987654321")},
        {"SubscribeURL": "https://example.org/?Action=ConfirmSubscription"},
        {"SubscribeURL": CONFIRM.replace("https", "http")},
        {"SubscribeURL": CONFIRM.replace("eu-central-1", "us-east-1")},
    ],
    ids=["another account's topic", "another host", "without TLS", "another region"],
)
def test_nothing_else_is_confirmed(peer: AwsPeer, changed: dict[str, str]) -> None:
    """Not a stranger's topic, and no address that is not SNS's: we are not sent to visit others."""
    with pytest.raises(Forged):
        peer.callbacks().receipts(subscription(peer, **changed))
    assert set(peer.fetched) <= {CERTIFICATE}


def test_a_forged_question_is_not_answered(peer: AwsPeer) -> None:
    """The signature is checked first."""
    call = subscription(peer)
    forged = Callback(call.method, call.url, call.headers, call.body.replace(b"chosen", b"wished"))
    with pytest.raises(Forged):
        peer.callbacks().receipts(forged)
    assert peer.fetched == [CERTIFICATE]


def test_a_certificate_of_another_region_is_not_even_fetched(peer: AwsPeer) -> None:
    """SNS signs where the topic is, so a stranger cannot make us call all over the world."""
    for region in ("us-east-1", "eu-central-2", "cn-north-1"):
        url = CERTIFICATE.replace("eu-central-1", region)
        with pytest.raises(Forged):
            peer.callbacks().receipts(peer.notification("receipts", "{}", SigningCertURL=url))
    assert peer.fetched == []


def test_an_unsubscription_says_nothing(peer: AwsPeer) -> None:
    """Its URL would subscribe again, so it is left alone."""
    assert peer.callbacks().receipts(subscription(peer, Type="UnsubscribeConfirmation")) == []
    assert peer.fetched == [CERTIFICATE]


def test_a_certificate_is_fetched_once(peer: AwsPeer) -> None:
    """Not with every message."""
    callbacks = peer.callbacks()
    for _ in range(3):
        callbacks.receipts(peer.receipt("m1", "delivered"))
    assert peer.fetched == [CERTIFICATE]


def test_a_topic_of_signature_version_1_is_believed(peer: AwsPeer) -> None:
    """SHA-1 is what a topic signs with until it is told otherwise."""
    message = '{"eventType": "TEXT_DELIVERED", "isFinal": true, "messageId": "m1"}'
    assert peer.callbacks().receipts(peer.notification("receipts", message, SignatureVersion="1")) == [
        Receipt("m1", "delivered")
    ]


def test_a_subject_is_signed_with_the_rest(peer: AwsPeer) -> None:
    """Where a message has one."""
    message = '{"eventType": "TEXT_DELIVERED", "isFinal": true, "messageId": "m1"}'
    call = peer.notification("receipts", message, Subject="A subject")
    assert peer.callbacks().receipts(call) == [Receipt("m1", "delivered")]
    with pytest.raises(Forged):
        peer.callbacks().receipts(Callback("POST", call.url, {}, call.body.replace(b"A subject", b"B subject")))


@pytest.mark.parametrize(("aws", "carrier", "price"), [(999, 1, 1_000), (1_000, 0.01, None), (1e308, 1e308, None)])
def test_a_price_that_no_message_has_is_none(peer: AwsPeer, aws: float, carrier: float, price: float | None) -> None:
    """Together with the carrier's fee it is at most a thousand dollars: sums of costs stay sums."""
    told = {"eventType": "TEXT_DELIVERED", "isFinal": True, "messageId": "m1"}
    costs = {"totalMessagePrice": aws, "totalCarrierFee": carrier}
    [receipt] = peer.callbacks().receipts(peer.notification("receipts", json.dumps(told | costs)))
    assert receipt.price == price


def test_an_sns_that_cannot_be_asked_is_neither_believed_nor_forged(peer: AwsPeer) -> None:
    """The call is to be repeated, so it must not be told that it was wrong."""

    def fetch(_: str) -> bytes:
        raise Unavailable("no connection")

    topics = Topics(frozenset([TOPIC]), peer.clock, fetch)
    callbacks = AwsCallbacks(peer.settings(), peer.surroundings(), topics)
    with pytest.raises(Unavailable):
        callbacks.receipts(peer.receipt("m1", "delivered"))


MESSAGE = '{"eventType": "TEXT_DELIVERED", "isFinal": true, "messageId": "m1"}'
SNS = CERTIFICATE.rpartition("-")[0]


def judged(callbacks: Callbacks, call: Callback) -> str:
    """What comes of a call."""
    try:
        callbacks.receipts(call)
    except (Forged, Unavailable) as error:
        return type(error).__name__
    return "taken"


def test_forged_calls_have_few_certificates_fetched(peer: AwsPeer) -> None:
    """Each names another one, as anybody can who knows the topic: twelve a minute are asked for. Whose certificate is
    known is heard meanwhile, and the others are to be told again."""
    callbacks = peer.callbacks()
    assert judged(callbacks, peer.notification("receipts", MESSAGE)) == "taken"
    forged = [
        peer.notification("receipts", MESSAGE, key="stranger", SigningCertURL=f"{SNS}-{n:032x}.pem") for n in range(100)
    ]
    assert {judged(callbacks, call) for call in forged} == {"Unavailable"}
    assert len(peer.fetched) == 12
    assert judged(callbacks, peer.notification("receipts", MESSAGE)) == "taken"
    assert len(peer.fetched) == 12


def test_a_certificate_that_is_not_there_is_asked_for_once(peer: AwsPeer) -> None:
    """However often it is named within a minute."""
    callbacks = peer.callbacks()
    call = peer.notification("receipts", MESSAGE, key="stranger", SigningCertURL=f"{SNS}-{'0' * 32}.pem")
    assert {judged(callbacks, call) for _ in range(20)} == {"Unavailable"}
    assert len(peer.fetched) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"SignatureVersion": "3"},
        {"Signature": ""},
        {"Signature": "AAAA"},
        {"Signature": "no base64"},
        {"Signature": "A" * 4096},
        {"Timestamp": "yesterday"},
        {"Timestamp": "2020-01-01T00:00:00.000Z"},
        {"Timestamp": "0001-01-01T00:00:00+23:59"},
        {"TopicArn": TOPIC + "-2"},
        {"SigningCertURL": f"{SNS}-{'0' * 65}.pem"},
        {"SigningCertURL": f"{SNS}-0.pem/"},
        {"SigningCertURL": "https://sns.eu-central-1.amazonaws.com:443/SimpleNotificationService-0a1b2c.pem"},
    ],
)
def test_what_is_seen_to_be_forged_costs_no_fetch(peer: AwsPeer, changed: dict[str, str]) -> None:
    """All that can be judged without the certificate is judged before it."""
    call = peer.notification("receipts", MESSAGE)
    forged = Callback(call.method, call.url, call.headers, json.dumps(json.loads(call.body) | changed).encode())
    assert judged(peer.callbacks(), forged) == "Forged"
    assert peer.fetched == []


def test_one_certificate_is_fetched_at_a_time(peer: AwsPeer) -> None:
    """A slow SNS holds one thread, and no second one waits for it."""
    asked, answer = threading.Event(), threading.Event()

    def slow(url: str) -> bytes:
        asked.set()
        assert answer.wait(PATIENCE_S)
        return peer.fetch(url)

    callbacks = AwsCallbacks(peer.settings(), peer.surroundings(), Topics(frozenset([TOPIC]), peer.clock, slow))
    call = peer.notification("receipts", MESSAGE)
    with ThreadPoolExecutor(1) as beside:
        first = beside.submit(judged, callbacks, call)
        assert asked.wait(PATIENCE_S)
        assert {judged(callbacks, call) for _ in range(10)} == {"Unavailable"}
        answer.set()
        assert first.result(PATIENCE_S) == "taken"
    assert judged(callbacks, call) == "taken"
    assert peer.fetched == [CERTIFICATE]


def test_a_certificate_that_has_ended_vouches_for_nothing(peer: AwsPeer) -> None:
    """However good its signature."""
    topics = Topics(frozenset([TOPIC]), peer.clock, lambda _: ended_certificate())
    callbacks = AwsCallbacks(peer.settings(), peer.surroundings(), topics)
    assert judged(callbacks, peer.notification("receipts", MESSAGE)) == "Forged"


@pytest.mark.parametrize(
    ("event", "final", "receipt"),
    [
        ("TEXT_SUCCESSFUL", False, Receipt("m1")),
        ("TEXT_SUCCESSFUL", True, Receipt("m1", "delivered")),
        ("TEXT_TTL_EXPIRED", True, Receipt("m1", "failed", "expired")),
        ("VOICE_COMPLETED", True, Receipt("m1", "delivered")),
        ("VOICE_RINGING", False, Receipt("m1")),
        ("VOICE_NO_ANSWER", True, Receipt("m1", "failed", "no answer")),
        ("TEXT_OF_TOMORROW", True, Receipt("m1")),
    ],
)
def test_each_event_is_a_receipt(peer: AwsPeer, event: str, final: bool, receipt: Receipt) -> None:
    """What the carrier has taken is delivered only where AWS will hear no more of it; news of tomorrow are none."""
    message = f'{{"eventType": "{event}", "isFinal": {str(final).lower()}, "messageId": "m1"}}'
    assert peer.callbacks().receipts(peer.notification("receipts", message)) == [receipt]


def test_without_credentials_nothing_is_sent(peer: AwsPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the table nor the machine has any, the next in line gets the message."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    provider = peer.provider(access_key=None, secret_key=None)
    with pytest.raises(Unavailable) as raised:
        provider.send(peer.message())
    provider.close()
    assert (raised.value.reason, peer.asked) == ("NoCredentialsError", 0)


def test_the_machines_own_credentials_do(peer: AwsPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 finds them where it always does: a role, a profile, the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", peer.secrets["SECRET"])
    provider = peer.provider(access_key=None, secret_key=None)
    provider.send(peer.message())
    provider.close()
    assert (len(peer.taken), peer.wrong) == (1, [])


def test_half_the_credentials_stop_the_start(peer: AwsPeer) -> None:
    """A key without its secret is told when the file is put to work."""
    with pytest.raises(ConfigError, match="go together"):
        peer.provider(secret_key=None)


def test_nobody_is_called_in_a_language_that_no_voice_speaks(peer: AwsPeer) -> None:
    """Words read out by the rules of another language are noise: the next in line gets the message."""
    provider = peer.provider()
    with pytest.raises(Unavailable) as raised:
        provider.send(peer.message(channel="voice", locale="sw"))
    provider.close()
    assert (raised.value.reason, peer.asked) == ("no voice for sw", 0)


def test_a_parameter_that_aws_does_not_know_is_not_sent(peer: AwsPeer) -> None:
    """boto3 refuses it before it goes out: nothing was sent, and the reason shows none of it."""
    provider = peer.provider()
    with pytest.raises(Unavailable) as raised:
        provider.send(peer.message(text=""))
    provider.close()
    assert (raised.value.reason, peer.asked) == ("ParamValidationError", 0)
