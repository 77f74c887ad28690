"""The command line, run as a user runs it."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.support.contract import Contract
from tests.support.live import PATIENCE_S, clean


def run(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """`verify-service` with these words, in an environment without settings but `env`."""
    return subprocess.run(
        [sys.executable, "-m", "verify_service", *words],
        env=clean(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,  # for what hangs: how long a command takes is the machine's matter
        check=False,
    )


def fails(*words: str, env: Mapping[str, str] | None = None, status: int = 2) -> str:
    """The one line on standard error with which the command ends; nothing is on standard output."""
    done = run(*words, env=env)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("verify-service: ")
    return line.removeprefix("verify-service: ")


def command(live: Contract, *words: str, env: Mapping[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """`verify-service policy` with these words, for the service of the test module."""
    state = live.running.server.state_dir
    done = subprocess.run(
        [sys.executable, "-m", "verify_service", "policy", *words],
        env=clean({"VERIFY_STATE_DIR": str(state), **(env or {})}),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,  # for what hangs: how long a command takes is the machine's matter
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done
