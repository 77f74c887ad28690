"""The console in Chromium: what each page needs of a person and of a browser."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.peers.console import chromium, faults, serve, visiting
from tests.support.console import KEYS
from verify_service.web.console import showing

PAGES = tuple(f"/console{entry.path}" for entry in showing.PAGES)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = serve(tmp_path_factory.mktemp("console"))
    yield running.server.url
    running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_has_a_fault_of_wcag_2_2_aa(browser: Any, url: str, width: int, dark: bool) -> None:
    """In light and in dark, on a phone and on a desk; nothing is cut off, and the browser complains of nothing."""
    with visiting(browser, url, None, width=width, dark=dark) as page:
        assert faults(page) == []
    with visiting(browser, url, width=width, dark=dark) as page:
        for path in PAGES:
            page.goto(url + path)
            assert (path, faults(page)) == (path, [])


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without"])
def test_a_keyboard_is_enough_to_sign_in_and_out(browser: Any, url: str, script: bool) -> None:
    """The first field has the focus; the link past the navigation is the first that Tab comes to."""
    with visiting(browser, url, None, script=script) as page:
        page.locator("#key:focus").wait_for()  # A busy browser gives it the focus a while after the page is there.
        page.keyboard.type(KEYS["read"])
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Sign out").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
        page.get_by_role("button", name="Sign out").focus()
        page.keyboard.press("Enter")
        page.get_by_label("Your operator key").wait_for()
