"""Programs of others that more than one test runs."""

import subprocess
from pathlib import Path

PROMTOOL = "/usr/bin/promtool"


def promtool(*words: object) -> str:
    """What it says; AssertionError with it where it finds a fault."""
    assert Path(PROMTOOL).exists(), f"there is no {PROMTOOL}: make test-peers installs Debian's prometheus"
    done = subprocess.run([PROMTOOL, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
