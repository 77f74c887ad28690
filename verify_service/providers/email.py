"""Emails by SMTP (RFC 5321), with STARTTLS or TLS from the first byte, over connections that are kept for a while.

The Message-ID is the message's own, so that a repetition can be told. What a mail server writes back later (a bounce)
is not read: an accepted email has no receipt.
"""

import io
import re
import smtplib
import socket
import ssl
import threading
import time
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formataddr, formatdate
from typing import Annotated, Any, Literal

from msgspec import Meta

from verify_service.adapters import Adapter, AdapterContext, Secret, Settings
from verify_service.duration import Duration
from verify_service.errors import ConfigError, Rejected, Unavailable, Uncertain
from verify_service.model import Message, Receipt
from verify_service.providers.tls import trusting

# After a minute or so a server may close what says nothing; well before that it is asked for no more.
_IDLE_S = 20.0
_OK = frozenset({250, 251, 252})
# Security or policy (RFC 3463): of us, not of the mailbox, whatever the reply's first digits say.
_POLICY = re.compile(rb"5\.7\.\d")
# Bad destination mailbox (RFC 3463).
_NO_MAILBOX = re.compile(rb"5\.1\.1\b")


class EmailSettings(Settings, frozen=True, kw_only=True):
    """A mail server that takes emails from us. `sender` is who they are from where a route names no sender of its
    own; `tls_ca` a file with the certificate that vouches for a server of the operator's own; `timeout` for all
    that the server says to one email together."""

    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    tls_ca: str | None = None
    username: Annotated[str, Meta(min_length=1)] | None = None
    password: Secret | None = None
    sender: Annotated[str, Meta(pattern=r"^[!-?A-~]+@[!-?A-~]+\Z")]
    timeout: Duration = Duration("5 seconds")


class EmailProvider:
    """One mail server."""

    def __init__(self, settings: EmailSettings, context: AdapterContext) -> None:
        """Raises ConfigError for what cannot be used, or would show the password to the network."""
        if (settings.username is None) != (settings.password is None):
            raise ConfigError("username and password are given together")
        if settings.password and settings.security == "none":
            raise ConfigError('a password needs security = "starttls" or "tls"')
        self._settings = settings
        self._password = context.secret(settings.password) if settings.password else None
        self._tls = trusting(settings.tls_ca) if settings.security != "none" else None
        self._idle: list[tuple[float, _Bounded]] = []
        self._lock = threading.Lock()

    def send(self, message: Message) -> Receipt:
        own = "@" in message.sender
        sender = message.sender if own else self._settings.sender
        message_id = f"{message.id}@{sender.partition('@')[2]}"
        email = EmailMessage(policy=SMTP)
        email["From"] = sender if own else formataddr((message.sender, sender))
        _address(email, message.to)
        email["Subject"] = message.subject
        email["Date"] = formatdate()
        email["Message-ID"] = f"<{message_id}>"
        email["Auto-Submitted"] = "auto-generated"
        email.set_content(message.body)
        until = time.monotonic() + self._settings.timeout.seconds
        connection = self._kept(until) or self._connect(until)
        try:
            _hand_over(connection, sender, message.to, email.as_bytes())
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append((time.monotonic(), connection))
        return Receipt(provider_id=message_id)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for _, connection in idle:
            try:
                connection.until = time.monotonic() + self._settings.timeout.seconds
                connection.quit()
            except (smtplib.SMTPException, OSError):
                connection.close()

    def _kept(self, until: float) -> "_Bounded | None":
        """A connection that has been used before and is still there."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                since, connection = self._idle.pop()
            connection.until = until
            try:
                if time.monotonic() - since < _IDLE_S and connection.noop()[0] == 250:
                    return connection
            except (smtplib.SMTPException, OSError):
                pass
            connection.close()

    def _connect(self, until: float) -> "_Bounded":
        settings = self._settings
        # Its own name costs smtplib a look-up that can take long; servers are content with any.
        name, timeout = settings.sender.partition("@")[2], settings.timeout.seconds
        try:
            if settings.security == "tls":
                connection: _Bounded = _BoundedTLS(
                    until, settings.host, settings.port, name, timeout=timeout, context=self._tls
                )
            else:
                connection = _Bounded(until, settings.host, settings.port, name, timeout=timeout)
        except ssl.SSLError:
            raise Unavailable("TLS failed") from None
        except (smtplib.SMTPException, OSError):
            raise Unavailable("no connection") from None
        try:
            if settings.security == "starttls":
                connection.starttls(context=self._tls)
            if settings.username is not None and self._password is not None:
                connection.login(settings.username, self._password)
        except BaseException as error:
            connection.close()
            match error:
                case ssl.SSLError() | smtplib.SMTPNotSupportedError():
                    raise Unavailable("TLS failed") from None
                case smtplib.SMTPAuthenticationError():
                    raise Unavailable(f"login refused ({error.smtp_code})") from None
                case smtplib.SMTPException() | OSError():
                    raise Unavailable("connection broke") from None
            raise
        return connection


# A socket's timeout starts anew with each byte, so a server that drips its replies could hold a thread for ever.


class _Reader(io.RawIOBase):
    def __init__(self, connection: "_Bounded") -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        return self._connection.hurried().recv_into(buffer)


class _Bounded(smtplib.SMTP):
    """A conversation that ends at `until` (monotonic seconds), however slowly the server goes on with it."""

    def __init__(self, until: float, *args: Any, **kwargs: Any) -> None:
        self.until = until
        super().__init__(*args, **kwargs)

    def send(self, s: Any) -> None:
        self.hurried()
        super().send(s)

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None:
            self.file = io.BufferedReader(_Reader(self))
        return super().getreply()

    def hurried(self) -> socket.socket:
        """The socket, whose next act ends in time. Raises OSError where none can."""
        left = self.until - time.monotonic()
        if self.sock is None or left <= 0:
            raise TimeoutError("timed out")
        self.sock.settimeout(left)
        return self.sock


class _BoundedTLS(_Bounded, smtplib.SMTP_SSL):
    pass


def _address(email: EmailMessage, to: str) -> None:
    """Writes `To`. Raises Rejected for what a reader would take for another address, or for several: an encoded word
    (RFC 2047) in an address is against the standard, and is decoded all the same."""
    try:
        email["To"] = to
        read = [each.addr_spec for each in email["To"].addresses]
    except (ValueError, IndexError, AttributeError):  # Python's parser stumbles over some that are none.
        read = []
    if read != [to]:
        raise Rejected("an address that no email can bear")


def _hand_over(connection: smtplib.SMTP, sender: str, to: str, email: bytes) -> None:
    """One mail transaction. Until the email itself is on its way nothing can have been sent."""
    try:
        connection.ehlo_or_helo_if_needed()
        code, _ = connection.mail(sender)
        if code not in _OK:
            raise Unavailable(f"sender refused ({code})")
        code, said = connection.rcpt(to)
    except (smtplib.SMTPException, OSError):
        raise Unavailable("connection broke") from None
    if code not in _OK:
        reason = f"address refused ({code})"
        if 500 <= code < 600 and not _POLICY.match(said):
            raise Rejected(reason, permanent=bool(_NO_MAILBOX.match(said)))
        raise Unavailable(reason)
    try:
        code, _ = connection.data(email)
    except smtplib.SMTPDataError as error:
        raise Unavailable(f"email refused ({error.smtp_code})") from None
    except (smtplib.SMTPException, OSError):
        raise Uncertain("no answer to the email") from None
    if code not in _OK:
        raise Unavailable(f"email refused ({code})")


ADAPTER = Adapter(settings=EmailSettings, provider=EmailProvider, channels=frozenset({"email"}))
