"""An attack as a person sees it in Chromium: from the first page to the block that is lifted."""

import re
from pathlib import Path
from typing import Any

from tests.peers.console import chromium, faults, serve, visiting
from tests.support.detector import numbers, policy_of
from verify_service.testing import VerifyClient

POLICY = policy_of("pump", "enforce") + (
    'usual_conversion = 0.9\n[[rule]]\nname = "spend"\nkind = "budget"\nof = ["country"]\nallow = "$3/day"\n'
)


def test_a_person_finds_the_attack_and_ends_the_block(tmp_path: Path) -> None:
    """The first page turns to it by itself, without a reload, says the place and leads to the block; on a phone and on
    a desk, in light and in dark, nothing on the three pages is out of anybody's reach. Lifted, the page is calm."""
    running = serve(tmp_path, POLICY, VERIFY_CLOCK="virtual")
    try:
        with chromium() as browser:
            url = running.server.url
            with visiting(browser, url) as page:
                assert "Under attack" not in page.inner_text("main")
                client = VerifyClient(running.server)
                refused = 0
                for number in numbers(40):
                    status, _, _ = client.request("POST", "/start", {"to": number})
                    refused += status == 403
                assert refused > 10
                page.get_by_role("heading", name="Under attack").wait_for()
                sentence = page.locator(".verdict li").first.inner_text()
                attacked = r"\+2162010… is blocked since \d\d:\d\d UTC: \d+ starts refused, about \$[\d.]+ saved"
                assert re.search(attacked, sentence)
            for width, dark in ((360, False), (1280, True)):
                with visiting(browser, url, width=width, dark=dark) as page:
                    for path in ("?span=15m", "?span=30d&by=place", "blocks", "delivery"):
                        page.goto(f"{url}/console/{path}")
                        opened(page)
                        assert (path, faults(page)) == (path, [])
            with visiting(browser, url, script=False) as page:
                page.get_by_role("link", name="See the blocks").click()
                page.get_by_label("Why it is a mistake").fill("our own campaign")
                page.get_by_role("button", name="Lift this block").click()
                assert "+2162010 is free again." in page.get_by_role("status").inner_text()
                page.get_by_role("link", name="Now", exact=True).click()
                assert "Under attack" not in page.locator(".verdict").inner_text()
    finally:
        running.stop()


def opened(page: Any) -> None:
    """Each table of figures is open."""
    for summary in page.locator("summary").all():
        summary.click()
