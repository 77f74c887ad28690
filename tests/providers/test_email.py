"""The email adapter against a real mail server: what an email says of itself, and how connections are kept."""

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.policy import default
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.live import PATIENCE_S, until
from tests.support.peers.contract import QUICK_MS
from tests.support.peers.email_peer import PASSWORD, USERNAME, EmailPeer
from verify_service.adapters import find
from verify_service.errors import ConfigError, Rejected, Unavailable, Uncertain
from verify_service.testing import VerifyClient, start_server

pytestmark = pytest.mark.slow


@pytest.fixture
def peer() -> Iterator[EmailPeer]:
    with EmailPeer() as made:
        yield made


def test_an_email_says_what_it_is(peer: EmailPeer) -> None:
    """From whom, to whom, when, its id, which is the send's, and that no person wrote it."""
    provider = peer.provider()
    message = peer.message()
    receipt = provider.send(message)
    provider.close()
    [email] = peer.emails
    assert email["From"] == "codes@acme.example.org"
    assert email["Message-ID"] == f"<{message.id}@acme.example.org>" == f"<{receipt.provider_id}>"
    assert email["Auto-Submitted"] == "auto-generated"
    assert email.get_content_type() == "text/plain"
    assert parsedate_to_datetime(email["Date"]).year >= 2026


def test_a_brand_goes_before_the_address(peer: EmailPeer) -> None:
    """Where the route names no sender, the table's `sender` is it, under the tenant's name."""
    provider = peer.provider()
    provider.send(peer.message(sender="Söhne & Co"))
    provider.close()
    [email] = peer.emails
    assert email["From"] == "Söhne & Co <other@acme.example.org>"


@pytest.mark.parametrize(
    "to",
    [
        "ann@example.org",
        "Ann.Walker+login@xn--bcher-kva.example",
        "a=b?c@example.org",
        "!#$%&'*+-/=?^_`{|}~@example.org",
        "a" * 64 + "@" + ".".join(["b" * 60] * 3) + ".org",
    ],
)
def test_a_reader_finds_the_one_address_that_was_given(peer: EmailPeer, to: str) -> None:
    """In the envelope and in the email, by today's parser of Python's and by that of old."""
    provider = peer.provider()
    provider.send(peer.message(to))
    provider.close()
    [(recipients, content)] = peer.envelopes
    assert recipients == [to]
    assert [each.addr_spec for each in message_from_bytes(content, policy=default)["To"].addresses] == [to]
    assert getaddresses(message_from_bytes(content).get_all("To", [])) == [("", to)]


@pytest.mark.parametrize(
    "to",
    [
        "=?utf-8?q?a=40evil.com=2c?=@x.com",
        "=?utf-8?q?a=0aBcc=3ab=40evil.com?=@x.com",
        "=?utf-8?b?YUBldmlsLmNvbSw=?=@x.com",
        "ann@example.org, bob@example.org",
        "ann@example.org\nBcc: bob@example.org",
        "Ann <ann@example.org>",
        "",
    ],
)
def test_an_address_that_would_be_read_as_another_is_refused_before_anything_is_said(peer: EmailPeer, to: str) -> None:
    """It is the message's fault: no mail server is asked, and none is blamed."""
    provider = peer.provider()
    with pytest.raises(Rejected) as raised:
        provider.send(msgspec.structs.replace(peer.message(), to=to))
    provider.close()
    assert (raised.value.reason, raised.value.permanent) == ("an address that no email can bear", False)
    assert (peer.logins, peer.envelopes) == (0, [])


def test_a_connection_is_kept(peer: EmailPeer) -> None:
    """One login does for messages that follow each other; after a refusal there is a new one."""
    provider = peer.provider()
    for _ in range(3):
        provider.send(peer.message())
    assert peer.logins == 1
    peer.how = "rejects"
    with pytest.raises(Rejected):
        provider.send(peer.message())
    peer.how = None
    provider.send(peer.message())
    provider.close()
    assert len(peer.taken) == 4
    assert peer.logins == 2


@pytest.mark.parametrize(
    ("how", "judgement", "reason"),
    [
        ("rejects", Rejected, "address refused (550)"),
        ("is policy", Unavailable, "address refused (550)"),
        ("throttles", Unavailable, "address refused (452)"),
        ("refuses the text", Unavailable, "email refused (554)"),
        ("denies", Unavailable, "login refused (535)"),
    ],
)
def test_each_reply_is_judged(peer: EmailPeer, how: str, judgement: type[Exception], reason: str) -> None:
    """A mailbox that is not there rejects; what the server has against us or the moment lets the next one try."""
    peer.how = how
    provider = peer.provider()
    with pytest.raises(judgement) as raised:
        provider.send(peer.message())
    provider.close()
    assert str(raised.value) == reason


def test_a_certificate_that_is_not_trusted_gets_neither_password_nor_code(peer: EmailPeer) -> None:
    """The connection ends before either."""
    provider = find("email").provider(peer.settings(tls_ca=None), peer.surroundings())
    with pytest.raises(Unavailable) as raised:
        provider.send(peer.message())
    provider.close()
    assert (raised.value.reason, peer.logins, peer.taken) == ("TLS failed", 0, [])


class Dripping(socketserver.StreamRequestHandler):
    """A mail server that is quick until it has to answer `slow`, and then says one letter after the other."""

    slow = ""

    def handle(self) -> None:
        with suppress(OSError):
            self._say("greeting", b"220 it")
            for line in iter(self.rfile.readline, b""):
                match verb := line.partition(b" ")[0].strip().decode().upper():
                    case "DATA":
                        self._say(verb, b"354 go on")
                    case "EHLO" | "MAIL" | "RCPT" | ".":
                        self._say(verb, b"250 yes")

    def _say(self, to: str, words: bytes) -> None:
        while to == self.slow:
            self.wfile.write(words[:1])
            time.sleep(0.05)
        self.wfile.write(words + b"\r\n")


@pytest.mark.parametrize(
    ("slow", "judgement"), [("greeting", Unavailable), ("EHLO", Unavailable), ("RCPT", Unavailable), (".", Uncertain)]
)
def test_a_server_that_drips_holds_nobody(peer: EmailPeer, slow: str, judgement: type[Exception]) -> None:
    """The `timeout` is for all replies to an email together: each byte does not begin it anew."""
    handler = type("Handler", (Dripping,), {"slow": slow})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        table = {"port": server.server_address[1], "security": "none", "tls_ca": None, "username": None}
        settings = peer.settings(QUICK_MS, **table, password=None)
        provider = find("email").provider(settings, peer.surroundings())
        began = time.monotonic()
        with pytest.raises(judgement):
            provider.send(peer.message())
        assert QUICK_MS / 1000 * 0.9 < time.monotonic() - began < PATIENCE_S
        provider.close()
        server.shutdown()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"password": None}, "username and password are given together"),
        ({"security": "none"}, 'a password needs security = "starttls" or "tls"'),
        ({"tls_ca": "/no/such/file"}, "tls_ca: there is no file /no/such/file"),
    ],
)
def test_a_table_that_cannot_work_stops_the_start(peer: EmailPeer, table: dict[str, Any], message: str) -> None:
    """It is said at once what is wrong."""
    with pytest.raises(ConfigError) as raised:
        find("email").provider(peer.settings(**table), peer.surroundings())
    assert str(raised.value) == message


def test_a_login_by_email(peer: EmailPeer, tmp_path: Path) -> None:
    """`verify-service run` with a mail server: the code arrives where it should, and no log or metric shows whose."""
    file = tmp_path / "verify.toml"
    file.write_text(
        f"""
        [providers.mail]
        kind = "email"
        host = "127.0.0.1"
        port = {peer.port}
        tls_ca = "{peer.certificate}"
        username = "{USERNAME}"
        password = "env:MAIL_PASSWORD"
        sender = "codes@acme.example.org"
        """
    )
    running = start_server(tmp_path / "state", {"VERIFY_CONFIG": str(file), "MAIL_PASSWORD": PASSWORD}, workers=1)
    client = VerifyClient(running.server)
    try:
        started = client.start("Zora@Example.org")
        until(lambda: peer.emails)
        [email] = peer.emails
        assert (email["To"], email["From"]) == ("Zora@example.org", "Verify <codes@acme.example.org>")
        code = str(email.get_content())[:6]
        assert email["Subject"] == "Your Verify code"
        assert client.check(to="zora@example.org", code=code)["id"] == started["id"]
        until(lambda: "sent" in [line["event"] for line in client.status(started["id"])["timeline"]])
        _, _, metrics = client.request("GET", "/metrics")
    finally:
        client.close()
        assert running.stop() == 0
    for shown in (running.log.read_text("utf-8"), metrics):
        assert "zora" not in shown.lower()
