"""Signing in to the console by a provider that is not ours, `oidc-provider`, in Chromium: at another site, so that the
browser's own rules for cookies hold."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.peers.console import chromium, faults, visiting
from tests.support.console import TOML
from verify_service.embedded import free_port
from verify_service.testing import start_server

PROVIDER = Path(__file__).parent / "openid" / "provider.mjs"
MODULES = Path(sys.prefix) / "openid" / "node_modules"
CLIENT, SECRET = "verify-console", "a secret: with % and +"
OIDC = """
public_url = "{url}"
{toml}
[console.oidc]
issuer = "{issuer}"
client_id = "{client}"
client_secret = "env:CONSOLE_SECRET"
admins = ["Ada@example.com"]
readers = ["mallory@example.com", "rex"]
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service at `localhost`, whose provider is at 127.0.0.1: another site for a browser."""
    folder, port = tmp_path_factory.mktemp("openid"), free_port()
    url = f"http://localhost:{port}"
    asked = {"client": CLIENT, "secret": SECRET, "redirect": f"{url}/console/sign-in/back"}
    with subprocess.Popen(
        ["node", PROVIDER, MODULES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as provider:
        assert provider.stdin
        assert provider.stdout
        provider.stdin.write(f"{json.dumps(asked)}\n")
        provider.stdin.flush()
        issuer = provider.stdout.readline().strip()
        assert issuer.startswith("http://127.0.0.1:")
        toml = folder / "verify.toml"
        toml.write_text(OIDC.format(url=url, toml=TOML, issuer=issuer, client=CLIENT))
        environment = {"VERIFY_CONFIG": str(toml), "CONSOLE_SECRET": SECRET}
        running = start_server(folder / "state", environment, port=port)
        yield url
        running.stop()
        provider.stdin.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


def at_the_provider(page: Any, name: str) -> None:
    """What its person does there: says who they are, and agrees."""
    page.get_by_role("link", name="Sign in at 127.0.0.1").click()
    page.get_by_placeholder("Enter any login").fill(name)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without"])
def test_a_person_signs_in_at_the_provider(browser: Any, url: str, script: bool) -> None:
    """And is at the page that was wanted: the cookie of the session, which no other site's link brings along, is there
    all the same. "Sign out everywhere" ends it in a second browser."""
    with visiting(browser, url, None, script=script) as page, visiting(browser, url, None) as other:
        for each in (page, other):
            each.goto(f"{url}/console/you?from=link")
            at_the_provider(each, "ada")
            each.wait_for_url(f"{url}/console/you?from=link")
        assert "You are signed in as ada@example.com, and may look and change things." in page.inner_text("main")
        cookies = {each["name"]: each for each in page.context.cookies(url)}
        assert set(cookies) == {"verify-console"}
        assert (cookies["verify-console"]["sameSite"], cookies["verify-console"]["httpOnly"]) == ("Strict", True)
        page.get_by_role("button", name="Sign out everywhere").click()
        page.get_by_label("Your operator key").wait_for()
        other.goto(f"{url}/console/")
        other.get_by_label("Your operator key").wait_for()


def test_an_email_that_is_not_verified_lets_nobody_in(browser: Any, url: str) -> None:
    """Though it stands in the list; a subject does, and may look."""
    with visiting(browser, url, None) as page:
        at_the_provider(page, "mallory")
        page.get_by_text("Your provider knows you (mallory, without a verified email)").wait_for()
        assert {each["name"] for each in page.context.cookies(url)} == {"verify-signing-in"}
    with visiting(browser, url, None) as page:
        at_the_provider(page, "rex")
        page.get_by_role("button", name="Sign out").wait_for()
        page.goto(f"{url}/console/you")
        assert "You are signed in as rex, and may look, and change nothing." in page.inner_text("main")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_its_pages_have_no_fault_of_wcag_2_2_aa(browser: Any, url: str, dark: bool) -> None:
    """On a phone."""
    with visiting(browser, url, None, width=360, dark=dark) as page:
        assert faults(page) == []
        page.goto(f"{url}/console/sign-in/back?state=none")
        page.get_by_text("it was not begun in this browser").wait_for()
        assert faults(page) == []
    with visiting(browser, url, width=360, dark=dark) as page:
        page.goto(f"{url}/console/you")
        assert faults(page) == []
