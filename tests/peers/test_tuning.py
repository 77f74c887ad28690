"""A policy is tuned in the console, by a person with a browser and without the command line: from seeing an attack to
taking a revision back."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.peers.console import chromium, faults, serve, visiting
from tests.support.live import until
from verify_service.testing import RunningServer, VerifyClient, VerifyClock, VerifyProblem

POLICY = """[code]
cooldown = ["1 second"]
guess_ceiling = 1

[[limit]]
name = "number"
of = ["number"]
allow = "3/hour"
"""
LIMIT = """
# one country at once, nobody completes
[[limit]]
name = "country-hour"
of = ["country"]
allow = "5/hour"
"""
_CHOSEN = "(e => e.value.slice(e.selectionStart, e.selectionEnd))(document.activeElement)"
VICTIM = "+14155550123"
PUMPED = [f"+9929012345{n:02}" for n in range(12)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    made = serve(tmp_path_factory.mktemp("tuning"), POLICY)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as made:
        yield made


def words(page: Any) -> str:
    """What is to be read on the page."""
    return " ".join(page.locator("main").inner_text().split())


def answered(client: VerifyClient, to: str) -> int:
    """The status of a start. Each process has the pushed policy within two seconds."""
    return client.request("POST", "/start", {"to": to})[0]


def push(page: Any, why: str) -> None:
    """Pushes what stands in the editor."""
    page.get_by_label("Why", exact=True).fill(why)
    page.get_by_role("button", name="Push").click()
    page.get_by_text("is in force in every process").wait_for()


def test_an_attack_is_seen_tried_against_and_stopped(browser: Any, running: RunningServer) -> None:
    """See it, look up who is hit, write a limit, backtest it, push it in observe, watch, enforce, explain, unlock, and
    roll back."""
    url, client = running.server.url, VerifyClient(running.server)
    clock = VerifyClock(client)
    for n, to in enumerate(PUMPED):
        client.start(to, ip=f"203.0.113.{n}")
    for _ in range(3):
        client.start(VICTIM, ip="198.51.100.7")
        clock.advance(2)
    with pytest.raises(VerifyProblem, match="429"):
        client.start(VICTIM, ip="198.51.100.7")
    with visiting(browser, url) as page:
        # An attack: one country, number after number.
        page.get_by_role("link", name="Decisions").click()
        page.get_by_label("Country").fill("TJ")
        page.get_by_role("button", name="Show", exact=True).click()
        page.wait_for_url("**country=TJ**")
        assert words(page).count("For default, login by sms") == 12
        # A limit against it, which is misspelt first: the page says so while it is typed.
        page.get_by_role("link", name="Policy").click()
        editor = page.get_by_label("The policy")
        editor.fill(POLICY + LIMIT.replace('"country"', '"contry"'))
        page.get_by_role("link", name="Line 13").wait_for()
        assert "did you mean 'country'?" in words(page)
        page.get_by_role("link", name="Line 13").click()
        assert page.evaluate(_CHOSEN) == 'of = ["contry"]'
        editor.fill(POLICY + LIMIT)
        page.get_by_text("It can be pushed.").wait_for()
        assert faults(page) == []
        # What it would have done in the last hour.
        page.get_by_role("button", name="Backtest").click()
        page.get_by_text("starts, judged by both policies").wait_for()
        told = words(page)
        assert "16 starts, judged by both policies" in told
        assert "7 starts that revision 1 admits" in told
        assert "TJ 7 0 to 7 $0.35 0 $0.00" in told
        assert "What cannot be known" in told
        assert editor.input_value() == POLICY + LIMIT
        assert faults(page) == []
        # Pushed so that it only watches, and watched.
        page.get_by_label("How").select_option("observe")
        push(page, "starts to TJ that nobody completes")
        assert "Only observed until you enforce it: country-hour." in words(page)
        more = (f"+99290177{n:04}" for n in count())

        def observed() -> bool:
            client.start(next(more))
            page.goto(f"{url}/console/decisions?outcome=observed&country=TJ")
            return "observed by country-hour" in words(page)

        until(observed)
        # Enforced: who comes now is refused, and the page says why.
        page.get_by_role("link", name="Policy").click()
        page.get_by_role("link", name="enforce country-hour").click()
        assert 'limit country-hour, mode: "observe" is now "enforce"' in words(page)
        push(page, "an hour of observing hit nobody else")
        until(lambda: answered(client, next(more)) == 429)
        page.goto(f"{url}/console/decisions?outcome=refused&country=TJ")
        assert "refused by country-hour" in words(page)
        # Who was hit, and is let in again.
        page.get_by_role("link", name="Look up").click()
        page.get_by_label("Number, email or IP address, or id").fill(VICTIM)
        page.get_by_role("button", name="Look up").first.click()
        page.get_by_role("button", name="Unlock").wait_for()
        page.locator("#unlock-reason").fill("called support")
        page.get_by_role("button", name="Unlock").click()
        page.get_by_role("status").wait_for()
        client.start(VICTIM, ip="198.51.100.7")
        # And back, with a reason.
        page.get_by_role("link", name="Policy").click()
        page.get_by_role("link", name="History and rollback").click()
        assert faults(page) == []
        page.get_by_role("link", name="1", exact=True).click()
        assert "Revision 3 is in force" in words(page)
        assert faults(page) == []
        page.get_by_label("Why").fill("the attack is over")
        page.get_by_role("button", name="Roll back to revision 1").click()
        page.get_by_text("Revision 4 is in force, with the text of 1.").wait_for()
        assert page.get_by_label("The policy").input_value() == POLICY
    until(lambda: answered(client, next(more)) == 201)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_is_for_everybody(browser: Any, running: RunningServer, dark: bool) -> None:
    """On a phone, in light and dark, for who may only look, and without script."""
    with visiting(browser, running.server.url, width=360, dark=dark, script=True) as page:
        page.goto(f"{running.server.url}/console/policy")
        assert faults(page) == []
    with visiting(browser, running.server.url, "read", width=360, dark=dark) as page:
        page.goto(f"{running.server.url}/console/policy")
        assert faults(page) == []
    with visiting(browser, running.server.url, script=False) as page:
        page.goto(f"{running.server.url}/console/policy")
        page.get_by_label("The policy").fill("[code]\ndigits = 1")
        page.get_by_role("button", name="Check").click()
        assert "code.digits" in words(page)
