"""HTTP as the adapters speak it: one way to hand a request to a vendor, and one to read what a vendor calls us with.

What went wrong on the way is judged here, once: not sent (Unavailable) where no request can have arrived, perhaps sent
(Uncertain) as soon as it may have been read. What an answer means is the adapter's to say.
"""

import hmac
import http.client
import io
import re
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from verify_service.adapters import Straying
from verify_service.errors import ConfigError, DeliveryError, Unavailable, Uncertain
from verify_service.model import Callback

# No vendor's answer to one message is longer; what goes on beyond is left unread.
_MOST_BYTES = 16_384
_MOST_FIELDS = 200
_SHORTEST_NUMBER = 8
_MOST_PRICE = 1_000
_NETWORK = re.compile("[0-9]{5,6}")

Decoded = TypeVar("Decoded")


class Answer(NamedTuple):
    """What the vendor said. `body` is what came of it in time; names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def accepts(self) -> bool:
        return 200 <= self.status < 300


class Endpoint:
    """One host of a vendor's, with its kept connections. Several threads may post at once."""

    def __init__(self, url: str, timeout: float, headers: Mapping[str, str] | None = None) -> None:
        """`timeout` in seconds, for connecting and for the whole answer each. `headers` go with every request.

        Raises ConfigError where a header's value could not be sent, which a secret with a line break in it would be.
        """
        if not all(value.isascii() and value.isprintable() for value in (headers or {}).values()):
            raise ConfigError("a credential has characters that no HTTP header may carry")
        self._path = urllib3.util.parse_url(url).request_uri
        self._headers = {"user-agent": "verify_service", **(headers or {})}
        # One host, so its own pool: a PoolManager would look it up anew for every message.
        self._pool = urllib3.connection_from_url(
            url, maxsize=64, retries=False, timeout=urllib3.Timeout(connect=timeout, read=timeout)
        )
        self._pool.ConnectionCls = _Bounded if self._pool.scheme == "http" else _BoundedTLS

    def post(self, body: bytes, headers: Mapping[str, str], path: str | None = None) -> Answer:
        """POSTs to the path, or to that of the endpoint's URL. Follows no redirect: a code goes where it was sent.

        Raises Unavailable or Uncertain where no answer came; an answer is returned whatever its status.
        """
        return self._ask("POST", path or self._path, body, headers)

    def get(self) -> Answer:
        """GETs the endpoint's URL; raises as `post` does."""
        return self._ask("GET", self._path, None, {})

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            answer = self._pool.urlopen(
                method,
                path,
                body=body,
                headers={**self._headers, **headers},
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            raise Unavailable("no connection") from None
        except urllib3.exceptions.ReadTimeoutError:
            raise Uncertain("no answer in time") from None
        except urllib3.exceptions.SSLError:
            raise Unavailable("TLS failed") from None
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            raise Uncertain(f"connection broke ({type(error).__name__})") from None
        said = {name.lower(): value for name, value in answer.headers.items()}
        return Answer(answer.status, said, _read(answer))

    def close(self) -> None:
        self._pool.close()


def failure(status: int, reason: str | None = None) -> DeliveryError:
    """What a status that accepts nothing says of a message, where the vendor's own code says no more.

    An adapter that knows from a 4xx that the number is at fault raises Rejected in its place.
    """
    reason = reason or f"HTTP {status}"
    return Uncertain(reason) if status == 409 or (status >= 500 and status != 503) else Unavailable(reason)


def json(data: bytes | msgspec.Raw, kind: type[Decoded]) -> Decoded:
    """A body as what it is expected to be. Raises ValueError, and nothing else, where it is something else."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"not the JSON that was expected ({type(error).__name__})") from None


def entries(listed: Sequence[msgspec.Raw], kind: type[Decoded], stray: Straying) -> list[Decoded]:
    """The entries of a list that one call brings, each read by itself: one that is something else takes no other with
    it, and is a stray. Raises ValueError where that is all of them."""
    found = []
    for entry in listed:
        with suppress(ValueError):
            found.append(json(entry, kind))
    if listed and not found:
        raise ValueError("no entry that can be read")
    if unread := len(listed) - len(found):
        stray("entry", "not what is expected in a list", unread)
    return found


def told(answer: Answer, kind: type[Decoded]) -> Decoded:
    """The body of an answer that accepts. Raises Uncertain where it is not what the vendor writes: who answers a
    message with a page of its own may have done anything with it."""
    try:
        return json(answer.body, kind)
    except ValueError:
        raise Uncertain("unreadable answer") from None


def query(call: Callback) -> dict[str, str]:
    """The fields in the URL. Raises ValueError where there are too many."""
    return dict(pairs(call))


def pairs(call: Callback) -> list[tuple[str, str]]:
    """The same, with what comes twice. Raises ValueError."""
    return _pairs(urlsplit(call.url).query)


def form(call: Callback) -> list[tuple[str, str]]:
    """The fields in a form-encoded body. Raises ValueError."""
    return _pairs(call.body.decode())


def fields(call: Callback) -> dict[str, str]:
    """What one call tells, in whichever way the vendor was told to call: a GET's query, a form or a JSON object.

    Raises ValueError where it is none of these.
    """
    if call.method == "GET":
        return query(call)
    if "json" in call.headers.get("content-type", ""):
        members = json(call.body, dict[str, str | int | float | None])
        return {name: "" if value is None else str(value) for name, value in members.items()}
    return dict(form(call))


def amount(text: object) -> float | None:
    """A price as vendors write it, below zero where it is taken from a balance; None where it is none, or more than any
    message costs."""
    try:
        price = abs(float(str(text)))
    except ValueError:
        return None
    return price if price <= _MOST_PRICE else None


def network(text: object) -> str | None:
    """A network as vendors write it, its MCC and MNC; None where it is none."""
    return text if isinstance(text, str) and _NETWORK.fullmatch(text) else None


def address(text: str) -> str:
    """A number as vendors write it, without its plus, in E.164; a short code stays as it is."""
    return f"+{text}" if text.isdecimal() and len(text) >= _SHORTEST_NUMBER else text


def same(ours: str, theirs: str) -> bool:
    """Whether two signatures are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(ours.encode(), theirs.encode("utf-8", "replace"))


def _pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    """As much of the body as comes in time, within bounds; a connection that is not read to its end is closed."""
    data = b""
    try:
        while len(data) < _MOST_BYTES:
            part = answer.read1(_MOST_BYTES)
            if not part:
                answer.release_conn()
                return data
            data += part
    except (urllib3.exceptions.HTTPError, OSError):
        pass
    answer.close()
    return data


# A socket's timeout starts anew with each byte, so a vendor that drips its answer could hold a thread for ever. Ours
# is one length of time for all of it: status line, headers and body.


class _Timed(io.RawIOBase):
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._until = time.monotonic() + (sock.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock))


class _Bounded(HTTPConnection):
    response_class = _Response


class _BoundedTLS(HTTPSConnection):
    response_class = _Response
