"""The command line, run as a user runs it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.contract import Contract
from tests.support.forked import fork
from tests.support.live import PATIENCE_S, clean
from verify_service.settings import METRICS_DIR


def run(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """`verify-service` with these words, in an environment without settings but `env`. It is a process whose imports
    were made before: for what comes to an end, not for a role at work."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        # A web role makes this folder itself, but not where its metrics are imported already.
        shared = {METRICS_DIR: folder, **(env or {})}
        # The patience is for what hangs: how long a command takes is the machine's matter.
        status = fork(words, clean(shared), cwd or Path.cwd(), (out, err), PATIENCE_S)
        return subprocess.CompletedProcess(words, status, out.read_text("utf-8"), err.read_text("utf-8"))


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
    done = run("policy", *words, env={"VERIFY_STATE_DIR": str(state), **(env or {})})
    assert "Traceback" not in done.stderr
    return done
