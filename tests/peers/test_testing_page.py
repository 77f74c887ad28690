"""The testers' page: its recipe for Playwright signs a person in, in Chromium, on the example app."""

import re
import subprocess
import sys
from pathlib import Path

import urllib3

from tests.peers.looking import BROWSER, CHROMIUM
from tests.support.live import PATIENCE_S, until
from verify_service.embedded import free_port
from verify_service.testing import start_server

DOCS = Path(__file__).parents[2] / "docs"
KEY = "a-key-for-tests-only"
APP = "import app, sys; app.create_app(*sys.argv[1:3], 'a secret').run(port=int(sys.argv[3]))"
# Whose machine it is decides where the browser is, and how long all may take.
CONFIG = f"""
export default {{
  timeout: {PATIENCE_S * 1000:.0f},
  expect: {{ timeout: {PATIENCE_S * 1000:.0f} }},
  use: {{ launchOptions: {{ executablePath: "{CHROMIUM}", args: ["--no-sandbox"] }} }},
}};
"""


def test_the_recipe_for_playwright_signs_a_person_in(tmp_path: Path) -> None:
    """As printed, but for the ports."""
    page = (DOCS / "testing.md").read_text("utf-8")
    recipe = next(
        block for block in re.findall(r"^```ts\n(.*?)^```$", page, re.DOTALL | re.MULTILINE) if "test(" in block
    )
    assert KEY in recipe
    running = start_server(tmp_path / "state", {"VERIFY_API_KEY": KEY}, workers=1)
    port = free_port()
    url = f"http://localhost:{port}"
    spec = recipe.replace("http://127.0.0.1:8080", running.server.url).replace("http://localhost:5000", url)
    (tmp_path / "login.spec.ts").write_text(spec)
    (tmp_path / "playwright.config.ts").write_text(CONFIG)
    (tmp_path / "node_modules").symlink_to(BROWSER / "node_modules")
    command = [sys.executable, "-c", APP, running.server.url, KEY, str(port)]
    app = subprocess.Popen(command, cwd=DOCS / "example", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with urllib3.PoolManager(retries=False) as pool:
            until(lambda: answers(pool, url), "the app to answer")
        done = subprocess.run(
            ["node_modules/.bin/playwright", "test"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed" in done.stdout
    finally:
        app.terminate()
        app.wait(PATIENCE_S)
        running.stop()


def answers(pool: urllib3.PoolManager, url: str) -> bool:
    try:
        return pool.request("GET", f"{url}/login").status == 200
    except urllib3.exceptions.HTTPError:
        return False
