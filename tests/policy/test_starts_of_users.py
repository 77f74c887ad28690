"""Users of tenants: a start may say whose it is, and limits count by that; who it is stands nowhere in clear."""

import json
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
name = "user"
of = ["user"]
allow = "2/hour"
net_of_approved = true
[[limit]]
name = "user-purpose"
of = ["user", "purpose"]
allow = "1/hour"
[[limit]]
name = "user-number"
of = ["number", "user"]
allow = "1/day"
"""


def refused(bench: Bench, user: str | None, purpose: str, tenant: str = "default", to: str = "") -> str | None:
    """The limit that refuses a start for the user, or None."""
    try:
        bench.service.start(tenant, a_start(to or a_number(), purpose, user=user))
    except Problem as problem:
        return str(problem.members["limit"])
    return None


def test_starts_are_counted_by_the_user_of_one_tenant(store: Store) -> None:
    """Whichever number each start is for: a second of one purpose is one too many, and so is a third of any. Another
    user has counts of their own, so has another tenant's of the same name, and a start without a user has none."""
    bench = make_bench(store, POLICY)
    assert [refused(bench, "ann", each) for each in "aabb"] == [None, "user-purpose", None, "user"]
    assert [refused(bench, "bob", "a"), refused(bench, "ann", "a", "acme")] == [None, None]
    assert [refused(bench, None, "a") for _ in range(3)] == [None] * 3


def test_what_a_user_counts_lies_under_their_pseudonym(alone: Store) -> None:
    """That of the tenant and the user together: an operator's unlock finds all of it there, and nobody finds the name.
    The start's event has the same pseudonym."""
    bench = make_bench(alone, POLICY)
    assert [refused(bench, "ann-from-accounts", each) for each in "ab"] == [None, None]
    tag = bench.tagger.user("default", "ann-from-accounts")
    found = everything(alone)
    assert (b"ann-from-accounts" in found, f"limit:user:{tag}".encode() in found) == (False, True)
    assert found.count(f"limit:user-purpose:{tag}.".encode()) == 2
    assert [event["user"] for event in alone.events.read(0)] == [tag, tag]
    assert bench.tagger.user("acme", "ann-from-accounts") != tag


def test_one_phone_of_a_user_is_counted_with_its_number(store: Store) -> None:
    """A limit by number and user lies where the number's counts do; an approval gives the user's own start back."""
    bench = make_bench(store, POLICY)
    to, other = a_number(), a_number()
    begun = bench.service.start("default", a_start(to, "a", user="ann"))
    assert bench.service.check("default", begun.id, bench.code(begun.id)).approved
    assert [refused(bench, "ann", "b", to=to), refused(bench, "bob", "b", to=to)] == ["user-number", None]
    assert [refused(bench, "ann", "b", to=other), refused(bench, "ann", "c")] == [None, None]
    assert refused(bench, "ann", "d") == "user"


def test_a_backtest_counts_by_user_as_the_live_service_did(alone: Store, tmp_path: Path) -> None:
    """From a record in clear and from the service's own export."""
    bench, record, live = make_bench(alone, POLICY), list[dict[str, Any]](), list[str | None]()
    for place, said in enumerate(("t ann a", "t ann a", "u ann a", "t ann b", "t ann c", "t  c")):
        tenant, user, purpose = said.split(" ")
        bench.clock.advance(1)
        to = a_number()
        whose = {"tenant": tenant, "purpose": purpose} | ({"user": user} if user else {})
        record.append({"at": bench.clock.ms / 1000, "event": "start", "id": f"v{place}", "to": to, **whose})
        live.append(refused(bench, user or None, purpose, tenant, to))
    assert live == [None, "user-purpose", None, None, "user", None]
    for form in (record, [*alone.events.read(0)]):
        judged = run(policy_file.parse(POLICY, "x"), write(tmp_path / "events.jsonl", form))
        assert [item.rule for item in judged if isinstance(item, Decided)] == live


def test_users_by_http_and_by_the_command(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is a 429 with the limit's name. `policy explain --user` says it before, for that tenant's user alone;
    a name that none can have is wrong usage. Under an Idempotency-Key another user is another request."""
    client = LocalClient(store, ManualClock(), POLICY)
    to = a_number()
    first = client.start(to, user="ann", idempotency_key="k")
    assert client.start(to, user="ann", idempotency_key="k") == first
    assert client.refused("POST", "/start", {"to": to, "user": "bob"}, idempotency_key="k")["status"] == 422
    problem = client.refused("POST", "/start", {"to": a_number(), "user": "ann"})
    assert (problem["status"], problem["limit"]) == (429, "user-purpose")

    bench = make_bench(store, POLICY)
    assert refused(bench, "ann", "login") is None
    monkeypatch.setattr("verify_service.commands.explain._remote", lambda: bench)
    words = ["policy", "explain", "--to", a_number(), "--json", "--user"]
    named = [json.loads(CliRunner().invoke(commands, [*words, user]).stdout)["by"] for user in ("ann", "bob")]
    assert named == ["user-purpose", None]
    assert bench.explain.explain("acme", phone.parse(a_number(), None), user="ann").by is None
    for wrong in ("", "a/b", "two\nlines", "x" * 257):
        done = CliRunner().invoke(commands, [*words, wrong])
        assert (done.exit_code, done.stdout) == (2, "")
        assert "'--user': is 1 to 256 characters" in done.stderr
