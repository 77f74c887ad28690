"""Decisions: every refusal is explained under its id for an hour, to its own tenant, with the figures of each limit."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.bench import Bench, ManualClock, a_start, make_bench, wrong
from tests.support.contract import Contract, LocalClient, a_number, contract
from verify_service.errors import NotFound, Problem
from verify_service.policy.decisions import Decision
from verify_service.store import Store

POLICY = """
[code]
guess_ceiling = 1.0
sends = 2
cooldown = ["30 seconds"]

[[limit]]
name = "number"
of = ["number"]
allow = "3/hour; 5/day"

[[limit]]
name = "busy"
of = ["ip"]
allow = "40/hour"

[[limit]]
name = "watched"
of = ["number"]
allow = "1/day"
mode = "observe"

[[limit]]
name = "guesses"
of = ["number"]
allow = "4/hour"
counts = "wrong-codes"
"""
TO, IP = "+14155550142", "203.0.113.9"


@pytest.fixture
def bench(store: Store) -> Bench:
    return make_bench(store, POLICY)


def refused(bench: Bench, work: Callable[[], object]) -> tuple[Problem, Decision]:
    """The problem, and the decision it names."""
    with pytest.raises(Problem) as raised:
        work()
    return raised.value, bench.explain.decision("default", raised.value.members["decision"])


def begin(bench: Bench, **fields: Any) -> Any:
    return bench.service.start("default", a_start(TO, ip=IP, **fields))


def exhaust(bench: Bench) -> None:
    """Three starts, each of a purpose of its own."""
    for purpose in ("a", "b", "c"):
        begin(bench, purpose=purpose)
        bench.clock.advance(1)


def test_a_limits_refusal_has_every_limit_with_its_figures(bench: Bench) -> None:
    """The one that decided and those that had room or only watched: key, count, bound, window, a sentence each."""
    exhaust(bench)
    problem, found = refused(bench, lambda: begin(bench, purpose="d"))
    assert (problem.slug, problem.members["limit"]) == ("rate-limited", "number")
    assert (found.id, found.decision, found.by) == (problem.members["decision"], "refuse", "number")
    assert found.at == bench.clock.ms
    assert found.sentence == f"The limit `number` refuses: 3 of 3 within an hour; room again in {3600 - 3 + 1} s."
    assert problem.members["retry_after"] == 3598
    told = {
        each.name: (each.kind, each.mode, each.verdict, each.count, each.bound, each.window) for each in found.judged
    }
    assert told == {
        "line-types": ("line-types", "enforce", "pass", None, None, None),
        "countries": ("countries", "enforce", "pass", None, None, None),
        "number": ("limit", "enforce", "refuse", 3, 3, 3600),
        "busy": ("limit", "enforce", "pass", 3, 40, 3600),
        "watched": ("limit", "observe", "observe", 1, 1, 86400),
        "guesses": ("limit", "enforce", "pass", 0, 4, 3600),
    }
    assert all(each.sentence.endswith(".") for each in found.judged)


def test_no_number_or_address_is_in_a_decision(bench: Bench) -> None:
    """Keys are pseudonyms, in the answer and in the store."""
    exhaust(bench)
    _, found = refused(bench, lambda: begin(bench, purpose="d"))
    assert {each.key for each in found.judged if each.name == "number"} == {bench.tagger.number(TO)}
    key = f"vs:{{0}}:decision:{found.id}"
    stored = b"".join(bench.store.link.command(0, ["HGETALL", key]))
    for secret in (TO[1:], TO[-7:], IP):
        assert secret not in repr(found)
        assert secret.encode() not in stored


def test_a_cooldown_and_spent_messages_are_explained_too(bench: Bench) -> None:
    """What refuses without a limit stands in the list under its own name."""
    begin(bench)
    problem, found = refused(bench, lambda: begin(bench))
    assert (problem.members["limit"], found.by) == ("cooldown", "cooldown")
    assert found.sentence == "A message went out a moment ago; the next one may be asked for in 30 s."
    bench.clock.advance(31)
    begin(bench)
    bench.clock.advance(31)
    problem, found = refused(bench, lambda: begin(bench))
    assert (problem.slug, found.by) == ("sends-exhausted", "sends-exhausted")
    assert found.sentence.startswith("The pending verification has sent all its messages")


def test_an_opt_out_is_explained(bench: Bench) -> None:
    """Judged before anything is counted, so no limit stands in the record."""
    key = f"vs:{{0}}:consent:{bench.tagger.number(TO)}:default"
    bench.store.link.command(0, ["SET", key, "out", "EX", 600])
    problem, found = refused(bench, lambda: begin(bench))
    assert (problem.slug, found.by) == ("opted-out", "opted-out")
    assert found.sentence == "The number's owner asked for no more messages."
    assert [each.kind for each in found.judged] == ["line-types", "countries", "circumstance"]


def test_a_refused_check_is_explained(bench: Bench) -> None:
    """A limit on wrong codes that refuses a comparison leaves its decision as well."""
    made = begin(bench)
    code = bench.code(made.id)
    for _ in range(4):
        bench.service.check("default", made.id, wrong(code))
    problem, found = refused(bench, lambda: bench.service.check("default", made.id, code))
    assert (problem.members["limit"], found.by) == ("guesses", "guesses")
    assert [(each.name, each.count, each.bound) for each in found.judged] == [("guesses", 4, 4)]


def test_a_decision_is_kept_for_an_hour_and_shown_to_its_tenant(bench: Bench) -> None:
    """Another tenant, an unknown id, or an hour later: the same NotFound; and the key has a time to live."""
    begin(bench)
    _, found = refused(bench, lambda: begin(bench))
    assert found.id
    ttl = bench.store.link.command(0, ["PTTL", f"vs:{{0}}:decision:{found.id}"])
    assert 3_590_000 < ttl <= 3_600_000
    for tenant, decision in (("acme", found.id), ("default", found.id[:-1] + "g"), ("default", "de_" + "0" * 32)):
        with pytest.raises(NotFound):
            bench.explain.decision(tenant, decision)
    bench.clock.advance(3599)
    assert bench.explain.decision("default", found.id) == found
    bench.clock.advance(1)
    with pytest.raises(NotFound):
        bench.explain.decision("default", found.id)


def test_a_decision_by_http_is_as_the_document_says(store: Store) -> None:
    """Every kind of refusal by its id: the schema of the answer, RFC 3339, and 404 for what is none."""
    clock = ManualClock()
    client = LocalClient(store, clock, POLICY + '[countries]\ndeny = ["GB"]\n')
    asks = [{"to": TO}, {"to": TO}, {"to": "+447400123456"}, {"to": "+19005550123"}]
    problems = [client.request("POST", "/start", ask)[2] for ask in asks][1:]
    bys = []
    for problem in problems[:2]:
        status, _, found = client.request("GET", f"/decisions/{problem['decision']}")
        assert (status, found["id"], found["decision"]) == (200, problem["decision"], "refuse")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["at"])
        bys.append(found["by"])
    assert bys == ["cooldown", "countries"]
    for path in ("/decisions/x", "/decisions/de_" + "0" * 32, "/decisions/ve_" + "0" * 32):
        assert client.refused("GET", path)["type"] == "/problems/not-found"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with contract(tmp_path_factory.mktemp("decisions")) as found:
        yield found


def test_a_decision_needs_the_scope_read(live: Contract) -> None:
    """`admin` includes it; `verify` does not; a reader of another tenant is told that there is none."""
    to = a_number()
    live.default.start(to)
    problem = live.default.refused("POST", "/start", {"to": to})
    path = f"/decisions/{problem['decision']}"
    assert live.default.request("GET", path)[0] == 200
    assert live.acme.refused("GET", path)["type"] == "/problems/forbidden"
    assert live.reader.refused("GET", path)["type"] == "/problems/not-found"


def test_a_number_is_unlocked_by_http(live: Contract) -> None:
    """Admin alone; at once; attributed in the events."""
    to = a_number()
    for purpose in ("a", "b", "c", "d", "e"):
        live.default.request("POST", "/start", {"to": to, "purpose": purpose})
    assert live.default.refused("POST", "/start", {"to": to, "purpose": "f"})["limit"] == "number"
    body = {"to": to, "reason": "called support"}
    assert live.acme.refused("POST", "/admin/unlock", body)["type"] == "/problems/forbidden"
    status, _, answer = live.default.request("POST", "/admin/unlock", body)
    assert (status, answer["to"]) == (200, to)
    assert answer["forgotten"] >= 1
    assert live.default.request("POST", "/start", {"to": to, "purpose": "f"})[0] == 201
    spelt = f"tel:+1 ({to[2:5]}) {to[5:8]}-{to[8:]}"
    answer = live.default.request("POST", "/admin/unlock", {"to": spelt, "reason": "called again"})[2]
    assert answer["to"] == to
    store = Store((live.running.server.state_dir / "store-url").read_text())
    told = [(each["by"], each["reason"]) for each in store.events.read(0) if each["event"] == "unlocked"]
    assert told == [("api:default", "called support"), ("api:default", "called again")]
    assert live.default.refused("POST", "/admin/unlock", {"to": to})["errors"][0]["field"] == "reason"
    assert live.default.refused("POST", "/admin/unlock", {"to": "x", "reason": "y"})["status"] == 422
