"""A mail server that speaks SMTP with STARTTLS and AUTH: aiosmtpd, told what to refuse."""

import asyncio
import itertools
import ssl
import tempfile
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.peers.contract import BODY, Peer, Taken
from tests.support.vendor import self_signed
from verify_service.embedded import free_port
from verify_service.model import Message

USERNAME, PASSWORD = "verify", "the-mail-password"
_RCPT = {
    "throttles": "452 4.5.3 Too many recipients",
    "rejects": "550 5.1.1 No such mailbox",
    "is policy": "550 5.7.1 No",
}


class EmailPeer(Peer):
    kind = "email"
    channels = ("email",)
    sender = "codes@acme.example.org"
    to = "ann.walker@example.org"
    says_never = frozenset({"rejects"})
    calls_back = False
    secrets: ClassVar[dict[str, str]] = {"MAIL": PASSWORD}

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.certificate = self_signed(Path(self._folder.name))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.certificate)
        self.port = free_port()
        self.emails: list[EmailMessage] = []
        self.envelopes: list[tuple[list[str], bytes]] = []
        self.logins = 0
        self._numbers = itertools.count()
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=self.port,
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate,
        )
        self._stopped = False

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "how" and value == "down":
            self._stop()

    def __enter__(self) -> "EmailPeer":
        self._controller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._controller.stop()

    def table(self) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "tls_ca": str(self.certificate),
            "username": USERNAME,
            "password": "env:MAIL",
            "sender": "other@acme.example.org",
        }

    def message(self, to: str | None = None, text: str = BODY, channel: str = "email", **changed: Any) -> Message:
        # An email is known by its message's id, so each has its own.
        changed = {"subject": "Your Café & Söhne code", "id": f"ve_{'0' * 32}.{next(self._numbers)}", **changed}
        return super().message(to, text, channel, **changed)

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        self.logins += 1
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USERNAME.encode(),
            PASSWORD.encode(),
        )
        return AuthResult(success=right and self.how != "denies", handled=False)

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if self.how in _RCPT:
            return _RCPT[self.how]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.how == "silent":
            await asyncio.sleep(2)
        if self.how in ("breaks", "silent"):
            cast(asyncio.Transport, server.transport).abort()
            return "421 gone"
        if self.how == "refuses the text":
            return "554 5.6.0 What is that?"
        email = message_from_bytes(cast(bytes, envelope.content), policy=default)
        sender = cast(str, envelope.mail_from)
        if envelope.rcpt_tos != [email["To"]] or sender not in str(email["From"]):
            self.wrong.append("an envelope for somebody else")
        if email["Subject"] != "Your Café & Söhne code":
            self.wrong.append(f"subject {email['Subject']}")
        self.emails.append(email)
        self.envelopes.append((envelope.rcpt_tos, cast(bytes, envelope.content)))
        text = email.get_content().replace("\r\n", "\n").removesuffix("\n")
        self.taken.append(Taken(email["To"], sender, text, "email"))
        return "250 OK"
