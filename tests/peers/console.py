"""The console in a person's browser: Chromium, driven by Playwright, with axe-core's eyes for who needs a page to be
accessible."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.peers.looking import BROWSER, CHROMIUM
from tests.support.console import KEYS, TOML
from verify_service.testing import RunningServer, start_server

PATIENCE_MS = 300_000
"""However busy the machine is."""
_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_AXE = f"axe.run(document, {{ runOnly: {_WCAG} }})"


def serve(folder: Path, policy: str = "", toml: str = TOML, **environment: str) -> RunningServer:
    """A whole service whose operators are those of `tests.support.console`; its caller stops it."""
    (folder / "verify.toml").write_text(toml)
    settings = {"VERIFY_CONFIG": str(folder / "verify.toml"), **environment}
    if policy:
        (folder / "policy.toml").write_text(policy)
        settings["VERIFY_POLICY"] = str(folder / "policy.toml")
    return start_server(folder / "state", settings)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of Playwright's, for one or many `visiting`s."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGS, timeout=PATIENCE_MS)
        yield browser
        browser.close()


@contextmanager
def visiting(
    browser: Any, url: str, scope: str | None = "admin", *, width: int = 1280, dark: bool = False, script: bool = True
) -> Iterator[Any]:
    """A page of Playwright's, at the console of the server at `url`, signed in as the operator of that scope, or by a
    key of another server's; nobody where it is None. Raises AssertionError at the end for what the browser complained
    of: a script that was kept from running, a style that was not applied, an error."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
        java_script_enabled=script,
        locale="en-US",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.extend([said.text] * _is_complaint(said)))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{url}/console/")
    if scope:
        page.get_by_label("Your operator key").fill(KEYS.get(scope, scope))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Sign out").wait_for()
    yield page
    context.close()
    assert complaints == [], complaints


def _is_complaint(said: Any) -> bool:
    """Chromium notes each answer that is an error, and pages of errors are looked at, too."""
    return said.type in ("error", "warning") and "Failed to load resource" not in said.text


def faults(page: Any) -> list[str]:
    """What axe-core finds against WCAG 2.2 AA on the page as it is shown, and whether anything is cut off at the side:
    empty where all is well."""
    page.wait_for_load_state()
    page.evaluate((BROWSER / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8"))
    told = page.evaluate(_AXE)
    assert len(told["passes"]) > 5
    seen = [f"{each['id']}: {node['html']}" for each in told["violations"] for node in each["nodes"]]
    if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        seen.append(f"{page.url} is wider than {page.viewport_size['width']} pixels")
    return seen
