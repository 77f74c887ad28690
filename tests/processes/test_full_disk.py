"""The embedded store on a disk that is full: nothing is admitted, nothing is lost, and all goes on when there is room.

The disk is full by a limit on the size of files (RLIMIT_FSIZE), which any user may set on a process of theirs, and take
away again: a small file system of its own takes rights that not every machine gives to its tests. The store meets it
where it meets a full disk, in the write before an answer.
"""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.support.contract import ContractClient, a_number
from tests.support.live import until
from verify_service.testing import start_server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="limits another process, which only Linux can"),
]

ROOM = 48 << 10  # bytes, for some dozens of starts
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def test_a_full_disk_stops_starts_and_no_more(tmp_path: Path) -> None:
    """Starts are 503 while the disk is full, and the store is tried again with growing pauses and the reason in the
    log. With room again all goes on by itself, and each start that was answered 201 is there and sent."""
    running = start_server(tmp_path / "state", {"VERIFY_CLOCK": "system"})
    try:
        client = ContractClient(running.server)
        with redis.Redis.from_url((running.server.state_dir / "store-url").read_text()) as store:
            server = store.info("server")["process_id"]
        (file,) = running.server.state_dir.glob("valkey/appendonlydir/*.incr.aof")
        limit = (file.stat().st_size + ROOM, resource.RLIM_INFINITY)
        for pid in (server, running.server.pid):  # What is started again has the limits of who starts it.
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)

        admitted: list[str] = []

        def refused() -> bool:
            status, _, answer = client.request("POST", "/start", {"to": a_number()})
            assert status in (201, 503)
            if status == 201:
                admitted.append(answer["id"])
            return status == 503

        until(refused, "the disk to be full")
        assert admitted
        until(lambda: "starting it again in 3 s" in running.log.read_text(), "a long pause")
        assert all(refused() for _ in range(5))
        assert client.request("GET", "/readyz")[0] == 503
        reason = (
            f" (no room in {running.server.state_dir.resolve() / 'valkey'}: File too large); starting it again in 3 s"
        )
        assert reason in running.log.read_text()

        resource.prlimit(running.server.pid, resource.RLIMIT_FSIZE, UNLIMITED)
        until(lambda: client.request("GET", "/readyz")[0] == 200, "the store to be back")
        until(lambda: not refused(), "a start to be admitted")

        def is_sent(verification: str) -> bool:
            return "sent" in [line["event"] for line in client.status(verification)["timeline"]]

        until(lambda: all(map(is_sent, admitted)), "all messages to be sent")
    finally:
        assert running.stop() == 0


def test_a_log_that_takes_no_more_fails_nothing() -> None:
    """Where standard error lies on the full disk, lines are lost: neither a request nor the supervisor ends by it."""
    program = """
from verify_service import supervisor, telemetry
telemetry.configure_logs()
telemetry.log("web").error("store unavailable")
supervisor._to_stderr("valkey ended")
print("goes on", flush=True)
"""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
    assert done.stdout == "goes on\n"
