"""HTTP as the adapters speak it: one way to hand a request to a vendor, and one to read what a vendor calls us with.

What went wrong on the way is judged here, once: not sent (Unavailable) where no request can have arrived, perhaps sent
(Uncertain) as soon as it may have been read. What an answer means is the adapter's to say.
"""

import hmac
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
import urllib3

from verify_service import decoders
from verify_service.adapters import Straying
from verify_service.errors import ConfigError, DeliveryError, Unavailable, Uncertain
from verify_service.idle import Idle
from verify_service.model import Callback
from verify_service.providers.exchange import BROKEN, MOST_BYTES, Answer, Connection, request

_MOST_FIELDS = 200
_MOST_IDLE = 64
_SHORTEST_NUMBER = 8
_MOST_PRICE = 1_000
_NETWORK = re.compile("[0-9]{5,6}")

__all__ = ["Answer", "Endpoint"]

Decoded = TypeVar("Decoded")


class Endpoint:
    """One host of a vendor's, with its kept connections. Several threads may post at once."""

    def __init__(
        self, url: str, timeout: float, headers: Mapping[str, str] | None = None, most_bytes: int = MOST_BYTES
    ) -> None:
        """`timeout` in seconds, for connecting and for the whole answer each. `headers` go with every request; of an
        answer's body no more than about `most_bytes` is read.

        Raises ConfigError where a header's value could not be sent, which a secret with a line break in it would be.
        """
        if not all(value.isascii() and value.isprintable() for value in (headers or {}).values()):
            raise ConfigError("a credential has characters that no HTTP header may carry")
        # It opens connections; what is asked on one goes past it.
        self._pool = urllib3.connection_from_url(url, retries=False)
        self._timeout = timeout
        self._most_bytes = most_bytes
        self._path = urllib3.util.parse_url(url).request_uri
        host = f"[{self._pool.host}]" if ":" in self._pool.host else self._pool.host
        port = "" if self._pool.port == self._pool.ConnectionCls.default_port else f":{self._pool.port}"
        self._headers = {"host": host + port, "accept-encoding": "identity", "user-agent": "verify_service"}
        self._headers |= {name.lower(): value for name, value in (headers or {}).items()}
        self._idle = Idle[Connection]()
        self._is_closed = False

    def post(self, body: bytes, headers: Mapping[str, str], path: str | None = None) -> Answer:
        """POSTs to the path, or to that of the endpoint's URL. Follows no redirect: a code goes where it was sent.

        Names of `headers` are in lower case. Raises Unavailable or Uncertain where no answer came; an answer is
        returned whatever its status.
        """
        return self._ask("POST", urllib3.util.parse_url(path).request_uri if path else self._path, body, headers)

    def get(self) -> Answer:
        """GETs the endpoint's URL; raises as `post` does."""
        return self._ask("GET", self._path, None, {})

    def close(self) -> None:
        self._is_closed = True
        self._idle.close()

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            asked = request(method, path, {**self._headers, **headers}, body)
        except ValueError:
            raise Unavailable("a header that cannot be sent") from None
        connection = self._connection()
        try:
            return connection.ask(asked)
        except TimeoutError:
            raise Uncertain("no answer in time") from None
        except BROKEN as error:
            raise Uncertain(f"connection broke ({type(error).__name__})") from None
        finally:
            if connection.is_reusable and not self._is_closed and len(self._idle) < _MOST_IDLE:
                self._idle.keep(connection)
            else:
                connection.close()

    def _connection(self) -> Connection:
        """One that is kept, the last used first, or a new one. Raises Unavailable: nothing has been sent."""
        if found := self._idle.take():
            return found
        pool = self._pool
        opened = pool.ConnectionCls(host=pool.host, port=pool.port, timeout=self._timeout)
        try:
            return Connection(opened, self._timeout, self._most_bytes)
        except (ssl.SSLError, urllib3.exceptions.SSLError):
            reason = "TLS failed"
        except (urllib3.exceptions.HTTPError, OSError):
            reason = "no connection"
        opened.close()
        raise Unavailable(reason)


def failure(status: int, reason: str | None = None) -> DeliveryError:
    """What a status that accepts nothing says of a message, where the vendor's own code says no more.

    An adapter that knows from a 4xx that the number is at fault raises Rejected in its place.
    """
    reason = reason or f"HTTP {status}"
    return Uncertain(reason) if status == 409 or (status >= 500 and status != 503) else Unavailable(reason)


def json(data: bytes | msgspec.Raw, kind: type[Decoded]) -> Decoded:
    """A body as what it is expected to be. Raises ValueError, and nothing else, where it is something else."""
    try:
        return decoders.json(kind)(data)
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
