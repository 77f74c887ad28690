"""The policy by HTTP, beyond seeing and pushing it: its history, a check without a push, and a backtest."""

from typing import Any

import msgspec
import pytest

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from tests.support.live import BASE, contents
from verify_service.duration import rfc3339
from verify_service.insight.policy import A_PAGE
from verify_service.store import Store
from verify_service.store.backtests import Job, tell

pytestmark = pytest.mark.slow

KEY = "vs:{0}:policy"
COUNTRY = '[[limit]]\nname = "country"\nof = ["country"]\nallow = "1/hour"\n'


@pytest.fixture
def client(alone: Store) -> LocalClient:
    return LocalClient(alone, ManualClock())


def push(client: LocalClient, text: str, note: str = "", if_match: str = "*") -> tuple[int, dict[str, str], Any]:
    return client.request("PUT", "/admin/policy", {"policy": text, "note": note}, {"If-Match": if_match})


def check(client: LocalClient, text: str) -> tuple[int, Any]:
    status, _, answer = client.request("POST", "/admin/policy/check", {"policy": text})
    return status, answer


def test_the_history_is_seen_page_by_page_and_gone_back_to(client: LocalClient) -> None:
    """Newest first, without what cannot be unsealed; going back is a push of what one revision said."""
    assert client.request("GET", "/admin/policy/revisions")[2] == {"revisions": [], "before": None}
    texts = [f"# {number}\n{BASE}" for number in range(1, A_PAGE + 4)]
    for number, text in enumerate(texts, 1):
        assert push(client, text, f"the {number}th")[0] == 200
        client.clock.advance(1)  # type: ignore[attr-defined]
    client.store.link.command(0, ["HSET", KEY, A_PAGE, "damaged"])
    _, _, newest = client.request("GET", "/admin/policy/revisions")
    shown = [each["revision"] for each in newest["revisions"]]
    assert (shown, newest["before"]) == ([*range(A_PAGE + 3, A_PAGE, -1), *range(A_PAGE - 1, 3, -1)], 4)
    _, _, older = client.request("GET", "/admin/policy/revisions?before=4")
    assert ([each["revision"] for each in older["revisions"]], older["before"]) == ([3, 2, 1], None)
    status, headers, first = client.request("GET", "/admin/policy/revisions/1")
    assert (status, first) == (200, older["revisions"][-1] | {"policy": texts[0]})
    assert (first["by"], first["note"], "etag" in headers) == ("api:default", "the 1th", False)
    for unknown in ("0", "01", "x", str(A_PAGE), "99", "9" * 400):
        assert client.refused("GET", f"/admin/policy/revisions/{unknown}")["status"] == 404, unknown
    for bad in ("0", "-1", "x", "", "9" * 400):
        problem = client.refused("GET", f"/admin/policy/revisions?before={bad}")
        assert [error["field"] for error in problem["errors"]] == ["before"], bad
    etag = client.request("GET", "/admin/policy")[1]["etag"]
    assert push(client, first["policy"], "back", etag)[2]["policy"] == texts[0]
    assert client.request("GET", "/admin/policy/revisions?before=25")[2]["revisions"][0]["note"] == "back"


def test_a_check_says_what_a_push_would_and_changes_nothing(client: LocalClient) -> None:
    """As JSON or TOML. What can be used changes these keys; what cannot has the very answer of a push, with its key and
    line. Not even an alert or the audit log hears of it."""
    assert check(client, BASE)[1]["changes"][0] == "code.digits: 6 is new"
    assert push(client, BASE)[0] == 200
    before = contents(client.store.link.client())
    added = ['limit country, of: ["country"] is new', 'limit country, allow: "1/hour" is new']
    text = BASE.replace("digits = 6", "digits = 7") + COUNTRY
    assert check(client, text) == (200, {"usable": True, "changes": ["code.digits: 6 is now 7", *added]})
    assert check(client, BASE) == (200, {"usable": True, "changes": []})
    bad = (
        (BASE.replace("digits", "digts"), "code.digts", 3),
        (BASE + COUNTRY.replace('"country"]', '"contry"]'), "limit[2].of[0]", 14),
        (BASE + "[[limit]\n", "", 12),
        ("# \n[code]\nguess_ceiling = 1e-9\n", "code.guess_ceiling", 3),
    )
    found = [check(client, text) for text, _, _ in bad]
    for (status, problem), (_, key, line) in zip(found, bad, strict=True):
        assert (status, problem["errors"][0]["field"], problem["errors"][0]["line"]) == (400, key, line)
    assert client.refused("POST", "/admin/policy/check", {"policy": BASE, "by": "me"})["errors"][0]["field"] == "by"
    sent = {"Authorization": f"Bearer {client._server.api_key}"}
    http = client.app.test_client()
    for kind, status in (("application/toml", 200), ("text/plain; charset=utf-8", 200), ("application/yaml", 415)):
        answer = http.post("/admin/policy/check", data=text, headers=sent, content_type=kind)
        assert answer.status_code == status, kind
    assert contents(client.store.link.client()) == before
    for (status, problem), (text, _, _) in zip(found, bad, strict=True):
        assert push(client, text)[::2] == (status, problem)


def test_a_backtest_is_begun_seen_and_canceled(alone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time, of a text that can be used against the one in force, with every act in the audit log."""
    jobs: list[Job] = []
    monkeypatch.setattr("tests.support.contract.launch", jobs.append)
    client, path = LocalClient(alone, ManualClock()), "/admin/policy/backtest"
    now = client.clock.now()
    asked = {"policy": BASE + COUNTRY, "hours": 6}
    for method in ("GET", "DELETE"):
        assert client.refused(method, path)["status"] == 404
    assert client.refused("POST", path, asked)["detail"] == "No policy was pushed yet."
    assert push(client, BASE)[0] == 200
    problem = client.refused("POST", path, {"policy": BASE.replace("digits", "digts")})
    assert (problem["errors"][0]["field"], problem["errors"][0]["line"]) == ("code.digts", 3)
    assert client.refused("POST", path, asked | {"hours": 2})["errors"][0]["field"] == "hours"
    status, _, begun = client.request("POST", path, asked)
    assert (status, begun["state"], begun["by"], begun["policy"]) == (202, "running", "api:default", asked["policy"])
    assert (begun["from"], begun["to"], begun["revision"]) == (rfc3339(now - 21_600_000), rfc3339(now), 1)
    assert [(job.id, job.proposed, job.against) for job in jobs] == [(begun["id"], asked["policy"], BASE)]
    problem = client.refused("POST", path, asked)
    assert (problem["type"], problem["backtest"]) == ("/problems/backtest-running", begun["id"])
    tell(alone.link, begun["id"], events=9, judged=4)
    assert client.request("GET", path)[2] == begun | {"events": 9, "judged": 4}
    tell(alone.link, begun["id"], state="done", judged=9, result=msgspec.json.encode({"cut": None}))
    done = client.request("GET", path)[2]
    assert (done["state"], done["judged"], done["result"]) == ("done", 9, {"cut": None})
    assert client.refused("DELETE", path)["detail"] == "No backtest is running."
    _, _, other = client.request("POST", path, {"policy": BASE})
    assert jobs[1].since == now - 3_600_000
    status, _, canceled = client.request("DELETE", path)
    assert (status, canceled) == (200, other | {"state": "canceled", "why": "by api:default"})
    acts = client.request("GET", "/admin/audit")[2]["entries"][:5]
    assert [(each["who"], each["act"], each["outcome"], each["target"]) for each in reversed(acts)] == [
        ("api:default", "backtest", "allowed", f"backtest:{begun['id']}"),
        ("api:default", "backtest", "allowed", acts[3]["target"]),
        ("api:default", "backtest", "failed", acts[3]["target"]),
        ("api:default", "backtest", "allowed", f"backtest:{other['id']}"),
        ("api:default", "cancel", "allowed", f"backtest:{other['id']}"),
    ]
