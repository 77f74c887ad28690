"""The dispatch role ends when it is asked to, however many signals ask at once: Ctrl-C reaches whole process groups."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.dispatching import Post
from tests.live import PATIENCE_S, until
from tests.test_dispatcher_metrics import environment

ROUNDS, AT_ONCE = 3, 4
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGTERM)


def role(words: list[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "verify_service", *words], env=env)


def consumers(post: Post, count: int) -> bool:
    """Whether so many dispatchers have begun to take messages."""
    client: Any = post.bench.store.link.client()
    return len(client.xinfo_consumers("vs:{0}:outbox", "dispatch")) == count


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
