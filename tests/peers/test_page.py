"""The hosted page in Chromium: what a person sees and does there, and WCAG 2.2 AA as axe-core finds it."""

import re
from typing import Any

import pytest

from tests.peers.looking import look


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return look(tmp_path_factory.mktemp("page"))


def test_no_page_has_a_fault_of_wcag_2_2_aa(seen: dict[str, Any]) -> None:
    """In each situation, at 320 and 1280 pixels, in light and in dark; nothing is cut off, nothing is complained of."""
    assert len(seen["looks"]) == 10 * 2 * 2
    for each in seen["looks"]:
        about = each["name"], each["width"], each["colorScheme"]
        assert (each["violations"], each["unsure"], each["overflows"]) == ([], [], False), about
        assert each["passes"] > 5, about
        assert each["direction"] == ("rtl" if each["name"] == "arabic" else "ltr")
        assert each["complaints"] == ([] if each["name"] != "gone" else each["complaints"]), about


@pytest.mark.parametrize("how", ["with script", "without script"])
def test_a_person_signs_in(seen: dict[str, Any], how: str) -> None:
    """A wrong code, the right one, back at the application; and what the back button shows then."""
    flow = seen["flows"][how]
    assert flow["complaints"] == []
    assert "This code is not right." in flow["wrong"]
    assert "Tries left: 4" in flow["wrong"]
    assert "status=approved&state=s1" in flow["led"]
    assert "You have already confirmed this code." in flow["back"]


def test_the_time_to_the_next_send_runs(seen: dict[str, Any]) -> None:
    """The button waits for it, and is there then."""
    flow = seen["flows"]["countdown"]
    assert flow["first"][:2] == [True, False]
    assert re.search(r"You can ask for it again in \d\d:\d\d\.", flow["first"][2])
    assert re.search(r"You can ask for it again in \d\d:\d\d\.", flow["then"])
    assert flow["then"] != flow["first"][2]
    assert flow["last"] == [False, True]
    assert flow["complaints"] == []


def test_a_code_that_the_browser_reads_signs_in_by_itself(seen: dict[str, Any]) -> None:
    """As WebOTP gives it to the page."""
    assert "status=approved" in seen["flows"]["webotp"]["led"]


def test_no_other_page_has_it(seen: dict[str, Any]) -> None:
    """Neither in a frame, nor by a form of its own."""
    assert seen["flows"]["framed"]["inside"] is False
    assert seen["flows"]["forged"]["words"] == "Something went wrong. Please try again."


@pytest.mark.parametrize("how", ["with script", "without script"])
def test_a_person_sets_up_an_app(seen: dict[str, Any], how: str) -> None:
    """The key is typed into the app, its code here; the recovery codes can be copied, printed and downloaded, and are
    not shown again."""
    flow = seen["flows"][f"enrolment {how}"]
    assert flow["complaints"] == []
    assert (len(flow["codes"]), flow["name"]) == (10, "recovery-codes.txt")
    assert flow["saved"].splitlines() == ["Blue Bicycle Shop: Your recovery codes", "", *flow["codes"]]
    scripted = how == "with script"
    assert flow["buttons"] == (["Print", "Copy"] if scripted else [])
    assert flow["copied"] == ("\n".join(flow["codes"]) if scripted else "")
    assert flow["led"].endswith("status=verified&state=s1")
    assert "Your authenticator app is set up." in flow["then"]
    assert not any(secret in flow["then"] for secret in (flow["key"], *flow["codes"]))


def test_a_person_chooses_how_to_sign_in(seen: dict[str, Any]) -> None:
    """A recovery code, or a text message, without a script; the way back to the app is there."""
    flow = seen["flows"]["choosing"]
    assert flow["complaints"] == []
    assert "Recovery code" in flow["recovery"]
    assert "Use your authenticator app" in flow["sent"]
    assert "status=approved&state=s1&receipt=" in flow["led"]
