"""A person's browser on hosted pages: Chromium, driven by `browser/look.mjs`, on a server of its own.

`python -m tests.peers.looking FOLDER` puts pictures of what it sees there; those of docs/hosted-page.md are made so.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyotp

from tests.support.contract import a_number
from tests.support.live import BASE
from verify_service.embedded import free_port
from verify_service.testing import VerifyClient, VerifyInbox, VerifyServer, start_server

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
            client = VerifyClient(running.server)
            plan = plan_of(client, app) | users_of(client, running.server, app) | {"shots": shots and str(shots)}
            plan["looks"] |= plan.pop("user_looks")
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


def users_of(client: VerifyClient, server: VerifyServer, app: str) -> dict[str, Any]:
    """Pages of users: of one who has an app, and of others who are to set one up."""

    def asked(method: str, path: str, **body: Any) -> dict[str, Any]:
        status, _, answer = client.request(method, path, body)
        assert status in (200, 201), answer
        found: dict[str, Any] = answer
        return found

    def page(user: str, **fields: Any) -> str:
        return str(asked("POST", f"/users/{user}/page", return_url=app, state="s1", **fields)["page"])

    factor = asked("POST", "/users/ada/factors", kind="totp")
    code = pyotp.TOTP(factor["secret"]).now()
    assert asked("POST", f"/users/ada/factors/{factor['id']}/verify", code=code)["approved"]
    to = a_number()
    return {
        "enrolments": {how: page(how.split()[0], enrol="totp") for how in ("with script", "without script")},
        "choosing": {
            "url": page("ada", to=to),
            "inbox": f"{server.url}/fake/inbox/{to}?wait=20",
            "key": server.api_key,
        },
        "user_looks": {
            "enrolling": page("bob", enrol="totp"),
            "ways": f"{page('ada', to=a_number())}?said=wrong",
            "recovery": f"{page('ada')}?by=recovery",
        },
    }


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        look(Path(folder), Path(sys.argv[1]))
