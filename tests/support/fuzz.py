"""Fuzzing: schemathesis makes up requests from `openapi.yaml` for every call, fitting and not, and judges the answers.

`python -m tests.support.fuzz` is the long form, with a seed of its own each time; the suite runs a short one that can
be repeated.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from verify_service.testing import start_server

TOP = Path(__file__).parents[2]
LONG = ("--max-examples", "1000")
# Not for us: a fitting text need not be a phone number; a canceled verification can still be looked at, by contract.
NOT_CHECKED = "positive_data_acceptance,use_after_free,ensure_resource_availability"


def fuzz(*options: str) -> tuple[int, str]:
    """One run against a server of its own: schemathesis' exit status, and its report with the server's log."""
    with TemporaryDirectory(prefix="verify-fuzz-") as folder:
        running = start_server(Path(folder) / "state")
        try:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "schemathesis.cli", "run", str(TOP / "openapi.yaml")),
                    *("--url", running.server.url, "--header", f"Authorization: Bearer {running.server.api_key}"),
                    *("--exclude-checks", NOT_CHECKED, "--continue-on-failure"),
                    # How long it takes is the machine's matter.
                    *("--suppress-health-check", "too_slow", "--request-timeout", "60"),
                    *("--warnings", "off", "--no-color", *options),
                ],
                cwd=folder,
                env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.support.fuzz_hooks", "PYTHONPATH": str(TOP)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        finally:
            running.stop()
        return done.returncode, f"{done.stdout}\nThe server's log:\n{running.log.read_text('utf-8', 'replace')}"


if __name__ == "__main__":
    status, report = fuzz(*(sys.argv[1:] or LONG))
    print(report)
    sys.exit(status)
