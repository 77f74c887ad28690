"""One request of the server's through the WSGI app: the environment, and the answer (PEP 3333, and Granian's RSGI)."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Protocol
from wsgiref.types import WSGIApplication

from verify_service.errors import NotHere, TooSlow
from verify_service.telemetry import log

BEGAN = "verify.began"
"""The key of the WSGI environment under which stands when the head came, in seconds of the monotonic clock."""

_ALWAYS = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "http",
    "wsgi.input_terminated": True,
    "wsgi.errors": None,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}
_log = log("web")


class Exchange(Protocol):
    """What the server gives of one request: RSGI's scope and protocol, and `done`, which ends it, answered or not."""

    scope: Any
    proto: Any

    def done(self) -> None: ...


class Missing:
    """A WSGI input that has no body: raises what its reader is to know, even who reads nothing of it."""

    def __init__(self, error: type[BaseException]) -> None:
        self._error = error

    def read(self, _size: int = -1) -> bytes:
        raise self._error


class Unread(Missing):
    """A body that nobody waits for; who reads nothing of it does not miss it."""

    def __init__(self) -> None:
        super().__init__(TooSlow)

    def read(self, size: int = -1) -> bytes:
        return super().read(size) if size else b""


def answer(app: WSGIApplication, exchange: Exchange, body: Any, began: float) -> bool:
    """Runs the app and sends its answer; False, with nothing sent, where the app asked for a body on its way."""
    said: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
        said[:] = (int(status[:3]), headers)

    try:
        pieces: Iterable[bytes] = app(_environ(exchange.scope, body, began), start_response)
        try:
            data = b"".join(pieces)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        exchange.proto.response_bytes(*said, data)
    except NotHere as signal:
        # The frames that it came through hold it, and it them: they would hold the connection, too.
        signal.__traceback__ = None
        return False
    except Exception as error:
        _log.error("unforeseen error", exc_info=error)
    exchange.done()  # Where nothing was sent, the server answers 500.
    return True


def _environ(scope: Any, body: Any, began: float) -> dict[str, Any]:
    """PEP 3333's environment. A header whose value is not ASCII is there, and empty: it must not pass for absent."""
    host, _, port = scope.server.rpartition(":")
    headers = scope.headers
    environ = {_variable(name): value for name, value in headers.items()}
    if len(environ) < len(names := headers.keys()):
        environ = {_variable(name): "" for name in names} | environ
    environ |= _ALWAYS
    environ |= {
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": "HTTP/1.0" if scope.http_version == "1" else f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.input": body,
        BEGAN: began,
    }
    return environ


@lru_cache(1024)
def _variable(header: str) -> str:
    name = header.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
