"""A backtest decides as the live service does, from either form of recorded traffic, and counts what that means."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bench import Bench, a_start, make_bench, wrong
from tests.support.recorded import NUMBERS, after, start, write
from verify_service.backtest import runner
from verify_service.backtest.runner import Decided, Followed
from verify_service.backtest.runner import run as judge
from verify_service.errors import Problem
from verify_service.policy import file as policy_file
from verify_service.simulate import scenario
from verify_service.store import Store
from verify_service.store.scratch import ScratchStore

pytestmark = pytest.mark.slow

STRICT = """
[code]
life = "5 minutes"
checks = 2
sends = 3
cooldown = ["10 seconds", "1 minute"]
guess_ceiling = 1
[line_types]
deny = ["toll-free"]
[countries]
deny = ["TJ"]
observe = ["GB"]
[prices]
default = 0.05
[[limit]]
name = "number"
of = ["number"]
allow = "4/10 minutes; 40/day"
[[limit]]
name = "ip"
of = ["ip"]
allow = "3/10 minutes"
net_of_approved = true
[[limit]]
name = "watched"
of = ["country"]
allow = "5/hour"
net_of_approved = true
mode = "observe"
[[limit]]
name = "wrong-codes"
of = ["number"]
allow = "3/hour"
counts = "wrong-codes"
[[rule]]
name = "spend"
kind = "budget"
of = ["country"]
allow = "$0.60/hour"
mode = "enforce"
[[rule]]
name = "pumping-of-this-test"
kind = "pumping"
mode = "enforce"
"""
# The charts of a detector hang on its name, so each test gives it one of its own.
EPOCH_MS = 1_800_000_000_000
ADDRESSES = ("203.0.113.1", "203.0.113.2", "2001:db8::7")


class Act(NamedTuple):
    """What a caller does `after` so many milliseconds: a start, or a check of the `of`th start before."""

    after: int
    what: str
    number: int
    address: int
    of: int


class Verdict(NamedTuple):
    """A decision on a start."""

    rule: str | None
    retry_after: int | None


acts = st.lists(
    st.builds(
        Act,
        after=st.sampled_from((0, 500, 9_999, 10_000, 31_000, 120_000, 300_001)),
        what=st.sampled_from(("start", "start", "start", "approved", "wrong")),
        number=st.integers(0, len(NUMBERS) - 1),
        address=st.integers(0, len(ADDRESSES) - 1),
        of=st.integers(1, 4),
    ),
    min_size=5,
    max_size=40,
)


def live(bench: Bench, tenant: str, script: Sequence[Act]) -> tuple[list[Verdict], list[dict[str, Any]]]:
    """The live service's decisions on a script, and the record that somebody would have kept of it."""
    verdicts: list[Verdict] = []
    record: list[dict[str, Any]] = []
    ids: list[str | None] = []
    for act in script:
        bench.clock.ms += act.after
        at = bench.clock.ms / 1000
        if act.what == "start":
            to, address = NUMBERS[act.number], ADDRESSES[act.address]
            record.append({"at": at, "event": "start", "id": f"v{len(ids)}", "to": to, "ip": address, "tenant": tenant})
            try:
                ids.append(bench.service.start(tenant, a_start(to, ip=address)).id)
                verdicts.append(Verdict(None, None))
            except Problem as problem:
                ids.append(None)
                verdicts.append(Verdict(_rule(problem), problem.members.get("retry_after")))
        elif len(ids) >= act.of:
            recorded, started = len(ids) - act.of, ids[-act.of]
            record.append({"at": at, "event": act.what, "id": f"v{recorded}", "tenant": tenant})
            if started is not None:
                code = bench.code(started)
                try:
                    bench.service.check(tenant, started, code if act.what == "approved" else wrong(code))
                except Problem:
                    continue
    return verdicts, record


def _rule(problem: Problem) -> str:
    named = problem.members.get("limit") or problem.members.get("rule")
    return str(named or ("line-types" if problem.members.get("reason") == "line-type" else problem.slug))


def decided(policy: str, path: Path) -> list[Decided]:
    """The decisions of a backtest."""
    return [item for item in judge(policy_file.parse(policy, "test"), path) if isinstance(item, Decided)]


@settings(max_examples=25)
@given(script=acts)
def test_a_backtest_decides_as_the_live_service_did(store: Store, tmp_path: Path, script: list[Act]) -> None:
    """The same starts and checks at the same times: admitted alike, refused by the same rule for the same seconds, and
    observed by the same rules, from numbers in clear and from the live service's own export."""
    tenant = f"t{secrets.token_hex(4)}"
    policy = STRICT.replace("pumping-of-this-test", tenant)
    bench = make_bench(store, policy)
    bench.clock.ms = EPOCH_MS
    verdicts, record = live(bench, tenant, script)
    exported = [event for event in store.events.read(EPOCH_MS) if event.get("tenant") == tenant]
    seen = [tuple(event.get("observed", ())) for event in exported if event["event"] == "start"]

    clear = decided(policy, write(tmp_path / "clear.jsonl", record))
    assert [Verdict(found.rule, found.retry_after) for found in clear] == verdicts
    assert [found.observed for found in clear] == seen

    known = decided(policy, write(tmp_path / "export.jsonl", exported))
    assert [Verdict(found.rule, found.retry_after) for found in known] == verdicts
    assert [found.observed for found in known] == seen


def test_an_attack_is_blocked_at_the_same_start(store: Store, tmp_path: Path) -> None:
    """Neighbouring numbers of one prefix from many addresses, none completed: detector, blocks and probes decide in a
    backtest, from numbers in clear and from an export, as they did live."""
    tenant = f"t{secrets.token_hex(4)}"
    policy = f'[code]\nguess_ceiling = 1\n[[rule]]\nname = "{tenant}"\nkind = "pumping"\nmode = "enforce"'
    bench = make_bench(store, policy)
    bench.clock.ms = EPOCH_MS
    verdicts: list[str | None] = []
    record: list[dict[str, Any]] = []
    for place in range(300):
        bench.clock.ms += 3_000
        to, address = f"+99290{1230000 + 7 * place}", f"203.0.{place % 200}.{place % 251}"
        at = bench.clock.ms / 1000
        record.append({"at": at, "event": "start", "id": f"v{place}", "to": to, "ip": address, "tenant": tenant})
        try:
            bench.service.start(tenant, a_start(to, ip=address))
            verdicts.append(None)
        except Problem as problem:
            verdicts.append(_rule(problem))
    exported = [event for event in store.events.read(EPOCH_MS) if event.get("tenant") == tenant]
    assert tenant in verdicts
    assert [found.rule for found in decided(policy, write(tmp_path / "clear.jsonl", record))] == verdicts
    assert [found.rule for found in decided(policy, write(tmp_path / "export.jsonl", exported))] == verdicts


@pytest.mark.parametrize("name", ["sequential-many-ips", "spread-completing"])
def test_simulated_days_are_decided_as_live(store: Store, tmp_path: Path, name: str) -> None:
    """A small service's day and its attack under the shipped policy with all enforced: resends, mistypes, approvals
    that give limits and charts their due. Not one start of either form of the record is decided otherwise."""
    tenant = f"t{secrets.token_hex(4)}"
    policy = policy_file.default_text(enforce=True).replace('"pumping"', f'"{tenant}"\nkind = "pumping"')
    bench = make_bench(store, policy)
    verdicts: list[str | None] = []
    record: list[dict[str, Any]] = []
    ids: dict[str, str] = {}
    for event in scenario(name, seed=3, days=1, per_day=150):
        bench.clock.ms = round(event.at * 1000)
        record.append({**event.recorded(), "tenant": tenant})
        try:
            if event.event == "start":
                ids[event.id] = bench.service.start(
                    tenant, a_start(event.to or "", ip=event.ip, device=event.device)
                ).id
                verdicts.append(None)
            elif event.id in ids:
                code = bench.code(ids[event.id])
                bench.service.check(tenant, ids[event.id], code if event.event == "approved" else wrong(code))
        except Problem as problem:
            if event.event == "start":
                verdicts.append(_rule(problem))
    exported = [event for event in store.events.read(0) if event.get("tenant") == tenant]
    for form in (record, exported):
        assert [found.rule for found in decided(policy, write(tmp_path / "events.jsonl", form))] == verdicts


def test_a_second_start_while_the_first_is_pending_is_a_resend_whatever_its_id(tmp_path: Path) -> None:
    """So an approval under the second id ends the first one's verification, and the next start is a new one."""
    record = [start(0, "a"), start(10, "b"), start(69, "c"), after(71, "approved", "b"), start(71, "d")]
    items = list(judge(policy_file.parse(STRICT, "test"), write(tmp_path / "events.jsonl", record)))
    assert [(item.event.id, item.rule, item.retry_after) for item in items if isinstance(item, Decided)] == [
        ("a", None, None),
        ("b", None, None),
        ("c", "cooldown", 1),
        ("d", None, None),
    ]
    assert [(item.fed, item.taken) for item in items if isinstance(item, Followed)] == [(True, True)]


def test_a_number_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """As the live service would refuse it, before any limit counts: the record is no worse for it."""
    record = [start(0, "v0", to="+14150000000"), start(1, "v1", to="+99912345678"), start(2, "v2")]
    found = decided(STRICT, write(tmp_path / "events.jsonl", record))
    assert [(item.rule, item.retry_after) for item in found] == [
        ("invalid-number", None),
        ("invalid-number", None),
        (None, None),
    ]


def test_an_approval_of_a_refused_start_is_not_fed(tmp_path: Path) -> None:
    """It cannot have happened under this policy, so it gives no limit a start back; one of an admitted start does."""
    policy = '[code]\nguess_ceiling = 1\n[[limit]]\nname = "two"\nof = ["ip"]\nallow = "2/hour"\nnet_of_approved = true'
    begin = [start(at, f"v{at}", at, ip="203.0.113.1") for at in range(3)]
    for approved, last in (("v2", "two"), ("v1", None)):
        record = [*begin, after(5, "approved", approved), start(6, "v6", 3, ip="203.0.113.1")]
        found = decided(policy, write(tmp_path / "events.jsonl", record))
        assert [item.rule for item in found] == [None, None, "two", last]


def test_the_scratch_store_forgets_what_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded days pass in seconds of the server's own time; verifications that have ended there do not pile up."""
    left: list[int] = []

    class Watched(ScratchStore):
        def receive(self) -> list[list[Any]]:
            answers = super().receive()
            left.extend(answer[1] for answer in answers if answer[0] == b"forgotten")
            return answers

    monkeypatch.setattr(runner, "ScratchStore", Watched)
    record = [start(600 * place, f"v{place}", place % 2) for place in range(12 * runner.BATCH)]
    policy = policy_file.parse('[code]\nlife = "5 minutes"\nguess_ceiling = 1', "test")
    assert len(list(judge(policy, write(tmp_path / "events.jsonl", record)))) == len(record)
    assert 0 < left[-1] <= (runner.AHEAD + 1) * runner.BATCH < len(record)
