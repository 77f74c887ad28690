"""Look up: what is known of somebody, and what is done for them, with their number in no address."""

from pathlib import Path

import pyotp
import pytest

from tests.support.console import Browser, Desk
from tests.support.hosted import context_of
from verify_service.factors import NewFactor
from verify_service.store import Store
from verify_service.web.console import lookup

POLICY = """
[code]
guess_ceiling = 1.0
cooldown = ["1 second"]
[[limit]]
name = "number"
of = ["number"]
allow = "1/hour"
[[limit]]
name = "busy"
of = ["ip"]
allow = "4/hour"
"""
TO, IP = "+14155550142", "203.0.113.9"


@pytest.fixture
def desk(store: Store, tmp_path: Path) -> Desk:
    return Desk(store, tmp_path, POLICY)


@pytest.fixture
def browser(desk: Desk) -> Browser:
    """At the form, after a start of the number that was admitted and one that was refused."""
    for _ in range(2):
        desk.clock.advance(2)
        desk.client.request("POST", "/start", {"to": TO, "ip": IP, "user": "u-<b>4711"})
    browser = desk.browser()
    browser.open("/console/lookup")
    return browser


def look(browser: Browser, what: str) -> str:
    """What is to be read of whoever is typed into the form."""
    browser.open("/console/lookup")
    seen = browser.send("/console/lookup", what=what, tenant="default")
    assert seen.status == 200, seen.words
    return seen.words


def told(desk: Desk, **whose: str) -> list[tuple[str, str, str]]:
    """What operators did to somebody, by their pseudonym: the event, who, and why."""
    (name, tag), *_ = whose.items()
    return [
        (each["event"], each["by"], each["reason"])
        for each in desk.store.events.read(desk.clock.ms)
        if each.get(name) == tag and "by" in each
    ]


def test_a_number_is_looked_up(browser: Browser) -> None:
    """How it is spelt is no matter: what is counted and until when, what became of its codes, its consent. It is shown
    without its beginning or its end, and stands in no address."""
    words = look(browser, "tel:+1 (415) 555-0142")
    assert "The limit number refuses: 1 of 1 within an hour; room again in 3599 s." in words
    assert "Frees up at" in words
    assert '<meter min="0" max="1" value="1"' in browser.seen.text
    assert "pending" in words
    assert "started" in words
    assert "Nothing is known, so messages may go there." in words
    assert "Blocks that cover the place None." in words
    assert "refused by number, default, login by sms" in words
    assert browser.seen.path.startswith("/console/lookup/k1.")
    for part in (TO, TO[1:], TO[-7:], TO[-3:] + "<"):
        assert part not in browser.seen.text
        assert part not in browser.seen.path
    words = browser.send(f"{browser.seen.path}/explain", ip=IP, purpose="payment").words
    assert "The limit busy has room: 1 of 4 within an hour." in words
    assert IP not in browser.seen.path


def test_refusals_are_found_further_back(desk: Desk, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Than one look goes: by their list. What else there was is a link away."""
    while desk.store.counts.fold(desk.clock.now()).more:
        pass
    monkeypatch.setattr(lookup, "_EVENTS", 1)
    desk.client.request("POST", "/start", {"to": "+14155550143"})
    words = look(browser, TO)
    assert words.count("refused by number, default, login by sms") == 1
    assert "admitted, default" not in words


def test_an_address_is_looked_up(browser: Browser) -> None:
    """What limits have counted of it, whatever the number, and the starts from it."""
    words = look(browser, IP)
    assert "The limit busy has room: 1 of 4 within an hour." in words
    assert "refused by number" in words
    assert "Unlock" not in words
    assert IP not in browser.seen.path


def test_a_user_is_looked_up(desk: Desk, browser: Browser) -> None:
    """Their factors and the starts that named them; a name is text."""
    made = desk.client.factors.enrol("default", "u-<b>4711", NewFactor())
    code = pyotp.TOTP(made.secret).at(desk.clock.ms // 1000)
    desk.client.factors.verify("default", "u-<b>4711", made.factor.id, code)
    browser.send("/console/lookup", user="u-<b>4711", tenant="default")
    page = browser.seen.path
    assert "totp verified" in browser.seen.words
    assert "10 recovery codes are left." in browser.seen.words
    assert "refused by number" in browser.seen.words
    assert "<b>" not in browser.seen.text
    browser.send(f"{browser.seen.path}/unlock", reason="called support")
    assert "counts were forgotten." in browser.seen.words
    look(browser, made.factor.id)
    assert browser.seen.path == page
    assert told(desk, user=desk.client.factors.tag("default", "u-<b>4711"))[-1:] == [
        ("user-unlocked", "operator:Ada", "called support")
    ]


def test_a_user_is_erased(desk: Desk, browser: Browser) -> None:
    """Once, by who may; nothing is done for an address, which is nobody's own."""
    desk.client.factors.enrol("default", "u-4711", NewFactor())
    browser.send("/console/lookup", user="u-4711", tenant="default")
    page = browser.seen.path
    assert "totp unverified" in browser.seen.words
    browser.send(f"{page}/erase", reason="asked by letter", sure="yes")
    assert "Erased." in browser.seen.words
    assert "Second factors None." in browser.seen.words
    browser.send(f"{page}/erase", reason="asked by letter", sure="yes")
    assert "There was nothing to erase." in browser.seen.words
    look(browser, IP)
    for act in ("unlock", "erase"):
        assert browser.send(f"{browser.seen.path}/{act}", reason="x", sure="yes").status == 404
        look(browser, IP)


def test_an_id_is_looked_up(desk: Desk, browser: Browser) -> None:
    """A verification with its timeline, a decision with its figures; of another, that there is none."""
    decision = desk.client.refused("POST", "/start", {"to": TO})["decision"]
    assert "The limit number refuses: 1 of 1" in look(browser, decision)
    verification = desk.client.request("POST", "/start", {"to": "+14155550143"})[2]["id"]
    assert "pending" in look(browser, verification)
    assert browser.seen.path == f"/console/lookup/{verification}"
    for kind in ("ve", "de", "bl", "fa"):
        assert "There is no such" in browser.open(f"/console/lookup/{kind}_{'0' * 32}").words
        assert browser.seen.status == 404


def test_a_number_is_unlocked_and_erased(desk: Desk, browser: Browser) -> None:
    """By who may, for a reason, told under their name; erased only where that is meant."""
    look(browser, TO)
    page = browser.seen.path
    browser.send(f"{page}/unlock", reason="called support")
    assert (browser.seen.status, browser.seen.path.partition("?")[0]) == (200, page)
    assert "counts were forgotten." in browser.seen.words
    assert desk.client.request("POST", "/start", {"to": TO})[0] == 201
    assert browser.send(f"{page}/erase", reason="asked by letter").status == 400
    browser.open(page)
    assert browser.send(f"{page}/erase", reason=" ", sure="yes").status == 400
    browser.open(page)
    browser.send(f"{page}/erase", reason="asked by letter", sure="yes")
    assert "Erased for default: 1 verifications among it." in browser.seen.words
    assert "None is held: each is for an hour after its end." in browser.seen.words
    assert told(desk, number=context_of(desk.client).explain.pseudonym(TO)) == [
        ("unlocked", "operator:Ada", "called support"),
        ("erased", "operator:Ada", "asked by letter"),
    ]


def test_who_may_only_look_is_offered_no_act(desk: Desk, browser: Browser) -> None:
    """And none that they send is done; nor is one without the page's token."""
    look(browser, TO)
    page = browser.seen.path
    reader = desk.browser("read")
    seen = reader.open(page)
    assert (seen.status, "What you can do" in seen.words) == (200, False)
    for act in ("unlock", "erase"):
        assert reader.send(f"{page}/{act}", reason="x", sure="yes").status == 403
        reader.open(page)
        assert browser.send(f"{page}/{act}", reason="x", sure="yes", token="").status == 403
    assert desk.client.request("POST", "/start", {"to": TO})[0] == 429


@pytest.mark.parametrize("what", ["ann", "5550142", "+1", "ve_1", "<b>x</b>", "300.1.1.1"])
def test_what_is_nobody_is_said_so_beside_the_field(browser: Browser, what: str) -> None:
    """What was typed stays there, as text."""
    seen = browser.send("/console/lookup", what=what, tenant="default")
    assert seen.status == 400
    assert "This is a number with + and its country code" in seen.words
    assert "<b>" not in seen.text
    assert browser.send("/console/lookup", what=TO, tenant="nobody").status == 400


def test_no_address_is_made_up(desk: Desk, browser: Browser) -> None:
    """What this console has not sealed, or sealed for something else, leads nowhere."""
    other = context_of(desk.client).keys.token(b'{"kind":"number","name":"+14155550142","tenant":"default"}', "page")
    for what in ("x", "k1.AAAA", other):
        assert browser.open(f"/console/lookup/{what}").status == 404


def test_the_block_of_a_place_is_found(alone: Store, tmp_path: Path) -> None:
    """By a number that it covers, and by its id: what it was made on, what it did, and where it is lifted."""
    desk = Desk(alone, tmp_path, '[code]\nguess_ceiling = 1.0\n[[rule]]\nname = "pumping"\nmode = "enforce"\n')
    numbers = iter(range(40))
    while desk.client.request("POST", "/start", {"to": (to := f"+216201{next(numbers) * 137:05d}")})[0] == 201:
        desk.clock.advance(30)
    (block, *_) = [each for each in alone.blocks.list(desk.clock.now()) if to.startswith(each.place)]
    browser = desk.browser("read")
    words = look(browser, to)
    assert f"{block.place} by pumping" in words
    assert "of which 0 brought a code back, where" in words
    assert f"{block.place} by pumping" in look(browser, block.id)
    assert 'href="./../blocks"' in browser.seen.text
    assert "Look at the block's evidence. If the traffic is yours, lift the block. Blocks" in (
        browser.open("/console/decisions?outcome=refused").words
    )
