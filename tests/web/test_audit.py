"""The audit log by HTTP: what callers did and were refused, filtered and page by page."""

import secrets
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from verify_service.codes import api_key_digest
from verify_service.policy.file import default_text
from verify_service.store import Store
from verify_service.store.audit import LANES

KEY = "vs:{0}:audit"
TO = "+14155550181"
ACME = f"vk_acme_{secrets.token_urlsafe(32)}"
TOML = f"""
[providers.fake-a]
kind = "fake"
[tenants.acme]
brand = "Acme"
api_keys = [{{ digest = "{api_key_digest(ACME)}", scopes = ["verify"] }}]
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def client(quiet: Store, clock: ManualClock, tmp_path: Path) -> LocalClient:
    """The default tenant's, on a store whose log is empty."""
    quiet.link.command(0, ["DEL", KEY, f"{KEY}:hours", "vs:{0}:policy"])
    (tmp_path / "verify.toml").write_text(TOML)
    return LocalClient(quiet, clock, config_file=tmp_path / "verify.toml")


def as_acme(client: LocalClient, method: str, path: str, body: Any = None) -> int:
    return client.request(method, path, body, {"Authorization": f"Bearer {ACME}"})[0]


def push(client: LocalClient, text: str) -> int:
    return client.request("PUT", "/admin/policy", {"policy": text, "note": "ours"}, {"If-Match": "*"})[0]


def entries(client: LocalClient, query: str = "") -> list[tuple[Any, ...]]:
    status, _, answer = client.request("GET", f"/admin/audit{query}")
    assert status == 200
    names = ("seq", "who", "from", "act", "target", "why", "outcome")
    return [tuple(entry[name] for name in names) for entry in answer["entries"]]


def test_what_callers_did_and_were_refused(client: LocalClient) -> None:
    """By whose key, from which address. A key that lacks the scope changes nothing and is told; so is a policy that
    cannot be used; and a call that was only malformed is no act."""
    unlock = {"to": TO, "reason": f"{TO} called"}
    assert push(client, default_text()) == 200
    assert push(client, f'[x]\ny = "{TO}"') == 400
    assert client.request("POST", "/admin/unlock", {"to": TO})[0] == 400
    assert client.request("POST", "/admin/unlock", unlock)[0] == 200
    assert as_acme(client, "POST", "/admin/unlock", unlock) == 403
    assert as_acme(client, "PUT", f"/consents/{TO}", {"state": "out", "source": "web-form", "note": "said Eve"}) == 200
    assert as_acme(client, "DELETE", f"/consents/{TO}") == 403
    assert client.request("DELETE", f"/consents/{TO}")[0] == 204
    assert as_acme(client, "DELETE", "/users/eve") == 204
    number = entries(client, "?act=unlock")[0][4]
    user = entries(client, "?act=erase&who=api:acme")[0][4]
    assert number.startswith("number:")
    assert user.startswith("user:")
    lacks = "this key lacks the scope `admin`"
    assert entries(client) == [
        (8, "api:acme", "192.0.2.1", "erase", user, "", "allowed"),
        (7, "api:default", "192.0.2.1", "erase", number, "DELETE /consents", "allowed"),
        (6, "api:acme", "192.0.2.1", "call", "DELETE /consents/<number>", lacks, "refused"),
        (5, "api:acme", "192.0.2.1", "consent", number, "web-form", "allowed"),
        (4, "api:acme", "192.0.2.1", "call", "POST /admin/unlock", lacks, "refused"),
        (3, "api:default", "192.0.2.1", "unlock", number, "••• called", "allowed"),
        (2, "api:default", "192.0.2.1", "push", "policy", "ConfigError", "refused"),
        (1, "api:default", "192.0.2.1", "push", "revision:1", "ours", "allowed"),
    ]
    assert as_acme(client, "GET", "/admin/audit") == 403


def test_pages_and_filters(client: LocalClient) -> None:
    """Back from the newest, or on from a number; what cannot be meant is a 400 that names it."""
    for _ in range(5):
        client.request("POST", "/admin/unlock", {"to": TO, "reason": "again"})
    assert [entry[0] for entry in entries(client, "?limit=2")] == [5, 4]
    assert client.request("GET", "/admin/audit?limit=2")[2]["before"] == 4
    assert entries(client, "?before=0") == []
    assert [entry[0] for entry in entries(client, "?limit=2&before=4")] == [3, 2]
    last = client.request("GET", "/admin/audit?limit=2&before=2")[2]
    assert ([entry["seq"] for entry in last["entries"]], last["before"]) == ([1], None)
    on = client.request("GET", "/admin/audit?after=3&limit=1")[2]
    assert ([entry["seq"] for entry in on["entries"]], on["before"], on["after"]) == ([4], None, 4)
    assert entries(client, "?outcome=refused") == []
    wrong = "limit=0&before=x&after=-1&act=Push&outcome=lost&what=1"
    status, _, problem = client.request("GET", f"/admin/audit?{wrong}")
    assert status == 400
    fields = {"limit", "before", "after", "act", "outcome", "what"}
    assert {error["field"] for error in problem["errors"]} == fields


def test_a_key_that_may_not_cannot_fill_the_log(client: LocalClient, clock: ManualClock, quiet: Store) -> None:
    """So many refused calls of the hour stand there; how many more there were, once the hour is over."""
    for _ in range(LANES["refused"] + 15):
        assert as_acme(client, "PUT", "/admin/policy", {"policy": ""}) == 403
    assert len(entries(client, "?limit=200")) == LANES["refused"]
    clock.advance(3600)
    assert client.request("POST", "/admin/unlock", {"to": TO, "reason": "a customer"})[0] == 200
    assert entries(client, "?limit=2")[1][3:] == ("counted", "", "beyond 60 in an hour", "refused")
    assert client.request("GET", "/admin/audit?act=counted")[2]["entries"][0]["more"]["count"] == 15
    assert len(entries(client, "?limit=200")) == LANES["refused"] + 2
    quiet.link.command(0, ["SET", KEY, "no log"])
    assert as_acme(client, "PUT", "/admin/policy", {"policy": ""}) == 403
    assert client.request("POST", "/admin/unlock", {"to": TO, "reason": "x"})[0] == 503
