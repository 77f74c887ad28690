"""The page about second factors: its calls work as printed, and its figures are those of the code."""

import json
import re
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from verify_service import authenticators
from verify_service.policy.sections import USER_LIMIT, FactorSettings, Policy
from verify_service.store import Store

PAGE = (Path(__file__).parents[2] / "docs" / "second-factors.md").read_text("utf-8")


def calls() -> list[tuple[str, str]]:
    """(path, body) of each call that is printed, as a shell would have them."""
    blocks = re.findall(r"```sh\n(curl .*?)```", PAGE, re.DOTALL)
    found = [(re.search(r"8080(/[^\s\"]+)", block), re.search(r"-d ([\"'])(.*)\1", block)) for block in blocks]
    return [(path[1], body[2].replace('\\"', '"')) for path, body in found if path and body]


def test_the_calls_work_as_printed(store: Store) -> None:
    """Enrol, first code, login, in this order."""
    clock = ManualClock()
    client = LocalClient(store, clock)
    known: dict[str, str] = {}

    def post(path: str, body: str) -> dict[str, Any]:
        for name, value in known.items():
            path, body = path.replace(f"${name}", value), body.replace(f"${name}", value)
        status, _, answer = client.request("POST", path, json.loads(body))
        assert status in (200, 201)
        found: dict[str, Any] = answer
        return found

    enrol, verify, check = calls()
    enrolled = post(*enrol)
    app = pyotp.TOTP(enrolled["secret"])
    known |= {"FACTOR": enrolled["id"], "CODE": app.at(clock.now() // 1000)}
    verified = post(*verify)
    assert (verified["status"], len(verified["recovery_codes"])) == ("verified", authenticators.RECOVERY_CODES)
    assert post(*check)["status"] == "used"
    known["CODE"] = verified["recovery_codes"][0]
    assert post(*check)["kind"] == "recovery-code"


def test_the_figures_are_those_of_the_code() -> None:
    """What the page says in words."""
    words = " ".join(PAGE.split())
    shipped = FactorSettings()
    assert USER_LIMIT.allow == "10/hour; 20/day"
    assert "10 an hour and 20 a day" in words
    assert f"Further ahead, up to {authenticators.RESYNC_AHEAD}, two codes in a row are needed" in words
    assert (shipped.drift, shipped.look_ahead, shipped.per_user) == (2, 3, 5)
    assert 1 / Policy().factor_guess_chance() == pytest.approx(2000)
    assert "once in 16,000 days" in words
    tries, right = 20, 3
    assert 10**6 // (tries * right) // 1000 == 16
