"""The one way in which adapters speak HTTP: answers in each framing, over TLS, and calls that are garbage."""

import gzip
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.vendor import self_signed
from verify_service.errors import Unavailable, Uncertain
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
    "hints before it": (
        b"HTTP/1.1 103 Early Hints\r\nX-Some: hint\r\n\r\n" + HEAD + b"content-length: 2\r\n\r\n{}",
        b"{}",
    ),
    "lines of old": (HEAD.replace(b"\r", b"").replace(b"1.1", b"1.0") + b"content-length: 2\n\n{}", b"{}"),
    "both": (HEAD + b"content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n", b"{}"),
    "a part of its length": (HEAD + b"content-length: 9\r\n\r\n{}", b"{}"),
    "a broken chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\nnonsense", b"{}"),
    "more than it says": (HEAD + b"content-length: 2\r\n\r\n{}HTTP/1.1 500 No\r\n\r\n", b"{}"),
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


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 20",
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"x" * 100_000,
    ],
    ids=["nothing", "half a line", "another protocol", "a switch", "a promise", "a line without end"],
)
def test_an_answer_without_a_status_leaves_it_open(answer: bytes) -> None:
    """The request was read; what became of it is not known."""
    with answering(answer) as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/", 20.0)
        with pytest.raises(Uncertain, match=r"\Aconnection broke \(\w+\)\Z"):
            endpoint.post(b"{}", {})
        endpoint.close()


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"x-some: thi",
        b"no header\r\n\r\n",
        b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"x: " + b"y" * 100_000,
    ],
    ids=["nothing", "half a line", "no header", "two lengths", "a line without end"],
)
def test_a_status_whose_head_does_not_end_leaves_it_open(rest: bytes) -> None:
    """Half a head is no answer: nobody knows what it would have said."""
    with answering(b"HTTP/1.1 202 Accepted\r\n" + rest) as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}/", 20.0)
        with pytest.raises(Uncertain, match=r"\Aconnection broke \(\w+\)\Z"):
            endpoint.post(b"{}", {})
        endpoint.close()


@pytest.mark.parametrize(
    ("begun", "status"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nx: ", None),
        (b"HTTP/1.1 20", None),
    ],
    ids=["a body", "a head", "a status"],
)
def test_an_answer_that_drips_is_not_waited_for_longer_than_for_a_whole_one(begun: bytes, status: int | None) -> None:
    """A byte now and then does not start the time anew; the head is the answer, where it has come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def drip() -> None:
            with listener.accept()[0] as connection, suppress(OSError):
                connection.sendall(begun)
                while not begun.endswith(b"20") and not over.wait(0.02):
                    connection.sendall(b"y")
                over.wait()

        thread = threading.Thread(target=drip)
        thread.start()
        endpoint = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/", 2.0 if status else 0.3)
        try:
            if status:
                assert endpoint.post(b"{}", {}).status == status
            else:
                with pytest.raises(Uncertain, match="no answer in time"):
                    endpoint.post(b"{}", {})
        finally:
            over.set()
            thread.join()


def test_a_second_answer_to_one_request_is_not_taken_for_the_next_ones() -> None:
    """A peer that says more than it was asked for is spoken to on a new connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for body in (b"{}" + b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", b"{}"):
                with listener.accept()[0] as connection:
                    connection.recv(65_536)
                    connection.sendall(HEAD + b"content-length: 2\r\n\r\n" + body)
                    connection.recv(65_536)

        thread = threading.Thread(target=answer)
        thread.start()
        endpoint = Endpoint(f"http://127.0.0.1:{listener.getsockname()[1]}/", 20.0)
        assert [endpoint.post(b"{}", {}).status for _ in range(2)] == [201, 201]
        endpoint.close()
        thread.join()


def test_a_tls_handshake_that_ends_has_sent_nothing() -> None:
    """A peer that hangs up before the request could go out: no second text is feared from the next provider."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        endpoint = Endpoint(f"https://127.0.0.1:{listener.getsockname()[1]}/", 20.0)
        with pytest.raises(Unavailable):
            endpoint.post(b"{}", {})
        thread.join()


def test_a_header_that_would_end_its_line_is_never_sent() -> None:
    """Nothing of it, and of no other header, reaches anybody."""
    endpoint = Endpoint("http://127.0.0.1:1/", 20.0)
    with pytest.raises(Unavailable, match="a header that cannot be sent"):
        endpoint.post(b"{}", {"x-some": "thing\r\nx-other: thing"})


def test_what_goes_out_is_one_whole_request() -> None:
    """The host with its port, each header once, the length, and a path as the vendor's URL has it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard = []

        def listen() -> None:
            with listener.accept()[0] as connection:
                heard.append(connection.recv(65_536))
                connection.sendall(b"HTTP/1.1 204 Done\r\n\r\n")

        thread = threading.Thread(target=listen)
        thread.start()
        port = listener.getsockname()[1]
        endpoint = Endpoint(f"http://127.0.0.1:{port}/a path?to=%41", 20.0, {"Content-Type": "text/plain"})
        assert endpoint.post(b"12", {"content-type": "text/x"}).status == 204
        thread.join()
        endpoint.close()
    head = f"POST /a%20path?to=%41 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\naccept-encoding: identity\r\n"
    rest = "user-agent: verify_service\r\ncontent-type: text/x\r\ncontent-length: 2\r\n\r\n12"
    assert heard == [(head + rest).encode()]


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
