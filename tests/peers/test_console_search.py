"""The console's Decisions and Look up in Chromium: somebody calls support, is found, and is let in again."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.console import chromium, faults, serve, visiting
from tests.support.contract import a_number
from verify_service.testing import RunningServer, VerifyClient

POLICY = """
[code]
cooldown = ["1 second"]
[[limit]]
name = "number"
of = ["number"]
allow = "1/hour"
[[limit]]
name = "guesses"
of = ["number"]
allow = "10/day"
counts = "wrong-codes"
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    made = serve(tmp_path_factory.mktemp("search"), POLICY)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.mark.parametrize(("width", "dark", "script"), [(360, False, True), (1280, True, True), (1280, False, False)])
def test_who_calls_support_is_found_and_unlocked(
    browser: Any, running: RunningServer, width: int, dark: bool, script: bool
) -> None:
    """From the refusal in the list to the person's own page, by the keyboard; each page without a fault of WCAG 2.2 AA,
    and the number in no address."""
    to, client = a_number(), VerifyClient(running.server)
    answers = [client.request("POST", "/start", {"to": to, "purpose": purpose})[0] for purpose in ("login", "sale")]
    assert answers == [201, 429]

    with visiting(browser, running.server.url, width=width, dark=dark, script=script) as page:

        def is_well() -> None:
            assert to[2:] not in page.url
            assert (page.url, faults(page) if script else []) == (page.url, [])

        page.get_by_role("link", name="Decisions", exact=True).first.click()
        page.get_by_label("Outcome").select_option("refused")
        page.get_by_label("Limit or rule").fill("number")
        page.keyboard.press("Enter")
        page.wait_for_url("**/decisions?outcome=refused&rule=number&*")
        page.get_by_text("The limit number refuses: 1 of 1 within an hour").first.wait_for()
        is_well()
        page.get_by_label("Number begins with").fill(to)
        page.keyboard.press("Enter")
        page.get_by_label("Number begins with").and_(page.locator(":invalid")).wait_for()
        page.get_by_role("link", name="de_").first.click()
        page.get_by_role("heading", name="Decision", exact=True).wait_for()
        is_well()
        page.get_by_role("link", name="Look up", exact=True).click()
        page.get_by_label("Number, email or IP address, or id").fill(to)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="What is counted").wait_for()
        is_well()
        page.get_by_label("Reason").first.fill("called support")
        page.keyboard.press("Enter")
        page.get_by_text("Unlocked:").wait_for()
        is_well()
        page.get_by_role("link", name="Look up somebody else").click()
        page.get_by_label("Number, email or IP address, or id").fill("ann")
        page.keyboard.press("Enter")
        page.get_by_text("This is a number with + and its country code").wait_for()
        is_well()
    assert client.request("POST", "/start", {"to": to})[0] == 201
