"""Keys of the caller's own: what a start brings in `keys` is counted by limits on it, and is nowhere in clear."""

import json
import secrets
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.bench import Bench, ManualClock, a_start, make_bench
from tests.support.contract import LocalClient, a_number
from tests.support.live import everything
from tests.support.recorded import write
from verify_service import phone
from verify_service.backtest.runner import Decided, run
from verify_service.cli import commands
from verify_service.errors import Problem
from verify_service.policy import file as policy_file
from verify_service.store import Store

pytestmark = pytest.mark.slow

POLICY = """
[code]
guess_ceiling = 1.0
[[limit]]
name = "account"
of = ["key:account"]
allow = "2/hour"
net_of_approved = true
[[limit]]
name = "both"
of = ["key:session", "key:account", "country"]
allow = "1/hour"
[[limit]]
name = "with-number"
of = ["number", "key:signup"]
allow = "1/hour"
[[limit]]
name = "watched"
of = ["key:account", "tenant"]
allow = "1/hour"
mode = "observe"
"""


def refused(bench: Bench, to: str = "", purpose: str = "login", **keys: str) -> str | None:
    """The limit that refuses a start with these keys, or None."""
    try:
        bench.service.start("default", a_start(to or a_number(), purpose, keys=keys))
    except Problem as problem:
        return str(problem.members["limit"])
    return None


def test_a_limit_counts_by_a_key_across_numbers(store: Store) -> None:
    """Two starts of an account are two, whoever gets the code; another account has its own count, and a key of another
    name with the same value, too."""
    bench = make_bench(store, POLICY)
    assert [refused(bench, account="a-17") for _ in range(3)] == [None, None, "account"]
    assert refused(bench, account="a-18") is None
    assert refused(bench, session="a-17") is None


def test_a_start_without_the_key_is_not_counted(store: Store) -> None:
    """As with `device`; nor is one that brings only some of what a limit counts by."""
    bench = make_bench(store, POLICY)
    assert [refused(bench) for _ in range(4)] == [None] * 4
    assert [refused(bench, session="s") for _ in range(3)] == [None] * 3


def test_a_key_stands_beside_other_dimensions(store: Store) -> None:
    """Of two keys and a country the same together are one; of a number and a key, the same phone with the same."""
    bench = make_bench(store, POLICY)
    starts = [refused(bench, session=s, account=a) for s, a in (("s", "a"), ("s", "b"), ("t", "a"), ("s", "b"))]
    assert starts == [None, None, None, "both"]
    to = a_number()
    starts = [refused(bench, to, purpose, signup=key) for purpose, key in (("a", "x"), ("b", "y"), ("c", "x"))]
    assert starts == [None, None, "with-number"]


def test_an_approval_gives_a_key_its_start_back(store: Store) -> None:
    """Where the limit is net of approved."""
    bench = make_bench(store, POLICY)
    for _ in range(4):
        begun = bench.service.start("default", a_start(a_number(), keys={"account": "a"}))
        assert bench.service.check("default", begun.id, bench.code(begun.id)).approved
    assert [refused(bench, account="a") for _ in range(3)] == [None, None, "account"]


def test_a_value_is_nowhere_in_the_store_or_an_export(alone: Store) -> None:
    """The event of a start, refused or not, has a pseudonym of each key: the same for the same value, and another under
    another name. Names stand in clear."""
    bench = make_bench(alone, POLICY)
    assert [refused(bench, account="secret-account", session="secret-account") for _ in range(2)] == [None, "both"]
    assert b"secret-account" not in everything(alone)
    tags = {name: bench.tagger.tag(f"key:{name}", "secret-account") for name in ("account", "session")}
    assert [event["keys"] for event in alone.events.read(0)] == [tags, tags]
    assert tags["account"] != tags["session"]


def test_a_backtest_counts_by_keys_as_the_live_service_did(store: Store, tmp_path: Path) -> None:
    """From a record in clear and from the service's own export: the same starts are refused by the same limits, and
    observed by the same."""
    tenant = f"t{secrets.token_hex(4)}"
    bench, record, live = make_bench(store, POLICY), list[dict[str, Any]](), list[str | None]()
    for place, (account, session) in enumerate(product("ab", "stu")):
        to, keys = a_number(), {"account": account, "session": session}
        bench.clock.advance(1)
        record.append(
            {"at": bench.clock.ms / 1000, "event": "start", "id": f"v{place}", "to": to, "tenant": tenant, "keys": keys}
        )
        try:
            bench.service.start(tenant, a_start(to, keys=keys))
            live.append(None)
        except Problem as problem:
            live.append(problem.members["limit"])
    exported = [event for event in store.events.read(0) if event.get("tenant") == tenant]
    assert live == [None, None, "account"] * 2
    for form in (record, exported):
        judged = run(policy_file.parse(POLICY, "x"), write(tmp_path / "events.jsonl", form))
        found = [item for item in judged if isinstance(item, Decided)]
        assert [item.rule for item in found] == live
        assert [item.observed for item in found] == [(), ("watched",), ("watched",)] * 2


def test_an_explanation_judges_by_keys(store: Store) -> None:
    """The limit that would refuse is named with its figures, and only for the key that is said."""
    bench = make_bench(store, POLICY)
    for _ in range(2):
        refused(bench, account="a")
    number = phone.parse(a_number(), None)
    found = bench.explain.explain("default", number, keys={"account": "a"})
    assert (found.decision, found.by) == ("refuse", "account")
    assert found.sentence == "The limit `account` refuses: 2 of 2 within an hour; room again in 3601 s."
    assert bench.explain.explain("default", number, keys={"account": "b"}).by is None
    assert bench.explain.explain("default", number).by is None


def test_keys_by_http(store: Store) -> None:
    """A refusal is a 429 with the limit's name; its decision has the figures. A repetition under an Idempotency-Key is
    the same whatever the order of the keys, and another value is another request."""
    client = LocalClient(store, ManualClock(), POLICY)
    to = a_number()
    first = client.start(to, keys={"account": "a", "signup": "x"}, idempotency_key="k")
    assert client.start(to, keys={"signup": "x", "account": "a"}, idempotency_key="k") == first
    body = {"to": to, "keys": {"account": "b", "signup": "x"}}
    assert client.refused("POST", "/start", body, idempotency_key="k")["status"] == 422
    client.start(a_number(), keys={"account": "a"})
    problem = client.refused("POST", "/start", {"to": a_number(), "keys": {"account": "a"}})
    assert (problem["status"], problem["limit"]) == (429, "account")
    _, _, decision = client.request("GET", f"/decisions/{problem['decision']}")
    assert decision["sentence"].startswith("The limit `account` refuses: 2 of 2 within an hour")


@pytest.mark.parametrize("keys", [{}, None])
def test_no_keys_are_as_good_as_none(store: Store, keys: object) -> None:
    """An empty map and null are starts without keys, and the same request."""
    client = LocalClient(store, ManualClock(), POLICY)
    to = a_number()
    first = client.start(to, idempotency_key="k")
    assert client.start(to, keys=keys, idempotency_key="k") == first


def test_the_command_explains_by_keys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--key name=value`, as often as there are keys; what is written otherwise is wrong usage."""
    bench = make_bench(store, POLICY)
    monkeypatch.setattr("verify_service.commands.explain._remote", lambda: bench)
    assert [refused(bench, account="a=b") for _ in range(2)] == [None, None]
    words = ["policy", "explain", "--to", a_number(), "--json"]
    done = CliRunner().invoke(commands, [*words, "--key", "session=s", "--key", "account=a=b"])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["by"]) == (0, "account")
    assert [each["name"] for each in found["judged"] if each["kind"] == "limit"] == ["account", "both", "watched"]
    for wrong in ("account", "account=", "=a", "Account=a"):
        done = CliRunner().invoke(commands, [*words, "--key", wrong])
        assert (done.exit_code, done.stdout) == (2, "")
        assert "'--key': is written name=value, such as account=a-17" in done.stderr
