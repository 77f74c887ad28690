"""Pictures of the console, in the demonstration, while it is attacked: `python -m tests.peers.pictures FOLDER`.

Those of docs/console.md are made so, by `make pictures`.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.peers.console import chromium, visiting
from verify_service.embedded import free_port

PAGES = ("now", "decisions", "blocks", "policy", "delivery")


class Shown(NamedTuple):
    """A demonstration that is under attack, and has blocked a place: the console's server, and the operator's key."""

    url: str
    key: str


@contextmanager
def demonstration(days: float = 2.0, attack_after: float = 20.0) -> Iterator[Shown]:
    """Until the end of the block."""
    argv = [
        "demo",
        "--port",
        str(free_port()),
        "--days",
        str(days),
        "--attack-after",
        str(attack_after),
        "--no-browser",
    ]
    process = subprocess.Popen([sys.executable, "-m", "verify_service", *argv], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if line.startswith("Blocked"):
                break
        found = re.search(r"Console +(\S+)/console\nKey +(\S+)", said)
        assert found, said
        yield Shown(*found.groups())
    finally:
        process.terminate()
        process.communicate()


def take(page: Any, folder: Path, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=str(folder / f"console-{name}.png"))


def main(folder: Path) -> None:
    with demonstration() as shown, chromium() as browser:
        with visiting(browser, shown.url, shown.key) as page:
            for name in PAGES:
                page.goto(f"{shown.url}/console/{'' if name == 'now' else name}")
                take(page, folder, name)
        with visiting(browser, shown.url, shown.key, width=360, dark=True) as page:
            take(page, folder, "now-360-dark")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
