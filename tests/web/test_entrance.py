"""What `run` and the bare address tell a newcomer: the links, and a way into the inbox that opens nothing else."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.bench import ManualClock
from tests.support.contract import METHODS, SPEC, ContractClient, LocalClient, a_number
from verify_service.store import Store
from verify_service.testing import RunningServer, VerifyServer, start_server

pytestmark = pytest.mark.slow

JSON = {"Accept": "application/json"}
LINK = re.compile(r"^Inbox +(\S+)$", re.MULTILINE)


def inbox_link(running: RunningServer) -> str:
    """The link that this run has printed."""
    (link,) = LINK.findall(running.log.read_text())
    return str(link)


def holder(server: VerifyServer, key: str) -> ContractClient:
    """Who calls with this key."""
    return ContractClient(VerifyServer(server.url, key, Path(), 0))


def test_the_link_that_run_prints_opens_the_inbox_and_nothing_else(tmp_path: Path) -> None:
    """Its key stands behind the `#`, where no browser sends it; it reads the inbox, is refused on every other call, is
    written nowhere, and ends with its run."""
    running = start_server(tmp_path / "state")
    try:
        page, _, fragment = inbox_link(running).partition("#")
        assert page == f"{running.server.url}/fake/inbox"
        key = fragment.removeprefix("key=")
        assert (fragment.startswith("key="), len(key) >= 43, key != running.server.api_key) == (True, True, True)
        owner, guest, to = ContractClient(running.server), holder(running.server, key), a_number()
        owner.start(to)
        for _ in range(8):  # whichever worker answers
            status, _, shown = guest.request("GET", "/fake/inbox?wait=30", headers=JSON)
            assert (status, [message["to"] for message in shown["messages"]]) == (200, [to])
        tried = 0
        for template, item in SPEC["paths"].items():
            path = re.sub(r"\{[^}]*\}", to if "/fake/" in template or "/consents/" in template else "x", template)
            for method in METHODS:
                guarded = method in item and item[method].get("security", SPEC["security"])
                if guarded and (method, template) != ("get", "/fake/inbox"):
                    tried += 1
                    assert guest.request(method.upper(), path, {})[0] == 403, (method, path)
        assert tried >= 20
        held = [file for file in (tmp_path / "state").rglob("*") if file.is_file() and file != running.log]
        assert not [file for file in held if key.encode() in file.read_bytes()]
    finally:
        assert running.stop() == 0
    again = start_server(tmp_path / "state")
    try:
        assert inbox_link(again).partition("#key=")[2] != key
        assert holder(again.server, key).request("GET", "/fake/inbox", headers=JSON)[0] == 401
    finally:
        assert again.stop() == 0


def test_the_bare_address_says_what_there_is(verify_server: VerifyServer) -> None:
    """A page for a person, JSON for who asks for it; both name the inbox, and every link that they give works."""
    stranger = holder(verify_server, "")
    status, headers, page = stranger.request("GET", "/", headers={"Accept": "text/html"})
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/html")
    status, _, links = stranger.request("GET", "/", headers=JSON)
    assert (status, links.pop("service"), links["inbox"]) == (200, "verify_service", "/fake/inbox")
    for link in links.values():
        assert f'href="{link}"' in page
        assert urlsplit(link).netloc == ""
        assert stranger.request("GET", link, headers={"Accept": "text/html"})[0] == 200


@pytest.mark.parametrize("accept", [JSON, {"Accept": "text/html"}])
def test_without_a_fake_provider_no_inbox_is_named(store: Store, accept: dict[str, str]) -> None:
    """What is not there is not linked to; what cannot be done there is a 405."""
    client = LocalClient(store, ManualClock())
    shown: Any = client.request("GET", "/", headers=accept)[2]
    assert "/docs" in str(shown)
    assert "inbox" not in str(shown)
    assert client.refused("POST", "/", {})["type"] == "/problems/method-not-allowed"
