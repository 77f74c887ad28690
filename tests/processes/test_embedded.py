"""The embedded store, on real server processes."""

import contextlib
import os
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.live import PATIENCE_S
from verify_service.embedded import EmbeddedStoreError, EmbeddedValkey, free_port

REPO = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "store") as store:
        yield store


@contextlib.contextmanager
def client_of(store: EmbeddedValkey) -> Iterator["redis.Redis"]:
    client = redis.Redis.from_url(store.url, decode_responses=True, retry=None)
    try:
        yield client
    finally:
        client.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_when_start_returns_it_takes_writes(store: EmbeddedValkey) -> None:
    """`start` returns once commands are answered: nobody needs to wait or retry after it."""
    with client_of(store) as client:
        assert client.set("a", "1") is True


def test_only_this_user_can_reach_it_and_it_has_no_port(store: EmbeddedValkey) -> None:
    """By default the folder and the socket are this user's alone, and no TCP port is open."""
    assert mode(store.directory) == 0o700
    assert mode(store.directory / "valkey.sock") == 0o700
    with client_of(store) as client:
        assert client.config_get("port") == {"port": "0"}


def test_only_who_asks_for_huge_pages_gets_them(store: EmbeddedValkey, tmp_path: Path) -> None:
    """A server with a file forks, and would copy 2 MB for each byte that changes meanwhile: there it turns them off."""
    with EmbeddedValkey(tmp_path / "large", append_fsync=None, huge_pages=True) as large:
        assert redis.Redis.from_url(large.url).config_get("disable-thp") == {"disable-thp": "no"}
        assert large.child.env == {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
    assert redis.Redis.from_url(store.url).config_get("disable-thp") == {"disable-thp": "yes"}
    assert store.child.env == {}


def test_it_never_drops_a_key_to_make_room(store: EmbeddedValkey) -> None:
    """The server refuses writes when memory is full, rather than forget a limit; snapshots are off."""
    with client_of(store) as client:
        assert client.config_get("maxmemory-policy", "save", "appendonly", "appendfsync") == {
            "maxmemory-policy": "noeviction",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "always",
        }


def test_what_was_answered_survives_kill_9(store: EmbeddedValkey) -> None:
    """A write that was answered is there after `kill -9` and a start on the same folder and address."""
    url = store.url
    for round_ in range(3):
        with client_of(store) as client:
            client.rpush("log", round_)
        store.kill()
        assert not store.alive
        store.start()
        assert store.url == url
    with client_of(store) as client:
        assert client.lrange("log", 0, -1) == ["0", "1", "2"]


def test_half_a_command_at_the_end_of_the_file_does_not_keep_it_from_starting(store: EmbeddedValkey) -> None:
    """A write that a kill or a power cut left half in the file is dropped, and the rest is served."""
    with client_of(store) as client:
        client.set("whole", "1")
    store.kill()
    newest = max(store.directory.glob("appendonlydir/*.incr.aof"))
    with newest.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    store.start()
    with client_of(store) as client:
        assert client.keys() == ["whole"]


def test_stop_leaves_the_data_and_nothing_else(tmp_path: Path) -> None:
    """After `stop` there is no process and no socket file; the data is there for the next start."""
    store = EmbeddedValkey(tmp_path)
    for expected in (None, "1"):
        store.start()
        pid = store.pid
        with client_of(store) as client:
            assert client.get("a") == expected
            client.set("a", "1")
        store.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert not (tmp_path / "valkey.sock").exists()


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """Where the folder's path is too long for a socket, that lies in a private folder that `stop` removes."""
    store = EmbeddedValkey(tmp_path / ("x" * 120))
    with store:
        path = Path(store.url.removeprefix("unix://"))
        assert len(bytes(path)) <= 100
        assert mode(path.parent) == 0o700
        with client_of(store) as client:
            assert client.ping()
    assert not path.parent.exists()


def test_a_folder_has_one_server_at_a_time(store: EmbeddedValkey) -> None:
    """A second server on the same folder is refused, and the first is left undisturbed."""
    second = EmbeddedValkey(store.directory)
    with pytest.raises(EmbeddedStoreError, match="in use by another"):
        second.start()
    second.stop()
    with client_of(store) as client:
        assert client.ping()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """A start that fails raises with the server's own words, and takes the folder from nobody."""
    with pytest.raises(EmbeddedStoreError, match="no-such-option"):
        EmbeddedValkey(tmp_path, extra=["--no-such-option", "1"]).start()
    with EmbeddedValkey(tmp_path) as store:
        assert store.answers()


def test_with_a_port_it_listens_on_loopback_only(tmp_path: Path) -> None:
    """With `cluster` it takes a free port of 127.0.0.1, and its URL names it."""
    with EmbeddedValkey(tmp_path, cluster=True) as store, client_of(store) as client:
        assert store.url == f"redis://127.0.0.1:{store.port}"
        assert client.config_get("bind") == {"bind": "127.0.0.1"}
        assert client.info("cluster") == {"cluster_enabled": 1}
        with socket.create_connection(("127.0.0.1", (store.port or 0) + 10_000), timeout=PATIENCE_S):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_it_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    """`kill -9` of the process that started it ends the server too, so no orphan holds the folder."""
    program = (
        "import pathlib, sys; from verify_service.embedded import EmbeddedValkey as E\n"
        "store = E(pathlib.Path(sys.argv[1])); store.start(); print(store.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPO,
    ) as parent:
        assert parent.stdout is not None
        server = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        wait_for_end(server)
    with EmbeddedValkey(tmp_path) as store:
        assert store.answers()


def wait_for_end(pidfd: int, timeout: float = 60) -> None:
    """Returns when the process has ended; fails after `timeout` seconds."""
    try:
        assert select.select([pidfd], [], [], timeout)[0], "still running"
    finally:
        os.close(pidfd)


def test_no_free_port_is_the_bus_of_another() -> None:
    """A cluster's node listens 10,000 above its port as well; and from 32,768 on, Linux gives ports to connections."""
    drawn = {free_port() for _ in range(300)}
    buses = {port + 10_000 for port in drawn}
    assert len(drawn) > 100
    assert not drawn & buses
    assert max(buses) < 32_768
