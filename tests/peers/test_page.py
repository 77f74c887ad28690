"""The hosted page in Chromium: what a person sees and does there, and WCAG 2.2 AA as axe-core finds it."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.contract import a_number
from tests.support.live import BASE
from verify_service.embedded import free_port
from verify_service.testing import VerifyClient, VerifyInbox, start_server

BROWSER = Path(sys.prefix) / "browser"
CHROMIUM = "/usr/bin/chromium"
TOML = """
public_url = "http://localhost:{port}"
[tenants.default]
brand = "Blue Bicycle Shop"
colour = "#0b57d0"
return_urls = ["{app}"]
[providers.fake-a]
kind = "fake"
[[routes]]
fallback = ["voice"]
via = [{{ provider = "fake-a" }}]
[[routes]]
channel = "voice"
via = [{{ provider = "fake-a" }}]
"""
# Long enough that no page's time runs out while others are looked at.
POLICY = BASE.replace("digits = 6", 'digits = 6\nlife = "1 hour"\ncooldown = ["30 minutes"]')


class _App(BaseHTTPRequestHandler):
    """The application that a page leads back to."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        with suppress(OSError):  # The browser has seen enough.
            self.wfile.write(b"<!doctype html><title>app</title><main>Welcome back</main>")

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def application() -> Iterator[str]:
    """Its address, at another origin than the page's."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _App) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/back"
        server.shutdown()


def look(folder: Path, shots: Path | None = None) -> dict[str, Any]:
    """All that the browser has seen. `shots` is where pictures of it go."""
    with application() as app:
        port = free_port()
        toml, policy = folder / "verify.toml", folder / "policy.toml"
        toml.write_text(TOML.format(port=port, app=app))
        policy.write_text(POLICY)
        running = start_server(folder / "state", {"VERIFY_CONFIG": str(toml), "VERIFY_POLICY": str(policy)}, port=port)
        try:
            plan = plan_of(VerifyClient(running.server), app) | {"shots": shots and str(shots)}
            done = subprocess.run(
                ["node", str(Path(__file__).parent / "browser" / "look.mjs"), str(BROWSER / "node_modules"), CHROMIUM],
                input=json.dumps(plan),
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            running.stop()
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def plan_of(client: VerifyClient, app: str) -> dict[str, Any]:
    """Pages in each situation, and the codes of those that are typed."""
    inbox = VerifyInbox(client)

    def started(**fields: Any) -> dict[str, str]:
        to = a_number()
        made = client.start(to, page={"return_url": app, "state": "s1"}, **fields)
        return {"id": made["id"], "url": made["page"], "code": inbox.code(to)}

    ended = started()
    client.check(id=ended["id"], code=ended["code"])
    asking = started()["url"]
    return {
        "app": app,
        "looks": {
            "asking": asking,
            "wrong": f"{started()['url']}?said=wrong",
            "limited": f"{started()['url']}?said=limited&wait=30",
            "arabic": f"{started(locale='ar')['url']}?said=sent_again",
            "ended": ended["url"],
            "gone": asking[:-4],
        },
        "logins": {"with script": started(), "without script": started()},
        "countdown": started()["url"],
        "webotp": started(),
        "framed": asking,
        "forged": started(),
    }


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return look(tmp_path_factory.mktemp("page"))


def test_no_page_has_a_fault_of_wcag_2_2_aa(seen: dict[str, Any]) -> None:
    """In each situation, at 320 and 1280 pixels, in light and in dark; nothing is cut off, nothing is complained of."""
    assert len(seen["looks"]) == 6 * 2 * 2
    for each in seen["looks"]:
        about = each["name"], each["width"], each["colorScheme"]
        assert (each["violations"], each["unsure"], each["overflows"]) == ([], [], False), about
        assert each["passes"] > 5, about
        assert each["direction"] == ("rtl" if each["name"] == "arabic" else "ltr")
        assert each["complaints"] == ([] if each["name"] != "gone" else each["complaints"]), about


@pytest.mark.parametrize("how", ["with script", "without script"])
def test_a_person_signs_in(seen: dict[str, Any], how: str) -> None:
    """A wrong code, the right one, back at the application; and what the back button shows then."""
    flow = seen["flows"][how]
    assert flow["complaints"] == []
    assert "This code is not right." in flow["wrong"]
    assert "Tries left: 4" in flow["wrong"]
    assert "status=approved&state=s1" in flow["led"]
    assert "You have already confirmed this code." in flow["back"]


def test_the_time_to_the_next_send_runs(seen: dict[str, Any]) -> None:
    """The button waits for it, and is there then."""
    flow = seen["flows"]["countdown"]
    assert flow["first"][:2] == [True, False]
    assert re.search(r"You can ask for it again in \d\d:\d\d\.", flow["first"][2])
    assert re.search(r"You can ask for it again in \d\d:\d\d\.", flow["then"])
    assert flow["then"] != flow["first"][2]
    assert flow["last"] == [False, True]
    assert flow["complaints"] == []


def test_a_code_that_the_browser_reads_signs_in_by_itself(seen: dict[str, Any]) -> None:
    """As WebOTP gives it to the page."""
    assert "status=approved" in seen["flows"]["webotp"]["led"]


def test_no_other_page_has_it(seen: dict[str, Any]) -> None:
    """Neither in a frame, nor by a form of its own."""
    assert seen["flows"]["framed"]["inside"] is False
    assert seen["flows"]["forged"]["words"] == "Something went wrong. Please try again."
