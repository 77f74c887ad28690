"""The script of the example logins, in Chromium."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.contract import a_number
from tests.support.logins import express_app, flask_app, login_service
from verify_service.testing import VerifyServer

BROWSER = Path(sys.prefix) / "browser"
CHROMIUM = "/usr/bin/chromium"


@pytest.fixture(scope="module")
def verify_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifyServer]:
    """A service whose clock goes with the browser's: no test here moves it."""
    running = login_service(tmp_path_factory.mktemp("login"))
    yield running.server
    assert running.stop() == 0


@pytest.mark.parametrize("app", [flask_app, express_app])
def test_the_script_counts_down_sends_a_whole_code_and_takes_it_from_the_browser(
    app: Callable[[str, str], AbstractContextManager[str]], verify_server: VerifyServer
) -> None:
    """On the page of either app, under its CSP, of which nothing in the browser complains."""
    script = Path(__file__).parent / "browser" / "login.mjs"
    service = {"verify": verify_server.url, "key": verify_server.api_key}
    with app(verify_server.url, verify_server.api_key) as url:
        typed, counted, read = a_number(), a_number(), a_number()
        plan = service | {"url": url, "typed": typed, "counted": counted, "read": read}
        done = subprocess.run(
            ["node", str(script), str(BROWSER / "node_modules"), CHROMIUM],
            input=json.dumps(plan),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["typed"] == {
        "wrong": "That is not the code. Tries left: 4.",
        "right": f"Signed in as {typed}.",
        "complaints": [],
    }
    before, then, after = seen["counted"]["looks"]
    seconds = [int(figure) for _, _, words in (before, then) for figure in re.findall(r"possible in (\d+) s", words)]
    assert (before[:2], then[:2], after) == ([False, False], [False, False], [True, True, ""])
    assert 30 >= seconds[0] >= seconds[1] + 3
    assert seen["counted"]["complaints"] == []
    assert seen["read"] == {"asked": ["sms"], "right": f"Signed in as {read}.", "complaints": []}
