"""Callers that send slowly, or nothing: they take no thread from others, and are sent away after seconds. On the role
itself, with one worker of sixteen threads."""

import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from statistics import median

import pytest

from tests.support.bench import make_bench
from tests.support.contract import a_number
from tests.support.dispatching import Post
from tests.support.live import PATIENCE_S, patient, until
from tests.support.web_role import AUTHORIZED, JSON, Web, answer, request, web_role
from verify_service.embedded import EmbeddedValkey
from verify_service.gateway import DEADLINE_S
from verify_service.serve import IDLE_S, THREADS, UNREAD_S
from verify_service.store import Store

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A role that the module's tests call side by side; each starts for a number of its own."""
    folder = tmp_path_factory.mktemp("slow")
    with EmbeddedValkey(folder / "valkey", append_fsync="no") as server:
        store = Store(patient(server.url))
        store.prepare()
        with web_role(Post(server, folder, make_bench(store))) as role:
            yield role


@pytest.fixture
def own(post: Post) -> Iterator[Web]:
    """A role of a test's own, whose store it may stop, and which it may end."""
    with web_role(post) as role:
        yield role


@pytest.fixture
def body() -> bytes:
    """A start for a number that nobody has started for."""
    return b'{"to": "%b"}' % a_number().encode()


@contextmanager
def slow(web: Web, count: int, data: bytes) -> Iterator[list[socket.socket]]:
    """So many connections that have sent this, and nothing since."""
    with ExitStack() as stack:
        found = [stack.enter_context(closing(web.connect())) for _ in range(count)]
        for connection in found:
            connection.sendall(data)
        yield found


HEADS = {
    401: request("POST /start", JSON, "Content-Length: 1000", body=b"{"),
    404: request("POST /nowhere", "Content-Length: 1000", body=b"{"),
    405: request("PUT /start", "Content-Length: 1000", body=b"{"),
    413: request("POST /start", AUTHORIZED, JSON, "Content-Length: 10000000", body=b"{"),
    415: request("POST /start", AUTHORIZED, "Content-Length: 1000", body=b"{"),
}


def test_a_refusal_by_the_head_does_not_wait_for_the_body(web: Web) -> None:
    """401, 404, 405, 413 and 415 come before the deadline, and say that the connection ends; so does it."""
    for status, data in HEADS.items():
        with slow(web, 1, data) as (connection,):
            began = time.monotonic()
            found, headers, _ = answer(connection)
            assert (found, headers["connection"]) == (status, "close")
            assert time.monotonic() - began < DEADLINE_S
            assert answer(connection)[0] == 0


@pytest.mark.parametrize(
    "data",
    [
        request("POST /start", AUTHORIZED, JSON, "Content-Length: 1000", body=b"{"),
        request("POST /start", AUTHORIZED, JSON, "Transfer-Encoding: chunked", body=b"1\r\n{\r\n"),
        request("POST /providers/told/receipts", "Content-Length: 1000000", body=b"{"),
    ],
    ids=["start", "chunks", "callback"],
)
def test_slow_bodies_take_no_thread(web: Web, body: bytes, data: bytes) -> None:
    """A hundred of them, with a key or on a vendor's path: `/healthz` and starts are answered meanwhile; the slow ones
    get 408 once the deadline is over, and have started nothing."""
    start = request("POST /start", AUTHORIZED, JSON, f"Content-Length: {len(body)}", body=body)
    with slow(web, 100, data) as connections:
        began = time.monotonic()
        assert [web.healthz() for _ in range(5)] == [200] * 5
        assert web.ask(start)[0] == 201
        assert time.monotonic() - began < DEADLINE_S
        for connection in connections:
            status, headers, problem = answer(connection)
            assert (status, headers["connection"]) == (408, "close")
            assert json.loads(problem)["type"] == "/problems/request-timeout"
            assert answer(connection)[0] == 0
        assert time.monotonic() - began > DEADLINE_S / 2
    assert web.ask(start)[0] == 429  # The number's cooldown: one start, and only that one.


@pytest.mark.parametrize("path", ["GET /verifications/ve_0", "DELETE /consents/14155550123"])
def test_no_view_is_run_for_a_caller_whose_body_is_on_its_way(web: Web, path: str) -> None:
    """Also one that reads no body: else two callers with a key could hold the threads that judge by the head."""
    assert web.ask(request(path, AUTHORIZED, "Content-Length: 10", body=b"{"))[0] == 408


def test_a_policy_that_may_have_broken_off_is_not_put_in_force(web: Web) -> None:
    """A body in chunks looks the same where it breaks off, and half a policy may be one: it needs a length."""
    toml = b"[code]\ndigits = 8\n"
    head = request(
        "PUT /admin/policy", AUTHORIZED, "Content-Type: application/toml", "If-Match: *", "Transfer-Encoding: chunked"
    )
    status, _, body = web.ask(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(toml), toml))
    assert (status, json.loads(body)["type"]) == (400, "/problems/invalid-request")
    assert json.loads(web.ask(request("GET /admin/policy", AUTHORIZED))[2])["revision"] == 1


def test_healthz_waits_for_no_body(web: Web) -> None:
    """Whatever its head announces."""
    began = time.monotonic()
    assert web.ask(request("GET /healthz", "Content-Length: 10"))[0] == 200
    assert time.monotonic() - began < DEADLINE_S


@pytest.mark.parametrize("pause", [0.0, 0.7])
def test_a_body_in_pieces_is_read(web: Web, body: bytes, pause: float) -> None:
    """With a length and in chunks, at once or slowly: the start is made, and the connection can be used on."""
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:5], body[5:])] + [b"0\r\n\r\n"]
    whole = (request("POST /start", AUTHORIZED, JSON, f"Content-Length: {len(body)}"), body[:5], body[5:])
    chunked = (request("POST /start", AUTHORIZED, JSON, "Transfer-Encoding: chunked"), *chunks)
    statuses = []
    with web.connect() as connection:
        for pieces in (whole, chunked):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            statuses.append(answer(connection)[0])
    assert statuses == [201, 429]


def test_healthz_answers_while_every_thread_waits(own: Web, body: bytes) -> None:
    """With the store frozen, and more starts and `/readyz` under way than there are threads: 20 of 20, within a
    second, and `/readyz` says that the store does not answer. Thawed, every start is answered."""
    data = request("POST /start", AUTHORIZED, JSON, f"Content-Length: {len(body)}", body=body)
    os.kill(own.valkey, signal.SIGSTOP)
    try:
        with slow(own, 3 * THREADS, data) as connections, slow(own, 20, request("GET /readyz")):
            took = []
            for _ in range(20):
                began = time.monotonic()
                assert own.healthz() == 200
                took.append(time.monotonic() - began)
            assert median(took) < 1
            assert own.ask(request("GET /readyz"))[0] == 503
            os.kill(own.valkey, signal.SIGCONT)
            assert {answer(connection)[0] for connection in connections} <= {201, 429, 503}
    finally:
        os.kill(own.valkey, signal.SIGCONT)


def test_a_role_that_is_told_to_stop_answers_what_is_under_way(own: Web, body: bytes) -> None:
    """A request whose body comes after SIGTERM is answered; then the role ends with status 0."""
    with own.connect() as connection:
        connection.sendall(request("POST /start", AUTHORIZED, JSON, f"Content-Length: {len(body)}"))
        until(lambda: own.healthz() == 200)
        own.process.terminate()
        until(lambda: not listens(own), "the role to take no more connections")
        connection.sendall(body)
        assert answer(connection)[0] == 201
    assert own.process.wait(PATIENCE_S) == 0


def listens(web: Web) -> bool:
    try:
        web.connect().close()
    except OSError:
        return False
    return True


def ended(connections: Sequence[socket.socket]) -> int:
    """How many of them the other side has closed."""
    ready = select.select(connections, [], [], 0)[0]
    return sum(connection.recv(1) == b"" for connection in ready)


def test_idle_connections_are_bounded_and_sent_away(post: Post) -> None:
    """With room for 40: as many silent ones hold up the next caller until they are closed, ten seconds after they have
    last said something; the role says so in one line."""
    with web_role(post, files=512 + 40) as web, web.connect() as used:
        used.sendall(request("GET /healthz"))
        assert answer(used)[0] == 200
        began = time.monotonic()
        with slow(web, 60, b"") as silent:
            until(lambda: bool(web.said("connections are at their limit")), "the line in the log")
            assert web.healthz() == 200
            assert IDLE_S / 2 < time.monotonic() - began < 2 * IDLE_S
            until(lambda: ended([used]) == 1 and ended(silent[:30]) == 30)
        (line,) = web.said("connections are at their limit")
        assert (line["most"], line["idle_s"]) == (40, IDLE_S)


def test_who_reads_no_answer_is_sent_away(post: Post) -> None:
    """With room for 40: as many that ask again and again and read nothing hold up the next caller for seconds only."""
    with web_role(post, files=512 + 40) as web:
        began = time.monotonic()
        with slow(web, 60, 60 * request("GET /openapi.yaml")):
            until(lambda: bool(web.said("connections are at their limit")), "the line in the log")
            assert web.healthz() == 200
            assert time.monotonic() - began > UNREAD_S / 2
