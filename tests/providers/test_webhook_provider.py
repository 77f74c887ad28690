"""The webhook provider, on real HTTP servers: what it posts, how it signs, and how it judges what comes back."""

import base64
import json
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from tests.support.live import PATIENCE_S, until
from tests.support.vendor import Vendor, self_signed, vendor_at_work
from verify_service.errors import ConfigError, DeliveryError, Rejected, Unavailable, Uncertain
from verify_service.model import Message, Receipt
from verify_service.providers.webhook import WebhookProvider
from verify_service.testing import VerifyClient, VerifyProblem, start_server

pytestmark = pytest.mark.slow

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
MESSAGE = Message(
    id="ve_00000000000000000000000000000001.1800000000000-0",
    verification_id="ve_00000000000000000000000000000001",
    tenant="default",
    to="+14155550123",
    sender="Verify",
    channel="sms",
    body="123456 is your Verify code.",
    code="123456",
    encoding="GSM-7",
    segments=1,
    expires_at=1_800_000_600_000,
)


@contextmanager
def provider_of(url: str, timeout: float = 5.0) -> Iterator[WebhookProvider]:
    made = WebhookProvider(url, SECRET, timeout)
    try:
        yield made
    finally:
        made.close()


def test_it_posts_the_message_as_json(vendor: Vendor) -> None:
    """The body names the message, whom it is for, what it says and until when it is worth sending."""
    with provider_of(vendor.url) as provider:
        provider.send(MESSAGE)
    [(headers, body)] = vendor.requests
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "type": "message.send",
        "id": MESSAGE.id,
        "verification_id": MESSAGE.verification_id,
        "tenant": "default",
        "to": "+14155550123",
        "from": "Verify",
        "channel": "sms",
        "subject": "",
        "body": "123456 is your Verify code.",
        "locale": "en",
        "encoding": "GSM-7",
        "segments": 1,
        "expires_at": "2027-01-15T08:10:00.000Z",
    }


def test_the_receiver_can_verify_the_signature(vendor: Vendor) -> None:
    """A receiver with the Standard Webhooks library and the secret accepts the post; with another secret not."""
    began = int(time.time())
    with provider_of(vendor.url) as provider:
        provider.send(MESSAGE)
    [(headers, body)] = vendor.requests
    assert Webhook(SECRET).verify(body, headers) == json.loads(body)
    assert began <= int(headers["webhook-timestamp"]) <= time.time()
    other = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    with pytest.raises(Exception, match="No matching signature"):
        Webhook(other).verify(body, headers)


def test_a_repetition_carries_the_same_id(vendor: Vendor) -> None:
    """`webhook-id` is the message's, whatever it takes to deliver it: a receiver can tell a repetition."""
    with provider_of(vendor.url) as provider:
        provider.send(MESSAGE)
        provider.send(MESSAGE)
    assert [headers["webhook-id"] for headers, _ in vendor.requests] == [MESSAGE.id, MESSAGE.id]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_accepts(vendor: Vendor, status: int) -> None:
    """Any 2xx means that the message is on its way."""
    vendor.answer = lambda: (status, {}, b"")
    with provider_of(vendor.url) as provider:
        assert provider.send(MESSAGE) == Receipt(provider_id=None, status="accepted")


@pytest.mark.parametrize(
    ("body", "provider_id"),
    [(b'{"id": "SM123"}', "SM123"), (b"{}", None), (b"OK", None), (b'{"id": 7}', None), (b"[]", None), (b"\xff", None)],
)
def test_the_receivers_own_id_is_kept(vendor: Vendor, body: bytes, provider_id: str | None) -> None:
    """An answer with an `id` names the message at the receiver; any other answer is as good."""
    vendor.answer = lambda: (200, {}, body)
    with provider_of(vendor.url) as provider:
        assert provider.send(MESSAGE) == Receipt(provider_id=provider_id, status="accepted")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"permanent": true}', (True, False)),
        (b'{"opted_out": true}', (False, True)),
        (b'{"permanent": false}', (False, False)),
        (b'{"permanent": "yes"}', (False, False)),
        (b"[]", (False, False)),
        (b"", (False, False)),
    ],
)
def test_the_receiver_says_whether_a_number_is_worth_another(
    vendor: Vendor, body: bytes, says: tuple[bool, bool]
) -> None:
    """A 4xx rejects this message; only the member `permanent` makes a dead number of it, and only `opted_out` says that
    the person wants no more."""
    vendor.answer = lambda: (422, {}, body)
    with provider_of(vendor.url) as provider, pytest.raises(Rejected) as raised:
        provider.send(MESSAGE)
    assert (raised.value.permanent, raised.value.opted_out) == says


@pytest.mark.parametrize(
    ("judgement", "statuses"),
    [
        (Rejected, (400, 402, 406, 410, 413, 415, 422, 451)),
        (Unavailable, (301, 302, 303, 307, 308, 401, 403, 404, 405, 407, 408, 421, 425, 429, 503)),
        (Uncertain, (409, 500, 501, 502, 504, 508, 599)),
    ],
    ids=["rejected", "unavailable", "uncertain"],
)
def test_each_status_is_judged(vendor: Vendor, judgement: type[DeliveryError], statuses: tuple[int, ...]) -> None:
    """What is wrong with the number rejects it, what is wrong with us or them lets the next provider try."""
    with provider_of(vendor.url) as provider:
        for status in statuses:
            vendor.answer = lambda status=status: (status, {}, b"123456 +14155550123")  # type: ignore[misc]
            with pytest.raises(judgement) as raised:
                provider.send(MESSAGE)
            assert (type(raised.value), raised.value.reason) == (judgement, f"HTTP {status}")


def test_a_redirect_is_not_followed(vendor: Vendor) -> None:
    """A code goes to the operator's URL and nowhere else."""
    with vendor_at_work() as elsewhere:
        vendor.answer = lambda: (307, {"location": elsewhere.url}, b"")
        with provider_of(vendor.url) as provider, pytest.raises(Unavailable):
            provider.send(MESSAGE)
        assert (len(vendor.requests), elsewhere.requests) == (1, [])


def test_a_refused_connection_is_unavailable() -> None:
    """Nobody listens, so nothing was sent."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with provider_of(url) as provider, pytest.raises(Unavailable) as raised:
            provider.send(MESSAGE)
    assert raised.value.reason == "no connection"


def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    """No address, so nothing was sent."""
    with provider_of("http://nowhere.invalid/") as provider, pytest.raises(Unavailable):
        provider.send(MESSAGE)


def test_no_answer_in_time_is_uncertain(vendor: Vendor) -> None:
    """The receiver has the message and stays silent: after the timeout, and not much later, it is left open."""
    release = threading.Event()

    def late() -> tuple[int, dict[str, str], bytes]:
        release.wait()
        return 200, {}, b""

    vendor.answer = late
    with provider_of(vendor.url, timeout=0.2) as provider:
        began = time.monotonic()
        try:
            with pytest.raises(Uncertain) as raised:
                provider.send(MESSAGE)
            assert 0.2 <= time.monotonic() - began < PATIENCE_S
        finally:
            release.set()
    assert raised.value.reason == "no answer in time"


@pytest.mark.parametrize("endless", [b" ", b" " * 65_536], ids=["slow", "huge"])
def test_an_answer_without_end_is_left_after_its_status(endless: bytes) -> None:
    """A receiver that goes on and on can hold neither a thread nor memory: its status has said all that matters."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def go_on() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 202 Accepted\r\ncontent-length: 1000000000\r\n\r\n")
                while not over.wait(0.05):
                    connection.sendall(endless)

        thread = threading.Thread(target=go_on)
        thread.start()
        with provider_of(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=2.0) as provider:
            began = time.monotonic()
            assert provider.send(MESSAGE) == Receipt()
            assert time.monotonic() - began < PATIENCE_S
        over.set()
        thread.join()


def test_connections_are_kept(vendor: Vendor) -> None:
    """Messages one after the other share a connection, whatever the answers say."""
    with provider_of(vendor.url) as provider:
        for text in (b"", b"{}", b'{"id": "SM1"}', b"no json"):
            vendor.answer = lambda text=text: (200, {}, text)  # type: ignore[misc]
            provider.send(MESSAGE)
    assert len(vendor.peers) == 1


def test_a_broken_connection_is_uncertain(vendor: Vendor) -> None:
    """The connection ended after the post went out: perhaps it was read."""
    vendor.answer = lambda: (0, {}, b"")
    with provider_of(vendor.url) as provider, pytest.raises(Uncertain):
        provider.send(MESSAGE)
    assert len(vendor.requests) == 1


def test_a_certificate_that_is_not_trusted_is_unavailable(tmp_path: Path) -> None:
    """No message is handed to a server that cannot show who it is."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    with vendor_at_work(tls) as vendor, provider_of(vendor.url) as provider:
        with pytest.raises(Unavailable) as raised:
            provider.send(MESSAGE)
        assert (raised.value.reason, vendor.requests) == ("TLS failed", [])


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***", "plain words", "whsec_c2hvcnQ="])
def test_a_secret_that_cannot_sign_stops_the_start(secret: str) -> None:
    """A secret that is no secret is told at once, without showing it."""
    with pytest.raises(ConfigError) as raised:
        WebhookProvider("http://127.0.0.1/", secret, 5.0)
    assert str(raised.value) == "a webhook's secret is whsec_ and base64 of 24 to 64 random bytes"


@pytest.mark.parametrize("place", ["env", "file"])
def test_a_login_through_two_hooks_of_which_one_is_down(vendor: Vendor, tmp_path: Path, place: str) -> None:
    """`verify-service run` with two hooks: the first errs, the second gets the code, and the secret is in no log."""
    vendor.answer = lambda: (200, {}, b'{"id": "SM1"}')
    (tmp_path / "secret").write_text(SECRET + "\n")
    reference = {"env": "env:HOOK_SECRET", "file": f"file:{tmp_path / 'secret'}"}[place]
    with vendor_at_work() as down:
        down.answer = lambda: (500, {}, b"")
        config = tmp_path / "verify.toml"
        config.write_text(
            f"""
            [providers.first]
            kind = "webhook"
            url = "{down.url}"
            secret = "{reference}"
            [providers.second]
            kind = "webhook"
            url = "{vendor.url}"
            secret = "{reference}"
            timeout = "20 seconds"
            [[routes]]
            via = [{{ provider = "first", weight = 100 }}, {{ provider = "second", weight = 0 }}]
            """
        )
        env = {"VERIFY_CONFIG": str(config)} | ({"HOOK_SECRET": SECRET} if place == "env" else {})
        running = start_server(tmp_path / "state", env, workers=1)
        try:
            client = VerifyClient(running.server)
            started = client.start("+14155550123")
            until(lambda: vendor.requests, "the second hook to be asked")
            [(headers, body)] = vendor.requests
            sent: Any = Webhook(SECRET).verify(body, headers)
            code = sent["body"][:6]
            assert client.check(id=started["id"], code=code)["approved"]
            assert down.requests[0][1] == body
            with pytest.raises(VerifyProblem) as no_inbox:
                client.forget("+14155550123")
            assert no_inbox.value.status == 404
            client.close()
        finally:
            assert running.stop() == 0
        said = running.log.read_text()
        assert "HTTP 500" in said
        for hidden in (SECRET, SECRET.removeprefix("whsec_"), code, "14155550123"):
            assert hidden not in said
