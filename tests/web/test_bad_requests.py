"""Requests that are wrong before their body is read: media types, headers, sizes, paths, methods, and plain garbage."""

import json
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.support.contract import Contract, contract
from tests.support.live import PATIENCE_S

pytestmark = pytest.mark.slow

TO = "+14155550123"
ID = "ve_" + "0" * 32
BODY = json.dumps({"to": TO}).encode()
JSON = {"Content-Type": "application/json"}
MOST_BYTES = 16_384
UNKNOWN_PATHS = (
    *("//start", "///start", "/./start", "/start/.", "/start//", "/x/../start", "/%2fstart"),
    *("/START", "/start/", "/start%2f", "/start%00", "/start;x", "/v1/start", "/verifications", "/verifications/"),
    *("/verifications/../healthz", "/%2e%2e/healthz", "/verifications/a%2Fb", "/verifications//x", "/fake/inbox/"),
    *("/problems/..%2f..%2fetc%2fpasswd", "/static/x", "/fake", "/.env", "/%", "/" + "x" * 8000),
)
NOT_IDS = ("%00", "x", "ve_", ID.upper(), ID + "%0a", "%F0%9F%92%A9", "%ff", "..", "*", "x" * 8000)
NOT_NUMBERS = ("x", "+", "0123456", "+1%204155550123", "%2B1415555012%D9%A3", "%00", "%ff", "*", "+" + "1" * 16)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with contract(tmp_path_factory.mktemp("requests")) as found:
        yield found


def head(live: Contract, line: str, *more: str) -> bytes:
    """A request's first line and headers, with the key, ready for a raw body."""
    key = f"Authorization: Bearer {live.running.server.api_key}"
    lines = (f"{line} HTTP/1.1", "Host: localhost", key, "Content-Type: application/json", *more, "", "")
    return "\r\n".join(lines).encode("latin-1")


def raw(live: Contract, data: bytes, *, hang_up: bool = False) -> bytes:
    """What the server sends for these bytes until it has answered once or closes; b'' where it only closes."""
    host, _, port = live.url.removeprefix("http://").rpartition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
        try:
            connection.sendall(data)
            if hang_up:
                connection.shutdown(socket.SHUT_WR)
            while b"\r\n\r\n" not in answer and (got := connection.recv(65_536)):
                answer += got
            length = next((line for line in answer.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
            while len(answer.partition(b"\r\n\r\n")[2]) < int(length.partition(b":")[2]):
                answer += connection.recv(65_536)
        except OSError:  # It may hang up while we still talk.
            pass
    return answer


def workers(live: Contract) -> set[int]:
    """The process ids of everything that the supervisor and its web server have started."""
    found = {live.running.process.pid}
    while True:
        more = set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent in found:
                more.add(int(entry.name))
        if more <= found:
            return found
        found |= more


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "application/problem+json",
        "text/html, application/json",
    ],
)
@pytest.mark.parametrize("path", ["/start", "/check", "/fake/behaviour", "/fake/clock", "/fake/inbound"])
def test_a_body_that_does_not_say_it_is_json_is_refused(live: Contract, path: str, content_type: str | None) -> None:
    """415, so that no form of a foreign web page can start anything; nothing is spent."""
    method = "PUT" if path == "/fake/behaviour" else "POST"
    problem = live.refused(method, path, BODY, {} if content_type is None else {"Content-Type": content_type})
    assert (problem["status"], problem["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "GZIP", "gzip, identity", "x"])
@pytest.mark.parametrize("path", ["/start", "/check", "/fake/behaviour"])
def test_a_compressed_body_is_refused(live: Contract, path: str, coding: str) -> None:
    """415, whatever the body is, so that nothing between us and a caller reads another body than we do."""
    method = "PUT" if path == "/fake/behaviour" else "POST"
    problem = live.refused(method, path, BODY, JSON | {"Content-Encoding": coding})
    assert (problem["status"], problem["type"]) == (415, "/problems/unsupported-media-type")
    assert "Content-Encoding" in problem["detail"]


def test_a_body_that_says_that_it_is_not_compressed_is_read(live: Contract) -> None:
    """`identity` is no compression."""
    problem = live.refused("POST", "/start", b"{}", JSON | {"Content-Encoding": "identity"})
    assert (problem["status"], problem["errors"][0]["field"]) == (400, "to")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_a_content_type_may_have_parameters(live: Contract, content_type: str) -> None:
    """What says JSON in any spelling is read; the answer is then about the body."""
    problem = live.refused("POST", "/start", b"{}", {"Content-Type": content_type})
    assert (problem["status"], problem["errors"][0]["field"]) == (400, "to")


@pytest.mark.parametrize("key", ["", "x" * 256, "a b", "clé", "tab\tbed"])
@pytest.mark.parametrize("path", ["/start", "/check"])
def test_a_bad_idempotency_key_is_refused(live: Contract, path: str, key: str) -> None:
    """1 to 255 visible ASCII characters, or 400 naming the header; nothing is spent."""
    body = BODY if path == "/start" else json.dumps({"id": ID, "code": "000000"}).encode()
    problem = live.refused("POST", path, body, {**JSON, "Idempotency-Key": key})
    assert [error["field"] for error in problem["errors"]] == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        *((f"wait={value}", "wait") for value in ("nan", "inf", "-1", "30.1", "x", "", "1e9", "%00")),
        *((f"after={value}", "after") for value in ("", "%00", "a%20b", "x" * 65, "../x", "%ff")),
    ],
)
def test_a_bad_query_is_named(live: Contract, query: str, field: str) -> None:
    """400 naming the parameter."""
    problem = live.refused("GET", f"/fake/inbox/{TO}?{query}", None, {})
    assert (problem["status"], problem["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize("size", [MOST_BYTES + 1, 1_000_000])
@pytest.mark.parametrize("path", ["/start", "/check", "/fake/inbound", "/fake/clock"])
def test_a_body_that_is_too_large_is_refused(live: Contract, path: str, size: int) -> None:
    """413 above 16384 bytes, whether it says its length or comes in chunks; nothing is spent."""
    body = BODY[:-1] + b" " * (size - len(BODY)) + b"}"
    problem = live.refused("POST", path, body)
    assert (problem["status"], problem["type"]) == (413, "/problems/payload-too-large")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 4000]), body[i : i + 4000]) for i in range(0, size, 4000))
    with live.spending_nothing():
        answer = raw(live, head(live, f"POST {path}", "Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n")
    # A server that stops reading may close before all was sent; what it must not do is take the body for a short one.
    assert answer.startswith(b"HTTP/1.1 413 ") or not answer


@pytest.mark.parametrize("headers", [JSON, {"Content-Type": "text/plain"}, {**JSON, "Authorization": "Bearer no"}])
def test_a_caller_can_go_on_after_a_body_that_is_too_large(live: Contract, headers: dict[str, str]) -> None:
    """The rest of it is not read, and the answer says that the connection ends: the next request on it is not lost."""
    key = {"Authorization": f"Bearer {live.running.server.api_key}"}
    with urllib3.PoolManager(retries=False) as callers:
        for _ in range(50):
            large = callers.request("POST", f"{live.url}/start", body=b" " * 48_000, headers=key | headers)
            assert (large.status, large.headers["Connection"]) in {(413, "close"), (415, "close"), (401, "close")}
            small = callers.request("POST", f"{live.url}/start", body=b"{}", headers=key | JSON)
            assert (small.status, small.headers.get("Connection")) == (400, None)


def test_a_body_of_exactly_the_limit_is_read(live: Contract) -> None:
    """16384 bytes are allowed, in one piece and in chunks."""
    body = b'{"x": 1' + b" " * (MOST_BYTES - 8) + b"}"
    assert live.refused("POST", "/start", body)["errors"][0]["field"] == "x"
    chunked = head(live, "POST /start", "Transfer-Encoding: chunked") + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
    assert b'"field":"x"' in raw(live, chunked)


def test_a_body_that_breaks_off_is_not_acted_on(live: Contract) -> None:
    """A caller that hangs up in the middle, or announces more than it sends, has started nothing."""
    with live.spending_nothing():
        for length in (len(BODY) + 1, 1000):
            answer = raw(live, head(live, "POST /start", f"Content-Length: {length}") + BODY, hang_up=True)
            assert answer == b"" or (b" 400 " in answer and b"/problems/invalid-request" in answer)
        answer = raw(live, head(live, "POST /start", f"Content-Length: {len(BODY) - 3}") + BODY)
        assert b"/problems/invalid-request" in answer
        answer = raw(live, head(live, "POST /start", "Content-Length: 99999999999") + BODY)
        assert b"/problems/payload-too-large" in answer


@pytest.mark.parametrize("path", UNKNOWN_PATHS)
def test_an_unknown_path_is_not_found(live: Contract, path: str) -> None:
    """404 `not-found`, however the path is written."""
    for method in ("GET", "POST"):
        answer = raw(live, head(live, f"{method} {path}", "Content-Length: 0"))
        assert answer.startswith(b"HTTP/1.1 404 "), answer
        assert b'"type":"/problems/not-found"' in answer


@pytest.mark.parametrize("verification_id", NOT_IDS)
def test_a_path_that_names_no_verification_is_not_found(live: Contract, verification_id: str) -> None:
    """What cannot be an id is answered like an id that is not there."""
    for method in ("GET", "DELETE"):
        answer = raw(live, head(live, f"{method} /verifications/{verification_id}"))
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b'"type":"/problems/verification-not-found"' in answer


@pytest.mark.parametrize("to", NOT_NUMBERS)
def test_a_path_that_names_no_number_is_refused(live: Contract, to: str) -> None:
    """422 `invalid-number`, as in a body."""
    for method, path in (("GET", f"/fake/inbox/{to}"), ("DELETE", f"/fake/state/{to}")):
        problem = live.refused(method, path, None, {})
        assert (problem["status"], problem["type"]) == (422, "/problems/invalid-number")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_a_wrong_method_is_told_the_right_ones(live: Contract, method: str) -> None:
    """405 with `Allow`."""
    for path in ("/start", "/check", "/fake/inbound"):
        status, headers, problem = live.send(method, path, None)
        assert (status, problem["type"], headers["allow"]) == (405, "/problems/method-not-allowed", "POST")


def test_garbage_kills_no_worker(live: Contract) -> None:
    """Whatever comes down a socket, every process is still the same one afterwards and answers."""
    before = workers(live)
    dice = random.Random(20_260_101)
    start = head(live, "POST /start", "Transfer-Encoding: chunked")
    garbage = [
        b"",
        b"\r\n\r\n",
        b"\0" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + dice.randbytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nX\x00Y: z\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: y\r\n" % i for i in range(1000)) + b"\r\n",
        head(live, "POST /start", "Content-Length: -5") + BODY,
        head(live, "POST /start", "Content-Length: abc") + BODY,
        head(live, "POST /start", "Content-Length: 2", "Content-Length: 3") + b"{}",
        head(live, "POST /start", "Content-Length: 2", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head(live, "POST /start", "Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n",
        start + b"ZZ\r\n{}\r\n0\r\n\r\n",
        start + b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
        start + b"-1\r\n{}\r\n0\r\n\r\n",
        *(dice.randbytes(dice.randrange(1, 5000)) for _ in range(30)),
        *(os.fsencode("GET /healthz HTTP/1.1\r\n") + dice.randbytes(200) for _ in range(10)),
    ]
    with live.spending_nothing():
        for data in garbage:
            answer = raw(live, data, hang_up=True)
            assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.1 201")), data[:80]
    assert workers(live) == before
    assert live.default.request("GET", "/readyz")[0] == 200
