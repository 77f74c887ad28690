"""Connections to a single server that redis-py opens and is passed by on: whose answer is whose, and what is kept."""

import os
import select
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.concurrency import at_once
from tests.support.live import PATIENCE_S
from tests.support.vendor import self_signed
from verify_service.embedded import EmbeddedValkey, free_port
from verify_service.errors import StoreUnavailable
from verify_service.store.connection import Call, Link, prefix

FORKED = """
import os, sys
from verify_service.store.connection import Link

link = Link(sys.argv[1])
assert link.command(0, ["ECHO", "before"]) == b"before"
child = os.fork()
name = b"child" if child == 0 else b"parent"
for turn in range(500):
    word = b"%s %d" % (name, turn)
    assert link.command(0, ["ECHO", word]) == word, word
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert link.command(0, ["ECHO", "after"]) == b"after"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A server of this file's own: its tests stop it, and count who is connected."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), append_fsync=None, port=free_port()) as made:
        yield made


@contextmanager
def behind_tls(port: int, certificate: Path) -> Iterator[int]:
    """A port that speaks TLS and hands on to another in plain bytes, as a managed store's proxy does."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                suppress(OSError),
                tls.wrap_socket(self.request, server_side=True) as caller,
                socket.create_connection(("127.0.0.1", port)) as store,
            ):
                heard = b"anything"
                while heard:
                    ready = [caller] if caller.pending() else select.select([caller, store], [], [])[0]
                    for side, other in ((caller, store), (store, caller)):
                        if side in ready and heard:
                            heard = side.recv(65_536)
                            other.sendall(heard)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, args=(0.01,), daemon=True).start()
        yield proxy.server_address[1]
        proxy.shutdown()


def opened(link: Link) -> int:
    """How many connections the server has taken so far."""
    return int(link.command(0, ["INFO", "stats"]).split(b"total_connections_received:")[1].split()[0])


def test_threads_that_end_leave_their_connections_to_the_next(server: EmbeddedValkey) -> None:
    """As many connections as callers at once, however many threads have called: what one has done with is the next
    one's."""
    link = Link(server.url)
    before = opened(link)
    for _ in range(20):
        at_once(*[lambda: link.command(0, ["ECHO", "mine"])] * 8)
    assert opened(link) - before <= 7
    for _ in range(100):
        thread = threading.Thread(target=link.command, args=(0, ["ECHO", "mine"]))
        thread.start()
        thread.join()
    assert opened(link) - before <= 7


def test_each_caller_gets_its_own_answers(server: EmbeddedValkey) -> None:
    """Sixteen threads at once, answers of every length, also longer than one read: each gets what it asked for."""
    link = Link(server.url)

    def echo(name: int) -> bool:
        words = [bytes([65 + name]) * (1 + 7919 * turn % 60_000) for turn in range(60)]
        return all(link.command(0, ["ECHO", word]) == word for word in words)

    assert at_once(*[lambda name=name: echo(name) for name in range(16)]) == [True] * 16
    assert link.command(0, ["ECHO", "x" * 3_000_000]) == b"x" * 3_000_000


def test_an_answer_that_comes_too_late_is_nobodys(server: EmbeddedValkey) -> None:
    """A caller whose patience ended is told so, and what the server says to it afterwards reaches no other."""
    link = Link(server.url)
    assert link.command(0, ["ECHO", "first"]) == b"first"
    os.kill(server.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable) as refused:
            link.command(0, ["ECHO", "late"])
        assert refused.value.reason == "TimeoutError"
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert [link.command(0, ["ECHO", word]) for word in ("second", "third")] == [b"second", b"third"]


def test_an_answer_that_breaks_off_is_the_stores_absence_and_the_next_call_connects_anew() -> None:
    """Half an answer and the end, bytes that are no answer, an answer that nobody asked for: none is taken for
    another's."""
    said = [b"$6\r\nhal", b"?nonsense\r\n", b"$2\r\nok\r\n$5\r\nstray\r\n", b"$4\r\nmine\r\n"]
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for words in said:
                with server.accept()[0] as caller:
                    heard = b""
                    while b"ECHO" not in heard:
                        heard = caller.recv(4096)
                        if b"ECHO" not in heard:
                            caller.sendall(b"+OK\r\n" * heard.count(b"SETINFO"))
                    caller.sendall(words)
                    if words == said[2]:
                        caller.recv(1)  # Until the caller hangs up.

        threading.Thread(target=answer, daemon=True).start()
        link = Link(f"redis://127.0.0.1:{server.getsockname()[1]}")
        for reason in ("ConnectionError", "InvalidResponse"):
            with pytest.raises(StoreUnavailable) as refused:
                link.command(0, ["ECHO", "mine"])
            assert refused.value.reason == reason
        assert [link.command(0, ["ECHO", "mine"]) for _ in range(2)] == [b"ok", b"mine"]


def test_after_a_fork_each_process_has_connections_of_its_own(server: EmbeddedValkey) -> None:
    """A child that has inherited the parent's idle connections uses none of them, and cuts none."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKED, server.url], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_server_behind_tls_is_called_the_same_way_and_only_where_it_is_vouched_for(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    """`rediss://` with the authority: calls, long answers, connections that come again. With another authority the
    store is not there."""
    ours, other = tmp_path / "ours", tmp_path / "other"
    ours.mkdir()
    other.mkdir()
    pair, others = self_signed(ours), self_signed(other)
    with behind_tls(server.port or 0, pair) as port:
        link = Link(f"rediss://127.0.0.1:{port}?ssl_ca_certs={pair}")
        assert link.call(Call(0, "read", [f"{prefix(0)}verification:none"], [])) is None
        before = opened(link)
        assert link.command(0, ["ECHO", "x" * 300_000]) == b"x" * 300_000
        assert [link.command(0, ["ECHO", str(turn)]) for turn in range(50)] == [b"%d" % turn for turn in range(50)]
        assert opened(link) == before
        with pytest.raises(StoreUnavailable) as refused:
            Link(f"rediss://127.0.0.1:{port}?ssl_ca_certs={others}").command(0, ["ECHO", "mine"])
        assert refused.value.reason == "ConnectionError"


def test_a_server_without_the_replicas_that_are_asked_for_confirms_nothing(server: EmbeddedValkey) -> None:
    """`?replicas=1` on a server that has none: the call is the store's absence."""
    link = Link(f"{server.url}?replicas=1")
    with pytest.raises(StoreUnavailable) as refused:
        link.call(Call(0, "cancel", [f"{prefix(0)}verification:none"], [1_800_000_000_000, "1000", "t"]))
    assert refused.value.reason == "too few replicas confirmed the write"
