"""The pages Now and Blocks: whether the service is under attack, where, what it costs, what to press; and no text of an
attacker's as anything but text."""

import re
from pathlib import Path
from typing import Any

from tests.support.alerts import terms
from tests.support.bench import a_start
from tests.support.console import Desk
from tests.support.detector import numbers
from verify_service.errors import Blocked
from verify_service.store import Store
from verify_service.store.alert_layouts import Finding
from verify_service.store.layouts import Facts

EVIL = "<img src=x onerror=alert(1)>'\"&"
DAY_S = 86_400
POLICY = """
[prices]
default = 0.25
[[limit]]
name = "number"
of = ["number"]
allow = "10/day"
[[limit]]
name = "wrong"
of = ["number"]
allow = "20/day"
counts = "wrong-codes"
[[rule]]
name = "spend"
kind = "budget"
of = ["country"]
allow = "$2/day"
[[rule]]
name = "pump"
kind = "pumping"
mode = "MODE"
"""


def a_desk(store: Store, folder: Path, mode: str = "enforce") -> Desk:
    return Desk(store, folder, POLICY.replace("MODE", mode))


def attack(desk: Desk, count: int = 60) -> int:
    """Numbers of one block ask for codes that nobody enters; answers how many were refused."""
    refused = 0
    for number in numbers(count):
        try:
            desk.client.service.start("default", a_start(number))
        except Blocked:
            refused += 1
        desk.clock.advance(20)
    fold(desk)
    return refused


def fold(desk: Desk) -> None:
    while desk.store.counts.fold(desk.clock.now()).more:
        pass


def tell(desk: Desk, event: str, **fields: Any) -> None:
    """Writes an event as it stands in the stream."""
    told = {"at": desk.clock.now(), "event": event, "id": "ve_1", **fields}
    flat = [part for pair in told.items() for part in pair]
    desk.store.link.command(0, ["XADD", "vs:{0}:events", "*", *flat])


def presses(text: str) -> dict[str, str]:
    """The buttons of the findings, and where they lead."""
    found = re.findall(r'<a class="button" id="press-[^>]*href="([^"]*)">([^<]*)<', text)
    return {words: where for where, words in found}


def test_a_quiet_service_says_so_and_what_to_do(alone: Store, tmp_path: Path) -> None:
    """Nothing happened, nothing is blocked, and how a first start comes there; whoever is not signed in sees none."""
    desk = a_desk(alone, tmp_path)
    assert desk.browser(None).open("/console/blocks").path == "/console/sign-in?next=%2Fconsole%2Fblocks"
    browser = desk.browser("read")
    words = browser.open("/console/").words
    assert "No start was counted in the last day. Send one as the API's page says" in words
    assert "None. A place is listed here as soon as a detector sees pumping there." in words
    assert "No budget has counted anything." in words
    assert "No place is blocked. A detector blocks one as soon as" in browser.open("/console/blocks").words


def test_an_attack_is_seen_from_the_first_page_and_its_block_lifted(alone: Store, tmp_path: Path) -> None:
    """The place, since when, how many starts were refused, what that saved, and the way to the block. There it stands
    with what it was made on. A reader cannot lift it; who may says why, and the place is free."""
    desk = a_desk(alone, tmp_path)
    assert attack(desk) == 53
    browser = desk.browser("read")
    words = browser.open("/console/").words
    assert "Under attack +2162010… is blocked since 08:02 UTC: 53 starts refused, about $13 saved." in words
    assert presses(browser.seen.text)["See the blocks"] == "./blocks"
    assert presses(browser.seen.text)["See these starts"] == "./decisions?outcome=refused&amp;rule=pump"
    assert "From start to approval, 1 hour" in words
    assert "starts 60 sent 0 0% of those above" in words
    assert "+2162010… blocked by pump since 2027-01-15 08:02:20 : 53 starts refused" in words
    assert "pump 53 refused, $13.25 saved" in words
    assert "spend TN (only watched) $1.75 of $2.00 within a day; $0.25 left" in words
    assert 'href="./decisions?country=TN">TN</a>' in browser.seen.text

    assert "approved" not in browser.open("/console/blocks").words
    tell(desk, "approved", tenant="default", country="TN", channel="sms", place="+2162010")
    fold(desk)
    words = browser.open("/console/blocks").words
    assert "starts 60 refused 53 admitted 7 approved 1" in words
    assert "+2162010… is blocked by pump Since 2027-01-15 08:02:20 UTC, for an hour, until 2027-01-15 09:02:20" in words
    assert "About 6 messages went there in three hours and 0 codes were entered, where 62% is usual." in words
    assert "53 starts were refused, which saved about $13.25 at $0.25 a message. No start was let through yet" in words
    assert "starts: 60 in all, at most 60 at 15 Jan 08:00. refused: 53 in all" in words
    assert "Lifting it needs the scope admin" in words
    assert "Lift this block" not in words

    (block,) = alone.blocks.list(desk.clock.now())
    lift = f"/console/blocks/{block.id}/lift"
    assert browser.send(lift, reason="a mistake").status == 403
    editor = desk.browser()
    editor.open("/console/blocks")
    assert editor.send(lift, reason=" ").status == 400
    assert alone.blocks.list(desk.clock.now()) == [block]
    editor.open("/console/blocks")
    seen = editor.send(lift, reason="our own campaign")
    assert "+2162010 is free again. It takes more evidence to block it for a while." in seen.words
    assert alone.blocks.list(desk.clock.now()) == []
    assert "There is no such live block" in editor.send(lift, reason="once more").words
    lifted = [event for event in alone.events.read(0) if event["event"] == "lifted"]
    assert [(event["place"], event["reason"]) for event in lifted] == [("+2162010", "our own campaign")]
    assert "Under attack" not in editor.open("/console/").words


def test_what_a_rule_only_watches_is_told_with_what_it_costs(alone: Store, tmp_path: Path) -> None:
    """An attack that is not refused is one all the same."""
    desk = a_desk(alone, tmp_path, "observe")
    assert attack(desk) == 0
    browser = desk.browser("read")
    words = browser.open("/console/").words
    assert "Under attack +2162010… would be blocked since 08:02 UTC: 53 starts went out that would be refused" in words
    assert "about $13. The rule pump only watches, so nothing is refused." in words
    assert presses(browser.seen.text)["See these starts"] == "./decisions?outcome=observed&amp;rule=pump"
    assert presses(browser.seen.text)["Let the rule pump refuse"] == "./policy"
    assert "pump 53 would have been refused" in words
    words = browser.open("/console/blocks").words
    assert "The rule only watches: 53 starts went out that it would have refused, about $13.25" in words


def test_a_funnel_is_compared_with_the_same_time_before(alone: Store, tmp_path: Path) -> None:
    """Of an hour with the hour a day ago, part by part; of seven days with those before."""
    desk = a_desk(alone, tmp_path)
    facts = Facts(tenant="default", channel="sms", country="TN", range="+21620100", price="250000").pack()
    sent = {"tenant": "default", "provider": "fake-a", "reason": "", "channel": "sms", "country": "TN"}
    for starts, approved in ((40, 30), (50, 10)):
        for _ in range(starts):
            tell(desk, "start", facts=facts, observed="")
            tell(desk, "sent", **sent)
        for _ in range(approved):
            tell(desk, "approved", tenant="default")
        desk.clock.advance(DAY_S)
    desk.clock.advance(60 - DAY_S)
    fold(desk)
    browser = desk.browser("read")
    words = browser.open("/console/?span=1h&by=provider").words
    # The hour that began a minute ago counts for its minute, as the one a day ago does.
    assert "starts 50 1 yesterday sent 50 100% of those above; 1 yesterday" in words
    assert "approved 10 – of those above" in words
    assert "fake-a 50" in words
    words = browser.open("/console/?span=24h").words
    assert "starts 90" in words
    words = browser.open("/console/?span=7d&by=tenant").words
    assert "starts 90 sent 90 100% of those above delivered 0 0% of those above approved 40" in words
    assert "tenant starts sent approved spent approved of admitted default 90 90 40 $22.50 44%" in words
    assert browser.open("/console/?span=%00&by=<script>").status == 200


def test_the_page_reads_itself_anew(alone: Store, tmp_path: Path) -> None:
    """What it asks for every five seconds is its own part alone, at its own address, so that links lead where they
    led."""
    desk = a_desk(alone, tmp_path)
    attack(desk)
    browser = desk.browser("read")
    page = browser.open("/console/?span=15m&by=tenant").text
    (address,) = re.findall(r'data-live="([^"]*)" data-every="5"', page)
    assert address == "./?span=15m&amp;by=tenant"
    live = browser.open("/console/?span=15m&by=tenant", **{"X-Live": "1"}).text
    assert "<html" not in live
    assert "<h1" not in live
    assert live.strip() in page
    assert len(re.findall(r' id="([^"]*)"', live)) == len(set(re.findall(r' id="([^"]*)"', live))) > 10


def test_a_text_of_an_attacker_stays_a_text(alone: Store, tmp_path: Path) -> None:
    """Whatever stands in an event, as a rule, a provider, a tenant, a country, a channel."""
    desk = a_desk(alone, tmp_path)
    facts = Facts(tenant=EVIL, channel=EVIL, country=EVIL, range=f"{EVIL}0", price="250000").pack()
    tell(desk, "start", facts=facts, observed=EVIL)
    tell(desk, "start", facts=facts, observed="", refused=EVIL)
    where = {"tenant": EVIL, "provider": EVIL, "reason": EVIL, "channel": EVIL, "country": EVIL}
    for event in ("sent", "delivered", "failed"):
        tell(desk, event, **where)
    fold(desk)
    browser = desk.browser("read")
    tabs = [f"/console/?by={by}" for by in ("country", "channel", "provider", "tenant", "place")]
    for path in (*tabs, "/console/?span=30d", "/console/blocks", "/console/delivery"):
        text = browser.open(path).text
        assert "<img" not in text
        assert [where for where in re.findall(r'href="([^"]*)"', text) if re.search("['<>]|&(?!amp;)", where)] == []
    words = browser.open(tabs[0]).words
    assert f"{EVIL} 1 refused, $0.25 saved; 1 would have been refused" in words
    assert (
        f"By country country starts refused would be refused sent delivered failed spent saved {EVIL} 2 1 1 1" in words
    )


def test_many_blocks_stand_on_pages_of_twenty(alone: Store, tmp_path: Path) -> None:
    """However many places an attacker takes."""
    soon = "prefix_odds = 2\nblock_odds = 2\nhot_odds = 2\nprefix_messages = 1\nblock_messages = 1\nexcess = 1\n"
    desk = Desk(alone, tmp_path, POLICY.replace("MODE", "enforce") + soon)
    for place in range(21):
        for number in numbers(9, 20_000_000 + 100_000 * place):
            try:
                desk.client.service.start("default", a_start(number))
            except Blocked:
                break
            desk.clock.advance(1)
    browser = desk.browser("read")
    found = len(alone.blocks.list(desk.clock.now()))
    assert found > 20
    assert browser.open("/console/blocks").text.count("<section") == 20
    assert browser.open("/console/blocks?page=2").text.count("<section") == found - 20
    for page in ("99", "0", "-1", "²", "1" * 99, "<script>"):
        assert browser.open(f"/console/blocks?page={page}").status == 200


def test_open_incidents_stand_on_the_first_page(alone: Store, tmp_path: Path) -> None:
    """As long as they are not over, with the way to the page that explains each."""
    desk = a_desk(alone, tmp_path)
    now = desk.clock.now()
    finding = Finding("provider-down", EVIL, "/delivery", f"{EVIL} fails.", {"failing": 10})
    desk.store.alerts.judge(now, [finding], terms(judged="provider-down"))
    browser = desk.browser("read")
    browser.open("/console/")
    assert f"Provider down: {EVIL} , since" in browser.seen.words
    assert f"{EVIL} fails." in browser.seen.words
    assert 'href="./delivery">Provider down' in browser.seen.text
    assert EVIL not in browser.seen.text
    desk.store.alerts.judge(now + 3_600_000, [], terms(judged="provider-down"))
    assert "Open incidents" not in browser.open("/console/").words
