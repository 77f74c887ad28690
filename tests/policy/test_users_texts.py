"""May who has a verified factor still get a code by message? `[factors] texts` says so, and the start's script decides
it by the user's record."""

from dataclasses import replace
from pathlib import Path

import pyotp
import pytest

from tests.support.authenticator import TENANT, App, enrolled, verify
from tests.support.bench import Bench, ManualClock, a_start, make_bench
from tests.support.contract import LocalClient, a_number
from tests.support.recorded import write
from verify_service import phone
from verify_service.backtest.runner import Decided, run
from verify_service.errors import Blocked, StoreUnavailable
from verify_service.factors import NewFactor
from verify_service.model import Actor
from verify_service.policy import file as policy_file
from verify_service.policy.rulebook import fixed
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.policies import Policies

pytestmark = pytest.mark.slow

SAID = "The user has 1 verified factor and is sent no codes."


def policy(texts: str) -> str:
    return f"""
    [code]
    guess_ceiling = 1.0
    [factors]
    texts = "{texts}"
    [allow]
    networks = ["198.51.100.0/24"]
    [[limit]]
    name = "user"
    of = ["user"]
    allow = "9/hour"
    """


def under(bench: Bench, texts: str) -> Bench:
    """The same service, by another policy."""
    rules = fixed(policy_file.parse(policy(texts), "x"), bench.tagger)
    parts = (bench.service.config, rules, bench.keys, bench.tagger, bench.store.verifications, bench.clock)
    return replace(bench, service=Service(*parts))


def why_not(bench: Bench, user: str | None, tenant: str = TENANT, **fields: str) -> str | None:
    """What is said of a start that the rule refuses; None where a code goes out."""
    try:
        bench.service.start(tenant, a_start(a_number(), user=user, **fields))
    except Blocked as refused:
        found = bench.explain.decision(tenant, refused.members["decision"])
        return found.sentence if refused.members["rule"] == "factors" else refused.detail
    return None


def test_who_has_a_verified_factor_is_sent_no_codes_where_the_policy_denies_it(store: Store) -> None:
    """Until the first right code nothing is denied; then every start that says this user is, whatever else it says;
    nobody else's, and theirs again once the factor is gone. A start that says no user is not judged."""
    bench = under(make_bench(store), "deny")
    app = App(bench, bench.factors.enrol(TENANT, "ann", NewFactor()))
    assert why_not(bench, "ann") is None
    assert verify(bench, "ann", app, codes=False).approved
    for said in ({}, {"purpose": "payment"}, {"ip": "198.51.100.7"}):
        assert why_not(bench, "ann", **said) == SAID
    with pytest.raises(Blocked):
        bench.service.start(TENANT, a_start(a_number(), user="ann"), risk_check=False)
    assert [why_not(bench, "bob"), why_not(bench, None), why_not(bench, "ann", "other")] == [None, None, None]
    bench.factors.remove(TENANT, "ann", app.id, Actor("ops"))
    assert why_not(bench, "ann") is None


def test_it_is_decided_in_the_one_round_trip_of_the_start(alone: Store, tmp_path: Path) -> None:
    """Whatever the policy says of texts. What is refused counts nothing; what only observes says so in the event, in
    the decision that this names, and in an explanation, as what is enforced does. A backtest knows nobody's factors."""
    bench = make_bench(alone)
    for texts in ("observe", "deny"):
        Policies(alone.link, bench.tagger).rehearse(bench.clock.now(), policy_file.parse(policy(texts), "x"))
    enrolled(bench, "ann")
    trips = dict[str, list[int]]()
    for texts in ("allow", "observe", "deny"):
        judged_by = under(bench, texts)
        for user in ("ann", "bob"):
            before = alone.link.round_trips
            try:
                judged_by.service.start(TENANT, a_start(a_number(), user=user))
            except Blocked:
                assert (texts, user) == ("deny", "ann")
            trips.setdefault(texts, []).append(alone.link.round_trips - before)
    assert trips == {"allow": [1, 1], "observe": [1, 1], "deny": [1, 1]}
    starts = [event for event in alone.events.read(0) if event["event"] == "start"]
    assert [event.get("observed") for event in starts] == [None, None, ["factors"], None, None, None]
    assert [event.get("refused") for event in starts] == [*[None] * 4, "factors", None]
    record = bench.explain.decision(TENANT, starts[2]["decision"])
    would = "The user has 1 verified factor and would be sent no codes."
    assert [each.sentence for each in record.judged if each.kind == "factors"] == [would]
    number = phone.parse(a_number(), None)
    found = under(bench, "deny").explain.explain(TENANT, number, user="ann")
    assert (found.by, found.sentence) == ("factors", SAID)
    assert [each.count for each in found.judged if each.name == "user"] == [2]
    said = under(bench, "observe").explain.explain(TENANT, number, user="bob")
    assert [each.sentence for each in said.judged if each.kind == "factors"] == [
        "The user has no verified factor and may be sent codes."
    ]
    line = {"at": 1.8e9, "event": "start", "id": "v1", "to": a_number(), "user": "ann"}
    judged = run(policy_file.parse(policy("deny"), "x"), write(tmp_path / "events.jsonl", [line]))
    assert [item.rule for item in judged if isinstance(item, Decided)] == [None]


@pytest.mark.parametrize("damage", [("SET", "\x93"), ("HSET", "a", "b")])
def test_a_record_that_cannot_be_read_is_not_taken_for_none(alone: Store, damage: tuple[str, ...]) -> None:
    """Damaged, or of another type: the start is refused as unavailable, and nothing goes out."""
    bench = under(make_bench(alone), "deny")
    alone.link.command(0, [damage[0], f"vs:{{0}}:user:{bench.tagger.user(TENANT, 'ann')}", *damage[1:]])
    with pytest.raises(StoreUnavailable):
        why_not(bench, "ann")
    assert [event for event in alone.events.read(0) if event["event"] == "start"] == []


def test_by_http_it_is_blocked_with_a_decision(store: Store) -> None:
    """403, as any rule that refuses; the detail says what to do instead."""
    clock = ManualClock()
    client = LocalClient(store, clock, policy("deny"))
    made = client.factors.enrol("default", "ann", NewFactor())
    code = pyotp.TOTP(made.secret).at(clock.now() // 1000)
    assert client.factors.verify("default", "ann", made.factor.id, code, recovery_codes=False).approved
    problem = client.refused("POST", "/start", {"to": a_number(), "user": "ann"})
    assert (problem["status"], problem["type"], problem["rule"]) == (403, "/problems/blocked", "factors")
    assert [client.request("GET", f"/users/{user}")[2]["texts"] for user in ("ann", "bob")] == [False, True]
    assert problem["detail"].endswith("ask for the factor's code.")
    _, _, decision = client.request("GET", f"/decisions/{problem['decision']}")
    assert decision["sentence"] == SAID
