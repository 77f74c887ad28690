"""API keys: who may call what, and what strangers are told."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bench import ManualClock
from tests.support.contract import SPEC, Contract, LocalClient, a_number, contract, template_of
from verify_service.store import Store
from verify_service.web.catalogue import PROBLEM_TYPES

pytestmark = pytest.mark.slow

ID = "ve_" + "0" * 32
FACTOR = "fa_" + "0" * 32
GUARDED: list[tuple[str, str, Any]] = [
    ("POST", "/start", {"to": "+14155550123"}),
    ("POST", "/check", {"id": ID, "code": "000000"}),
    ("GET", f"/verifications/{ID}", None),
    ("DELETE", f"/verifications/{ID}", None),
    ("GET", "/metrics", None),
    ("GET", "/fake/inbox/+14155550123", None),
    ("DELETE", "/fake/inbox", None),
    ("DELETE", "/fake/state/+14155550123", None),
    ("GET", "/fake/behaviour", None),
    ("PUT", "/fake/behaviour", {"rules": []}),
    ("GET", "/fake/clock", None),
    ("POST", "/fake/clock", {"advance": 1}),
    ("POST", "/fake/inbound", {"from": "+14155550123", "to": "Verify", "body": "HELLO"}),
    ("GET", "/admin/policy", None),
    ("POST", "/admin/policy/backtest", {"policy": ""}),
    ("GET", "/admin/policy/backtest", None),
    ("DELETE", "/admin/policy/backtest", None),
    ("POST", "/admin/policy/check", {"policy": ""}),
    ("GET", "/admin/policy/revisions", None),
    ("GET", "/admin/policy/revisions/1", None),
    ("GET", "/admin/alerts", None),
    ("GET", "/admin/blocks", None),
    ("GET", "/admin/decisions", None),
    ("GET", "/admin/stats", None),
    ("GET", "/admin/audit", None),
    ("DELETE", "/admin/blocks/bl_" + "0" * 32 + "?reason=campaign", None),
    ("PUT", "/admin/policy", {"policy": ""}),
    ("POST", "/admin/unlock", {"to": "+14155550123", "reason": "a test"}),
    ("GET", f"/decisions/{ID.replace('ve', 'de')}", None),
    ("GET", "/consents/+14155550123", None),
    ("PUT", "/consents/+14155550123", {"state": "out"}),
    ("DELETE", "/consents/+14155550123", None),
    ("GET", "/users/ann", None),
    ("PUT", "/users/ann", {"to": "+14155550123"}),
    ("DELETE", "/users/ann", None),
    ("POST", "/users/ann/factors", {"kind": "totp"}),
    ("DELETE", f"/users/ann/factors/{FACTOR}", None),
    ("POST", f"/users/ann/factors/{FACTOR}/verify", {"code": "123456"}),
    ("POST", "/users/ann/check", {"code": "123456"}),
    ("POST", "/users/ann/recovery-codes", None),
    ("POST", "/users/ann/page", {"return_url": "http://localhost/", "enrol": "totp"}),
]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with contract(tmp_path_factory.mktemp("auth")) as found:
        yield found


def test_the_table_names_every_guarded_operation() -> None:
    """No call that needs a key is missing from the tests below (the inbox page is for people, and needs none)."""
    documented = {
        (method.upper(), path)
        for path, item in SPEC["paths"].items()
        for method, operation in item.items()
        if method != "parameters" and operation.get("security", SPEC["security"])
    }
    named = {(method, template_of(path)) for method, path, _ in GUARDED}
    assert named == documented - {("GET", "/fake/inbox")}


@pytest.mark.parametrize(("method", "path", "body"), GUARDED)
def test_a_call_without_a_known_key_is_unauthorized(live: Contract, method: str, path: str, body: Any) -> None:
    """No header, another scheme, no key, a wrong key, a key with a letter changed: 401 and how to do it right."""
    right = live.running.server.api_key
    for value in ("", "Basic dXNlcjpwYXNz", "Bearer", "Bearer ", f"Bearer {right}x", f"Bearer {right[:-1]}", right):
        status, headers, problem = live.default.request(method, path, body, {"Authorization": value})
        assert (status, problem["type"]) == (401, "/problems/unauthorized"), value
        assert headers["www-authenticate"].startswith("Bearer")
        assert right not in str(problem)


@pytest.mark.parametrize(("method", "path", "body"), GUARDED)
def test_a_key_without_the_scope_is_forbidden(live: Contract, method: str, path: str, body: Any) -> None:
    """A `read` key may only look at figures, a `verify` key only start, check and look; what the document says of the
    scope is what the answer names."""
    operation = SPEC["paths"][template_of(path)][method.lower()]
    (scope,) = operation.get("security", SPEC["security"])[0]["bearer"]
    client = live.acme if scope == "read" else live.reader
    problem = client.refused(method, path, body)
    assert (problem["status"], problem["type"]) == (403, "/problems/forbidden")
    assert problem["detail"] == f"This API key lacks the scope `{scope}`."


def test_scopes_open_their_calls(live: Contract) -> None:
    """`read` reads metrics; `admin` includes it; the scheme's name may be in any case."""
    assert live.reader.request("GET", "/metrics")[0] == 200
    assert live.default.request("GET", "/metrics")[0] == 200
    header = {"Authorization": f"bEARER {live.running.server.api_key}"}
    assert live.default.request("GET", "/fake/clock", headers=header)[0] == 200


def test_the_inbox_as_json_needs_a_key_and_its_page_none(live: Contract) -> None:
    """A browser gets an empty page that asks for the key; messages are given to keys with `verify` only."""
    as_json = {"Accept": "application/json"}
    status, headers, page = live.client("").request("GET", "/fake/inbox", headers={"Accept": "text/html"})
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<html" in page
    for header in ("Bearer wrong", ""):
        status, _, _ = live.default.request("GET", "/fake/inbox", headers={**as_json, "Authorization": header})
        assert status == 401
    assert live.reader.request("GET", "/fake/inbox", headers=as_json)[0] == 403
    assert live.default.request("GET", "/fake/inbox", headers=as_json)[0] == 200


def test_a_tenant_sees_nothing_of_another(live: Contract) -> None:
    """Another tenant's verification is 404 on every call, exactly as an unknown one, and not touched by it."""
    to = a_number()
    started = live.default.start(to)
    code = live.inbox.code(to)
    for method, path, body in (
        ("POST", "/check", {"id": started["id"], "code": code}),
        ("POST", "/check", {"to": to, "code": code}),
        ("GET", f"/verifications/{started['id']}", None),
        ("DELETE", f"/verifications/{started['id']}", None),
    ):
        unknown = live.acme.refused("GET", f"/verifications/{ID}")
        assert live.acme.refused(method, path, body) == unknown
    assert live.acme.request("GET", f"/fake/inbox/{to}")[2] == {"messages": []}
    theirs = live.acme.start(to)
    assert theirs["id"] != started["id"]
    assert live.default.check(id=started["id"], code=code)["approved"]
    assert live.acme.status(theirs["id"])["status"] == "pending"


def test_too_many_wrong_keys_from_an_address_are_slowed_and_right_ones_are_not(store: Store) -> None:
    """After 300 wrong keys in a minute, 429 with the seconds to wait; the right key from there still works, and so
    do wrong ones from elsewhere get their 401."""
    client = LocalClient(store, ManualClock())
    wrong = {"Authorization": "Bearer vk_default_a-wrong-one"}
    answers = [client.request("GET", "/metrics", headers=wrong)]
    # The window is a minute of the clock on the wall: at most two of them are filled.
    while answers[-1][0] == 401 and len(answers) < 602:
        answers.append(client.request("GET", "/metrics", headers=wrong))
    assert len(answers) > 300
    status, headers, problem = answers[-1]
    assert (status, problem["type"], problem["limit"]) == (429, "/problems/rate-limited", "failed-authentications")
    assert 1 <= problem["retry_after"] <= 60
    assert headers["retry-after"] == str(problem["retry_after"])
    assert client.start(a_number())["status"] == "pending"
    client.address = "192.0.2.2"
    assert client.request("GET", "/metrics", headers=wrong)[0] == 401


@pytest.mark.parametrize("slug", PROBLEM_TYPES)
def test_every_problem_has_a_page_without_a_key(live: Contract, slug: str) -> None:
    """The `type` of an answer is a path of the same server, readable by whoever got it."""
    status, headers, page = live.client("").request("GET", f"/problems/{slug}")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert PROBLEM_TYPES[slug].title in page
