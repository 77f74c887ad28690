"""What a dispatcher counts can be scraped where it runs, whether or not a web role is beside it."""

import socket
import subprocess
import sys

import pytest

from tests.support.bench import a_start
from tests.support.dispatching import Post, environment
from tests.support.live import PATIENCE_S, scraped, until
from verify_service.embedded import free_port

pytestmark = pytest.mark.slow


def command(port: int) -> list[str]:
    return [sys.executable, "-m", "verify_service", "dispatch", "--metrics-port", str(port)]


def test_a_dispatcher_serves_its_metrics(post: Post) -> None:
    """On the port that was asked for, without a key: sends, settled messages and weights, and no number."""
    port = free_port()
    process = subprocess.Popen(command(port), env=environment(post))
    try:
        post.bench.service.start("default", a_start("+14155550129"))
        until(lambda: 'verify_settled_total{outcome="sent"} 1.0' in scraped(port))
        until(lambda: 'verify_provider_weight_percent{channel="sms",provider="fake-a"} 100.0' in scraped(port))
        found = scraped(port)
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert 'verify_sends_total{outcome="accepted",provider="fake-a"} 1.0' in found
    assert [line for line in found if "4155550129" in line] == []


def test_a_taken_metrics_port_stops_the_start(post: Post) -> None:
    """In one line, with status 2: a dispatcher that nobody sees would be noticed too late."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(port), env=environment(post), capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    line = f"verify-service: cannot listen on 127.0.0.1:{port} (Address already in use); choose another with "
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{line}--metrics-port\n")
