"""A vendor that is called by HTTP: takes a request apart as the vendor would, or fails as servers do."""

import socket
import threading
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self

from tests.support.live import PATIENCE_S
from tests.support.peers.contract import REFUSALS, Peer
from verify_service.errors import DeliveryError, Unavailable, Uncertain

PAGE = b"<html><body>What a lovely day</body></html>"


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(NamedTuple):
    status: int
    body: bytes
    content_type: str = "application/json"


class HttpPeer(Peer):
    """`url` is where it listens."""

    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = {
        **REFUSALS,
        "errs": Uncertain,  # 500
        "is overloaded": Unavailable,  # 503
        "throttles by a page": Unavailable,  # 429 from something in front of it
        "redirects": Unavailable,
        "speaks no HTTP": Uncertain,
        "drips its headers": Uncertain,
        # An answer that accepts, and says nothing:
        "answers with a page": Uncertain,
        "answers with half": Uncertain,
        "answers without end": Uncertain,
        "drips its answer": Uncertain,
        "answers in no encoding": Uncertain,
        "answers with other JSON": Uncertain,
    }
    takes_time = frozenset({"silent", "drips its headers", "drips its answer"})

    def __init__(self) -> None:
        super().__init__()
        self.saying = Reply(200, b"")
        self.over = threading.Event()
        self.asked = 0
        self.connections: set[Any] = set()
        self._elsewhere = socket.create_server(("127.0.0.1", 0))
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                peer.connections.add(self.client_address)
                body = self.rfile.read(int(self.headers["content-length"]))
                peer.asked += 1
                asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                peer.react(self, asked)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._elsewhere.close()
        self._close()

    def turn(self, how: str | None) -> None:
        if how == "down":
            self._close()
        super().turn(how)

    def _close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @abstractmethod
    def answer(self, asked: Asked) -> Reply:
        """The vendor's answer: what it takes it adds to `taken`, what it finds wrong to `wrong`."""

    def react(self, handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        out = handler.wfile
        handler.close_connection = True
        match self.how:
            case "silent":
                self.over.wait(PATIENCE_S)
            case "breaks":
                pass
            case "errs":
                self._reply(handler, Reply(500, PAGE, "text/html"))
            case "is overloaded":
                self._reply(handler, Reply(503, PAGE, "text/html"))
            case "throttles by a page":
                self._reply(handler, Reply(429, PAGE, "text/html"))
            case "redirects":
                port = self._elsewhere.getsockname()[1]
                out.write(b"HTTP/1.1 307 Temporary Redirect\r\nconnection: close\r\ncontent-length: 0\r\nlocation: ")
                out.write(b"http://127.0.0.1:%d/\r\n\r\n" % port)
            case "speaks no HTTP":
                out.write(b"220 mail.example.org ESMTP\r\n")
            case "drips its headers":
                out.write(b"HTTP/1.1 201 Created\r\nx-drip: ")
                self._go_on(out, b"a")
            case "answers with a page":
                self._reply(handler, Reply(200, PAGE, "text/html"))
            case "answers with half":
                out.write(b'HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{"sid": "SM1", "messages": [{"mess')
            case "answers without end":
                out.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900000000000\r\n\r\n")
                self._go_on(out, b'{"messages": [' + b" " * 65_536)
            case "drips its answer":
                out.write(b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n")
                self._go_on(out, b" ")
            case "answers in no encoding":
                self._reply(handler, Reply(200, b'{"sid": "\xff\xfe", "messages": "\xc3\x28"}'))
            case "says":
                self._reply(handler, self.saying)
            case "answers with other JSON":
                self._reply(handler, Reply(200, b'[{"a": ' + b"[" * 3_000 + b"]" * 3_000 + b"}]"))
            case _:
                self._reply(handler, self.answer(asked))

    def _reply(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        handler.close_connection = False
        handler.send_response(reply.status)
        handler.send_header("content-type", reply.content_type)
        handler.send_header("content-length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)

    def _go_on(self, out: Any, data: bytes) -> None:
        out.write(data)
        while not self.over.wait(0.02):
            out.write(data)

    def was_redirected(self) -> bool:
        """Whether somebody followed to where it redirects."""
        self._elsewhere.setblocking(False)
        try:
            self._elsewhere.accept()
        except BlockingIOError:
            return False
        return True
