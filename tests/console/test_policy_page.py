"""The page Policy, without script: what is typed is checked, compared, judged, pushed and taken back."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.bench import a_start
from tests.support.console import Browser, Desk, Seen
from tests.support.live import BASE, until
from verify_service.backtest import beside
from verify_service.model import Actor
from verify_service.policy.live import LivePolicy
from verify_service.policy.modes import observing, with_mode
from verify_service.store import Store
from verify_service.web.context import EXTENSION

pytestmark = pytest.mark.slow

COUNTRY = '[[limit]]\nname = "country"\nof = ["country"]\nallow = "1/hour"\n'
NASTY = '# </textarea><script>alert(1)</script>\n[[limit]]\nname = "<img src=x onerror=alert(2)>"\n'


@pytest.fixture
def desk(alone: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """With a policy in force, and backtests at the priority of the test that waits for them."""
    monkeypatch.setattr(beside, "give_way", lambda _pid: None)
    made = Desk(alone, tmp_path, BASE)
    live(made).push(made.clock.now(), Actor("cli:sue"), "first", BASE)
    return made


def live(desk: Desk) -> LivePolicy:
    found: LivePolicy = desk.client.app.extensions[EXTENSION].live
    return found


def pushed(browser: Browser, text: str, note: str = "because", **more: str) -> Seen:
    """What a push of the text is answered, from the page that was seen last."""
    base = re.search(r'name="base" value="(\d+)"', browser.seen.text)
    form = {"base": base[1] if base else "1", **more}
    return browser.send("/console/policy/push", headers=None, text=text, note=note, **form)


def typed(seen: Seen) -> str:
    """What stands in the editor, as a browser reads it."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", seen.text, re.DOTALL)
    assert found
    return found[1].replace("&#34;", '"').replace("&lt;", "<").replace("&gt;", ">")


def test_a_fault_is_shown_at_its_line_and_the_text_is_kept(desk: Desk) -> None:
    """By any button: the key, the line and the fix, and nothing is pushed. What is typed is text, whatever it is."""
    ada = desk.browser()
    ada.open("/console/policy")
    for text, line, words in (
        (BASE + COUNTRY.replace('"country"]', '"contry"]'), "Line 14", "did you mean 'country'?"),
        (BASE.replace("digits", "digts"), "Line 3", "did you mean 'digits'?"),
        (BASE + "[[limit]\n", "Line 12", "is not TOML"),
        (BASE + NASTY, "Line 14", "limit[2]"),
        (BASE + f'[block]\nnumbers = ["{"9" * 400}"]\n', "Line 13", "block.numbers[0]"),
        ("a" + ".a" * 40_000 + " = 1", "", "a key has more than 20 dots"),
        ("a = " + "[" * 5_000 + "]" * 5_000, "", "nested too deeply"),
        (f"# {'x' * 400_000}\n[code]\ndigits = 1", "Line 3", "code.digits"),
    ):
        for path in ("/console/policy", "/console/policy/check", "/console/policy/push", "/console/policy/backtest"):
            seen = ada.send(path, text=text.replace("\n", "\r\n"), note="why", base="1", hours="1")
            assert (line in seen.words, words in seen.words) == (True, True), (path, seen.words[-900:])
            if not path.endswith("check"):
                assert seen.status == (200 if path == "/console/policy" else 400)
                assert typed(seen) == text
            assert "<script>alert" not in seen.text
            assert "<img src=x" not in seen.text
            ada.open("/console/policy")
    assert ada.send("/console/policy", text="#" * 2_100_000).status == 413
    assert live(desk).history.newest() == 1


def test_a_push_names_its_reason_and_never_undoes_another(desk: Desk) -> None:
    """Of two who edit at once, the second is shown what the first changed, with their own text as it was; then it may
    take its place. Each is in the history, with what it changed, and can be gone back to."""
    ada, eve = desk.browser(), desk.browser()
    for each in (ada, eve):
        each.open("/console/policy")
    assert pushed(ada, BASE + COUNTRY, note=" ").status == 400
    assert (typed(ada.seen), "The reason is required" in ada.seen.words) == (BASE + COUNTRY, True)
    assert "Revision 2 is in force" in pushed(ada, BASE + COUNTRY, note="an attack on <b>Ada</b>").words
    mine = BASE.replace("30/hour", "20/hour") + COUNTRY.replace("1/hour", "9/hour")
    seen = pushed(eve, mine, note="too many")
    assert (seen.status, typed(seen)) == (409, mine)
    assert "operator:Ada has pushed revision 2 meanwhile, “an attack on <b>Ada</b>”" in seen.words
    assert "Both of you have changed: limit country, of , limit country, allow" in seen.words
    assert "Revision 3 is in force" in pushed(eve, mine, note="too many").words
    assert "operator:Ada" in ada.open("/console/policy/history").words
    seen = ada.open("/console/policy/revisions/2")
    assert 'limit country, allow: "1/hour" is new' in seen.words
    stale = ada.send("/console/policy/revisions/1/rollback", reason="too strict", base="2")
    assert "Somebody has pushed another revision meanwhile" in stale.words
    ada.open("/console/policy/revisions/1")
    seen = ada.send("/console/policy/revisions/1/rollback", reason="too strict", base="3")
    assert "Revision 4 is in force, with the text of 1" in seen.words
    newest = live(desk).history.current()
    assert newest is not None
    assert (newest.text, newest.by, newest.note) == (BASE, "operator:Ada", "too strict")


def test_what_is_new_or_changed_can_observe_first(desk: Desk) -> None:
    """The rest enforces as it did, comments stay; a link turns it to enforce, in the editor, for a push of its own."""
    text = BASE.replace("30/hour", "20/hour") + "# of the attack\n" + COUNTRY
    assert observing(text, BASE) == (
        text.replace('name = "ip"', 'name = "ip"\nmode = "observe"').replace(
            'name = "country"', 'name = "country"\nmode = "observe"'
        ),
        ["ip", "country"],
    )
    off = COUNTRY + 'mode = "off"  # for now\n'
    assert observing(BASE + off, BASE) == (BASE + off, [])
    assert with_mode(off, "country", "enforce") == COUNTRY + 'mode = "enforce"  # for now\n'
    ada = desk.browser()
    ada.open("/console/policy")
    assert "Only observed until you enforce it: country." in pushed(ada, BASE + COUNTRY, **{"as": "observe"}).words
    seen = ada.open(f"/console/policy?to=enforce&turn={quote('country')}")
    assert typed(seen) == BASE + COUNTRY.replace('"country"\nof', '"country"\nmode = "enforce"\nof')
    assert 'limit country, mode: "observe" is now "enforce"' in seen.words


def test_who_may_only_look_sees_no_numbers_and_changes_nothing(desk: Desk) -> None:
    """Their page has no text; every other path of it is refused."""
    rex = desk.browser("read")
    seen = rex.open("/console/policy")
    assert "starts of number: 5/10 minutes; 10/day" in seen.words
    assert "<textarea" not in seen.text
    for path in ("", "/check", "/push", "/backtest", "/backtests/x/cancel", "/revisions/1/rollback"):
        said = {"text": BASE, "note": "why", "reason": "why", "base": "1", "hours": "1", "token": seen.token}
        assert rex.send(f"/console/policy{path}", headers=None, **said).status == 403, path
    for path in ("/history", "/revisions/1", "/backtests/x", "/backtests/x/live"):
        assert rex.open(f"/console/policy{path}").status == 403, path
    assert live(desk).history.newest() == 1


def test_a_backtest_shows_whom_a_change_refuses(desk: Desk) -> None:
    """With the text that it judges, in a page that leads to what runs already; what ended or is not there says so."""
    for number in range(3):
        desk.client.service.start("default", a_start(f"+1415555010{number}"))
        desk.clock.advance(60)
    desk.clock.advance(900)
    ada = desk.browser()
    ada.open("/console/policy")
    assert ada.send("/console/policy/backtest", text=BASE, hours="2").status == 400
    ada.open("/console/policy")
    seen = ada.send("/console/policy/backtest", text=BASE + COUNTRY, hours="1", base="1")
    assert re.fullmatch(r"/console/policy/backtests/bt_[0-9a-f]{32}", seen.path)
    assert typed(seen) == BASE + COUNTRY
    store = desk.client.app.extensions[EXTENSION].backtests

    until(lambda: store.latest().state != "running")
    seen = ada.open(seen.path)
    assert "3 starts, judged by both policies" in seen.words
    assert "Newly refused 2 starts that revision 1 admits" in seen.words
    assert "US 2 0 $0.10 0 $0.00" in seen.words
    assert "data-live" not in seen.text
    assert "data-last" in ada.open(f"{seen.path}/live").text
    ada.open(seen.path)
    assert "It had ended already." in ada.send(f"{seen.path}/cancel").words
    assert ada.open("/console/policy/backtests/lease").status == 404
    assert ada.open("/console/policy/revisions/9").status == 404
