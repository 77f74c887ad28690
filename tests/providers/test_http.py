"""The one way in which adapters speak HTTP: answers in each framing, over TLS, and calls that are garbage."""

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.vendor import self_signed
from verify_service.errors import Uncertain
from verify_service.model import Callback
from verify_service.providers import http
from verify_service.providers.http import Answer, Endpoint

HEAD = b"HTTP/1.1 201 Created\r\nX-Some: thing\r\n"
ZIPPED = gzip.compress(b"x" * 100_000)
FRAMINGS = {
    "length": (HEAD + b'content-length: 12\r\n\r\n{"id": "m1"}', b'{"id": "m1"}'),
    "chunks": (HEAD + b'transfer-encoding: chunked\r\n\r\n5\r\n{"id"\r\n7\r\n: "m1"}\r\n0\r\n\r\n', b'{"id": "m1"}'),
    "the end": (HEAD + b'connection: close\r\n\r\n{"id": "m1"}', b'{"id": "m1"}'),
    "continued": (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\n{}", b"{}"),
    # Nobody asked for it: it is not unpacked, whatever it would become.
    "a packing": (HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(ZIPPED) + ZIPPED, ZIPPED),
}


@contextmanager
def answering(answer: bytes, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port where each connection's first request is answered so, and the connection closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)

    def serve() -> None:
        connection, _ = listener.accept()
        with tls.wrap_socket(connection, server_side=True) if tls else connection as talk:
            asked = b""
            while b"\r\n\r\n{}" not in asked:
                asked += talk.recv(65_536)
            talk.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join()
        listener.close()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_an_answer_is_read_in_each_framing(framing: str) -> None:
    """By its length, in chunks, to the connection's end; status and headers with it."""
    answer, body = FRAMINGS[framing]
    with answering(answer) as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/", 20.0)
        got = endpoint.post(b"{}", {})
        endpoint.close()
    assert (got.status, got.headers["x-some"], got.body) == (201, "thing", body)


def test_a_trusted_server_is_spoken_to_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorities are those of the machine (SSL_CERT_FILE names others)."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    with answering(FRAMINGS["length"][0], tls) as port:
        endpoint = Endpoint(f"https://127.0.0.1:{port}/", 20.0)
        got = endpoint.post(b"{}", {})
        endpoint.close()
    assert got.body == b'{"id": "m1"}'


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"id": "\xff"}', b'{"id":' * 9_000, b"null"])
def test_an_answer_that_is_something_else_leaves_it_open(body: bytes) -> None:
    """Whatever stands where the vendor's JSON should."""
    with pytest.raises(Uncertain):
        http.told(Answer(200, {}, body), dict[str, str])


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("-0.0079", 0.0079),
        ("1e-3", 0.001),
        (0.05, 0.05),
        (1_000, 1_000),
        ("", None),
        (None, None),
        ("nan", None),
        ("-inf", None),
        ("1000.01", None),
        ("-1e308", None),
    ],
)
def test_a_price_is_a_price_or_nothing(text: object, amount: float | None) -> None:
    """However a vendor writes it."""
    assert http.amount(text) == amount


@pytest.mark.parametrize(
    "call",
    [
        Callback("POST", "https://x/", {"content-type": "application/json"}, b"[1]"),
        Callback("POST", "https://x/", {"content-type": "application/json"}, b'{"a": {"b": 1}}'),
        Callback("POST", "https://x/", {}, b"\xff"),
        Callback("POST", "https://x/", {}, b"&".join([b"a=b"] * 201)),
        Callback("GET", "https://x/?" + "&".join(["a=b"] * 201), {}, b""),
    ],
    ids=["a list", "depth", "no text", "too many fields", "too many in the URL"],
)
def test_fields_that_are_none_are_a_value_error(call: Callback) -> None:
    """A call is fields by name, each a text, and no more than any vendor sends."""
    with pytest.raises(ValueError, match=r"."):
        http.fields(call)
