"""A role ends when it is asked to, however many signals ask at once: Ctrl-C reaches whole process groups."""

import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from tests.dispatching import Post
from tests.live import PATIENCE_S, until
from tests.test_dispatcher_metrics import environment
from verify_service.embedded import free_port

ROUNDS, AT_ONCE = 3, 4
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGTERM)


def role(words: list[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "verify_service", *words], env=env)


def consumers(post: Post, count: int) -> bool:
    """Whether so many dispatchers have begun to take messages."""
    client: Any = post.bench.store.link.client()
    return len(client.xinfo_consumers("vs:{0}:outbox", "dispatch")) == count


def answers(port: int) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def end(processes: "list[subprocess.Popen[bytes]]") -> list[int]:
    """Their exit statuses after signals that come some microseconds apart; None of them may take for ever."""
    for process in processes:
        for number in SIGNALS:
            process.send_signal(number)
            time.sleep(0.00001)
    try:
        return [process.wait(PATIENCE_S) for process in processes]
    finally:
        for process in processes:
            process.kill()


def test_a_dispatcher_that_is_asked_many_times_at_once_ends(post: Post) -> None:
    """SIGTERM and SIGINT microseconds apart, on a dozen dispatchers: each ends, with status 0."""
    env = environment(post)
    for nth in range(ROUNDS):
        processes = [role(["dispatch"], env) for _ in range(AT_ONCE)]
        until(partial(consumers, post, AT_ONCE * (nth + 1)))
        assert end(processes) == [0] * AT_ONCE


def test_a_web_server_that_is_asked_many_times_at_once_ends(post: Post) -> None:
    """The same for the web role."""
    env = environment(post) | {"VERIFY_API_KEY": "vk_default_0123456789"}
    ports = [free_port() for _ in range(AT_ONCE)]
    processes = [role(["web", "--quiet", "--workers", "1", "--port", str(port)], env) for port in ports]
    until(lambda: all(answers(port) for port in ports))
    assert end(processes) == [0] * AT_ONCE
