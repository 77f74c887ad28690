"""Flask without what this service has no use for at each request: a session, the Host header, asynchronous views.

All of it by Flask's own hooks, so that routing, errors, teardown and signals are Flask's.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Request, Response
from flask.globals import request_ctx
from flask.sessions import NullSession, SessionInterface
from flask.signals import appcontext_tearing_down, request_tearing_down
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import EnvironHeaders, Headers
from werkzeug.exceptions import NotFound
from werkzeug.routing import MapAdapter
from werkzeug.utils import cached_property

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_NONE = NullSession()
# Of paths with parts that vary: whoever calls may write as many as they like.
_MOST_KEPT, _LONGEST_KEPT = 1000, 100


class _NoSessions(SessionInterface):
    """One session for all, that holds nothing and takes nothing."""

    def open_session(self, app: Flask, request: Request) -> NullSession:
        return _NONE

    def save_session(self, app: Flask, session: Any, response: Response) -> None:
        """Never called: a null session is not saved."""


class _Paths(MapAdapter):
    """Matches paths alone; what the caller takes for our name is asked for only where a redirect must repeat it."""

    def __init__(self, app: "App", request: Request) -> None:
        self.map = app.url_map
        self.script_name = f"{request.root_path}/"
        self.server_name = self.subdomain = ""
        self.url_scheme = request.scheme
        self.path_info = request.path
        self.default_method = request.method
        self.websocket = False
        self._request = request
        self._known, self._lately = app.known, app.lately

    def match(self, *args: Any, **named: Any) -> Any:
        request = self._request
        if request.environ["PATH_INFO"].startswith("//"):  # The router forgives slashes in front.
            raise NotFound
        asked = (self.default_method, self.path_info, *args, *named.items())
        found = self._known.get(asked) or self._lately.get(asked)
        if found is None:
            found = super().match(*args, **named)
            if not found[1]:  # A path without parts that vary: of these there are as many as rules.
                self._known[asked] = found
            elif len(self.path_info) <= _LONGEST_KEPT:
                if len(self._lately) >= _MOST_KEPT:
                    self._lately.clear()
                self._lately[asked] = found
        return found

    def get_host(self, domain_part: str | None) -> str:
        return self._request.host

    @property
    def query_args(self) -> str:  # type: ignore[override]
        return self._request.query_string.decode("latin-1")


class _Asked(Request):
    """A request whose headers become an object only where somebody asks for it."""

    def __init__(self, environ: "WSGIEnvironment", populate_request: bool = True, shallow: bool = False) -> None:
        self.__dict__ |= {
            "environ": environ,
            "shallow": shallow,
            "method": environ["REQUEST_METHOD"].upper(),
            "scheme": environ["wsgi.url_scheme"],
            "root_path": _decoded(environ.get("SCRIPT_NAME", "")).rstrip("/"),
            "path": "/" + _decoded(environ["PATH_INFO"]).lstrip("/"),
            "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
            "remote_addr": environ.get("REMOTE_ADDR"),
        }
        if populate_request and not shallow:
            environ["werkzeug.request"] = self

    headers = cached_property(lambda request: EnvironHeaders(request.environ))
    server = cached_property(lambda request: (request.environ["SERVER_NAME"], int(request.environ["SERVER_PORT"])))

    def close(self) -> None:
        if "files" in self.__dict__:
            super().close()


def _decoded(text: str) -> str:
    """PEP 3333's text as the UTF-8 that it was."""
    return text.encode("latin-1").decode(errors="replace")


class App(Flask):
    """The WSGI app of the web role. What is registered to run around a request runs; what is not costs nothing."""

    request_class = _Asked
    session_interface = _NoSessions()

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.known: dict[tuple[object, ...], Any] = {}
        """What the router has found, by method and path."""
        self.lately: dict[tuple[object, ...], Any] = {}
        """The same of paths with parts that vary, some of the latest."""

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        return _Paths(self, request) if request is not None else super().create_url_adapter(None)

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        return func

    def preprocess_request(self) -> ResponseReturnValue | None:
        around = self.url_value_preprocessors or self.before_request_funcs
        return super().preprocess_request() if around else None

    def process_response(self, response: Response) -> Response:
        around = self.after_request_funcs or request_ctx._after_request_functions
        return super().process_response(response) if around else response

    def do_teardown_request(self, *error: Any) -> None:
        if self.teardown_request_funcs or request_tearing_down.receivers:
            super().do_teardown_request(*error)

    def do_teardown_appcontext(self, *error: Any) -> None:
        if self.teardown_appcontext_funcs or appcontext_tearing_down.receivers:
            super().do_teardown_appcontext(*error)


@cache
def _line(status: int) -> str:
    return Response(status=status).status


class Whole(Response):
    """An answer that is all there as bytes, never to be cached. Its headers become an object of their own only where
    somebody asks for it."""

    def __init__(self, data: bytes, status: int, mimetype: str) -> None:
        self.response = [data]
        self._status, self._status_code = _line(status), status
        self.direct_passthrough = False
        self._on_close = []
        self._plain = [
            ("Content-Type", mimetype),
            ("Cache-Control", "no-store"),
            ("Content-Length", str(len(data))),
        ]

    @cached_property
    def headers(self) -> Headers:
        return Headers(self._plain)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if "headers" in self.__dict__ or environ["REQUEST_METHOD"] == "HEAD":
            return super().__call__(environ, start_response)
        start_response(self.status, self._plain)
        return cast("list[bytes]", self.response)
