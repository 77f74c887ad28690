"""The page of the audit log: who did what, to whoever may look."""

from pathlib import Path

import pytest

from tests.support.console import Desk
from tests.support.hosted import context_of
from verify_service.model import Actor
from verify_service.store import Store

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def desk(quiet: Store, tmp_path: Path) -> Desk:
    """On a store whose log is empty."""
    quiet.link.command(0, ["DEL", "vs:{0}:audit", "vs:{0}:audit:hours"])
    return Desk(quiet, tmp_path)


def test_who_did_what_is_shown_filtered_and_page_by_page(desk: Desk, quiet: Store) -> None:
    """The newest first, whoever did it and by whatever way; what somebody wrote is text; a name leads to the acts of
    the same; an entry that was tampered with says so."""
    browser = desk.browser("read", "192.0.2.7")
    audit = context_of(desk.client).audit
    for n in range(51):
        with audit.act(desk.clock.now(), Actor("ann", "root@bastion"), "lift", f"block:{n}", EVIL) as begun:
            if n == 50:
                begun.failed("there is no such live block")
    seen = browser.open("/console/audit")
    assert seen.status == 200
    assert "53 " in seen.words
    assert "root@bastion lift block:50 failed, entry 52 there is no such live block" in seen.words
    assert EVIL not in seen.text
    assert EVIL in seen.words
    assert 'href="./audit?who=ann"' in seen.text
    assert "sign-in" not in seen.words
    older = browser.open("/console/audit?before=4")
    assert "operator:Rex 192.0.2.7 sign-in console method=key allowed" in older.words
    assert 'href="./audit?before=4"' in seen.text
    failed = browser.open("/console/audit?who=ann&act=lift&outcome=failed")
    assert ("entry 52" in failed.words, "block:49" in failed.words) == (True, False)
    assert "No such act is in the log." in browser.open("/console/audit?who=nobody").words
    wrong = browser.open("/console/audit?act=LIFT&outcome=lost&before=x")
    assert wrong.status == 400
    assert "This is an act as entries have it, such as push." in wrong.words
    assert "outcome is allowed, refused or failed." in wrong.words
    (last,) = quiet.link.command(0, ["XREVRANGE", "vs:{0}:audit", "+", "-", "COUNT", 1])
    quiet.link.command(0, ["XDEL", "vs:{0}:audit", last[0]])
    quiet.link.command(0, ["XADD", "vs:{0}:audit", "60-0", "entry", EVIL, "seal", "0"])
    assert "60 This entry cannot be read: it was changed" in browser.open("/console/audit").words
    assert desk.browser(None).open("/console/audit").path.startswith("/console/sign-in")
