"""Explain: what would become of a start that is not made, by the very judges that decide, and nothing is spent."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bench import Bench, a_start, make_bench, wrong
from tests.support.commands import command, run
from tests.support.contract import Contract, a_number, contract
from tests.support.detector import field, numbers
from tests.support.live import changed, contents
from verify_service import phone
from verify_service.errors import Problem
from verify_service.model import Actor
from verify_service.policy.decisions import Decision
from verify_service.store import Store
from verify_service.testing import VerifyClock

pytestmark = pytest.mark.slow

POLICY = """
[code]
guess_ceiling = 1.0
sends = 3
cooldown = ["30 seconds"]

[prices]
default = 0.25

[countries]
deny = ["FR"]
observe = ["GB"]

[block]
networks = ["198.51.100.0/24"]

[[limit]]
name = "number"
of = ["number"]
allow = "4/hour"

[[limit]]
name = "ip"
of = ["ip"]
allow = "50/hour"
net_of_approved = true

[[limit]]
name = "watched"
of = ["ip"]
allow = "3/hour"
mode = "observe"

[[limit]]
name = "guesses"
of = ["number"]
allow = "3/hour"
counts = "wrong-codes"

[[rule]]
name = "spend"
kind = "budget"
of = ["country"]
allow = "$2/hour"
mode = "enforce"
"""
US, FR, IP = "+14155550142", "+33612345678", "203.0.113.9"


def explain(bench: Bench, to: str = US, **fields: Any) -> Decision:
    return bench.explain.explain("default", phone.parse(to, None), **fields)


def test_explaining_changes_nothing_in_the_store(alone: Store) -> None:
    """Admitted, refused, watched or blocked: not one byte of the keyspace is another afterwards."""
    bench = make_bench(alone, POLICY)
    for purpose in ("a", "b"):
        bench.service.start("default", a_start(US, purpose, ip=IP))
    client: Any = alone.link.client()
    before = contents(client)
    asked = [(US, IP), (US, None), (FR, IP), ("+447400123456", IP), (US, "198.51.100.7")]
    first = [explain(bench, to, ip=ip) for to, ip in asked]
    assert [explain(bench, to, ip=ip) for to, ip in asked] == first
    assert changed(client, before) == set()
    assert [(each.decision, each.by) for each in first] == [
        ("admit", None),
        ("admit", None),
        ("refuse", "countries"),
        ("admit", None),
        ("refuse", "block-list"),
    ]
    assert {each.id for each in first} == {None}


def test_a_start_that_would_pass_says_who_would_have_refused_it(store: Store) -> None:
    """The sentence counts what only watches; each verdict has its own."""
    bench = make_bench(store, POLICY)
    for last in range(3):
        bench.service.start("default", a_start(f"+1415555020{last}", ip=IP))
    found = explain(bench, "+447400123456", ip=IP)
    assert (
        found.sentence == "Every limit and rule in force lets this start pass. 2 in observe mode would have refused it."
    )
    said = {each.name: each.sentence for each in found.judged}
    assert said["countries"] == "The country GB would be refused."
    assert said["watched"].startswith("The limit `watched` would refuse: 3 of 3 within an hour; room again in ")
    assert said["spend"] == (
        "The budget `spend` has room: $0.00 of $2.00 spent within an hour, and the message costs $0.2500."
    )


def test_what_stands_in_the_way_of_the_number_is_said(store: Store) -> None:
    """A cooldown, spent messages, spent wrong codes: the reason that `start` would give."""
    bench = make_bench(store, POLICY)
    made = bench.service.start("default", a_start(US))
    assert explain(bench).by == "cooldown"
    assert explain(bench, purpose="other").by is None
    code = bench.code(made.id)
    for _ in range(3):
        bench.service.check("default", made.id, wrong(code))
    assert explain(bench, purpose="other").by == "guesses"


step = st.tuples(
    st.sampled_from(["start", "explain"]),
    st.sampled_from([US, "+14155550143", FR]),
    st.sampled_from(["login", "pay"]),
    st.sampled_from([None, IP, "198.51.100.7"]),
    st.sampled_from([1, 20, 700]),
)


@settings(max_examples=40)
@given(steps=st.lists(step, min_size=5, max_size=25))
def test_explain_says_what_start_then_does(store: Store, steps: list[tuple[str, str, str, str | None, float]]) -> None:
    """Before each start of any history, explain names what refuses it, or that nothing does."""
    bench = make_bench(store, POLICY)
    for _, to, purpose, ip, wait in steps:
        bench.clock.advance(wait)
        expected = explain(bench, to, ip=ip, purpose=purpose)
        by: str | None = None
        try:
            bench.service.start("default", a_start(to, purpose, ip=ip))
        except Problem as problem:
            by = problem.members.get("limit") or problem.members.get("rule") or problem.slug
        assert expected.by == by


def test_an_unlocked_number_begins_anew_and_others_do_not(store: Store) -> None:
    """All that limits counted of the number, wrong codes included, and nothing else; said in the events."""
    bench = make_bench(store, POLICY)
    for to in (US, "+14155550143"):
        made = bench.service.start("default", a_start(to, ip=IP))
        for _ in range(3):
            bench.service.check("default", made.id, wrong(bench.code(made.id)))
        for purpose in ("a", "b", "c"):
            with suppress(Problem):
                bench.service.start("default", a_start(to, purpose, ip=IP))
    assert bench.relief.unlock(US, Actor("ann"), "called support") == 2
    counts = {each.name: each.count for each in explain(bench, ip=IP, purpose="z").judged if each.kind == "limit"}
    assert (counts["number"], counts["guesses"]) == (0, 0)
    assert counts["ip"] == 2
    assert explain(bench, "+14155550143", purpose="z").by == "guesses"
    mine = bench.tagger.number(US)
    (event,) = [each for each in store.events.read(0) if each["event"] == "unlocked" and each["number"] == mine]
    assert (event["by"], event["reason"]) == ("ann", "called support")
    assert bench.relief.unlock(US, Actor("ann"), "again") == 0


def test_a_blocked_place_is_told_until_when_and_where_its_evidence_stands(store: Store) -> None:
    """Under a block the odds fade, as nothing is sent; so they do not say why it is blocked, and the sentence does not
    let them seem to."""
    place = field(store)
    assert place.refused(numbers(40), every=30)[-1]
    place.bench.clock.advance(1800)
    found = place.bench.explain.explain("default", phone.parse("+21620100999", None))
    verdict = next(each for each in found.judged if each.name == place.rule)
    assert verdict.verdict == "refuse"
    odds, minutes = f"{verdict.count:,.0f} to 1", -(-(verdict.wait or 0) // 60)
    assert (
        f"the odds for fraud are {odds} by now, and it stays blocked for another {minutes} min on what the block was "
        "made on, which `verify-service blocks list` shows"
    ) in verdict.sentence


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with contract(tmp_path_factory.mktemp("explain")) as found:
        yield found


def explained(live: Contract, *words: str) -> Any:
    done = command(live, "explain", "--json", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_the_command_explains_a_number_of_a_service_that_runs(live: Contract) -> None:
    """By the live policy, as JSON or as lines; the number's start is admitted afterwards as if nobody had asked."""
    to = a_number()
    with live.spending_nothing():
        found = explained(live, "--to", to, "--ip", "203.0.113.9")
        lines = command(live, "explain", "--to", to).stdout.splitlines()
    assert (found["decision"], found["by"], found["revision"]) == ("admit", None, 1)
    names = [each["name"] for each in found["judged"]]
    assert names[:2] == ["line-types", "countries"]
    assert {"number", "number-wrong-codes", "ip", "country-budget", "tenant-budget"} <= set(names)
    assert lines[-1] == "admit: Every limit and rule in force lets this start pass. (revision 1)"
    # The third start is the one that two minutes follow: enough for a command on a busy machine.
    live.default.start(to)
    for wait in (30, 60):
        VerifyClock(live.default).advance(wait)
        live.default.start(to)
    assert explained(live, "--to", to)["by"] == "cooldown"
    told = {each["name"]: each["count"] for each in explained(live, "--ip", "203.0.113.9")["judged"]}
    assert told.keys() >= {"ip", "network"}
    assert told["ip"] == 0


def test_a_number_that_is_none_is_wrong_usage(live: Contract) -> None:
    """Exit status 2, and the option that is at fault."""
    for words, option in ((("--to", "12"), "--to"), (("--to", a_number(), "--ip", "x"), "--ip"), ((), "--to")):
        done = command(live, "explain", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert option in done.stderr
        assert "region" not in done.stderr  # which only the API has


def test_a_tenant_that_the_file_does_not_have_is_wrong_usage(live: Contract, tmp_path: Path) -> None:
    """Exit status 2 where VERIFY_CONFIG says which tenants there are; the file's own and `default` are explained."""
    file = tmp_path / "verify.toml"
    file.write_text('[providers.fake-a]\nkind = "fake"\n[tenants.acme]\n')
    env, to = {"VERIFY_CONFIG": str(file)}, a_number()
    done = command(live, "explain", "--to", to, "--tenant", "acne", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'--tenant': {file} has no [tenants.acne]; did you mean 'acme'?" in done.stderr
    for words in (["--tenant", "acme"], []):
        assert command(live, "explain", "--to", to, *words, env=env).returncode == 0


def test_a_number_is_unlocked_by_command(live: Contract) -> None:
    """At once, with the name of who asked and why in the events."""
    to = a_number()
    for purpose in ("a", "b", "c", "d", "e"):
        live.default.request("POST", "/start", {"to": to, "purpose": purpose})
    assert live.default.refused("POST", "/start", {"to": to, "purpose": "f"})["limit"] == "number"
    env = {"VERIFY_STATE_DIR": str(live.running.server.state_dir)}
    done = run("unlock", "--to", to, "--by", "ann", "--reason", "locked out", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{to}: 1 counts forgotten\n"
    assert live.default.request("POST", "/start", {"to": to, "purpose": "f"})[0] == 201
    store = Store((live.running.server.state_dir / "store-url").read_text())
    (event,) = [event for event in store.events.read(0) if event["event"] == "unlocked"]
    assert (event["by"], event["reason"], event["id"]) == ("ann", "locked out", event["number"])
