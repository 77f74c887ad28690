"""Live blocks by HTTP and by command, on a live server: listed with their evidence, lifted, counted."""

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.commands import run
from tests.support.contract import Contract, contract
from tests.support.live import until

pytestmark = pytest.mark.slow

POLICY = """
[[limit]]
name = "number"
of = ["number"]
allow = "10/day"
[[limit]]
name = "guesses"
of = ["number"]
allow = "10/day"
counts = "wrong-codes"
[[rule]]
name = "pumping"
mode = "enforce"
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    folder = tmp_path_factory.mktemp("blocks")
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    with contract(folder, env={"VERIFY_POLICY": str(policy)}) as found:
        yield found


def attacked(live: Contract, prefix: str) -> str:
    """Starts to a prefix until one is refused; the number."""
    for place in range(40):
        to = f"{prefix}{place * 137:05d}"
        status, _, body = live.default.request("POST", "/start", {"to": to})
        if status == 403:
            assert (body["type"], body["rule"]) == ("/problems/blocked", "pumping")
            return to
        assert status == 201
        live.default.request("POST", "/fake/clock", {"advance": 30})
    raise AssertionError("nothing was blocked")


def command(live: Contract, *words: str) -> "subprocess.CompletedProcess[str]":
    state = str(live.running.server.state_dir)
    return run("blocks", *words, env={"VERIFY_STATE_DIR": state, "VERIFY_CLOCK": "virtual"})


def test_a_block_is_listed_with_its_evidence_and_lifted_by_http(live: Contract) -> None:
    """The place is free at once; a second lift finds nothing; without a reason nothing is lifted."""
    to = attacked(live, "+216201")
    status, _, body = live.default.request("GET", "/admin/blocks")
    assert status == 200
    blocks = [block for block in body["blocks"] if to.startswith(block["place"])]
    assert blocks
    assert all(block["converted"] == 0 and block["odds"] >= block["needed_odds"] for block in blocks)
    address = f"/admin/blocks/{blocks[0]['id']}"
    status, _, problem = live.default.request("DELETE", address)
    assert (status, problem["errors"][0]["field"]) == (400, "reason")
    for block in blocks:
        status, _, lifted = live.default.request("DELETE", f"/admin/blocks/{block['id']}?reason=our%20campaign")
        assert (status, lifted["place"]) == (200, block["place"])
    assert live.default.request("DELETE", f"{address}?reason=again")[0] == 404
    assert live.default.request("POST", "/start", {"to": to})[0] == 201


def test_a_block_is_listed_and_lifted_by_command(live: Contract) -> None:
    """With --json for programs, in lines for people; the lift is in force at once and attributed."""
    to = attacked(live, "+216203")
    listed = command(live, "list", "--json")
    assert listed.returncode == 0, listed.stderr
    blocks = [block for block in json.loads(listed.stdout) if to.startswith(block["place"])]
    assert blocks
    shown = command(live, "list").stdout
    assert blocks[0]["id"] in shown
    assert "0 converted" in shown
    assert command(live, "lift", blocks[0]["id"]).returncode == 2
    for block in blocks:
        done = command(live, "lift", block["id"], "--reason", "our campaign", "--by", "ann")
        assert (done.returncode, block["place"] in done.stdout) == (0, True), done.stderr
    again = command(live, "lift", blocks[0]["id"], "--reason", "again")
    assert (again.returncode, again.stdout) == (2, "")
    assert "no such live block" in again.stderr
    assert "Traceback" not in again.stderr
    assert live.default.request("POST", "/start", {"to": to})[0] == 201


def test_blocks_made_and_lifted_are_counted(live: Contract) -> None:
    """In the metrics, by rule and mode; what live blocks refuse too."""
    attacked(live, "+216205")

    def counted() -> bool:
        text = live.default.request("GET", "/metrics")[2]
        lines = str(text).splitlines()
        return any(line.startswith('verify_blocks_total{event="blocked",mode="enforce"') for line in lines) and any(
            line.startswith("verify_live_blocks_refused ") and float(line.split()[1]) >= 1 for line in lines
        )

    until(counted)
