"""The detector of pumping while it watches, when its mode changes, and what it says of itself."""

import itertools
import struct
from typing import Any

import pytest

from tests.support.bench import a_start, make_bench
from tests.support.detector import SENT, WEIGHT, Field, field, numbers, policy_of
from verify_service.insight.blocks import under
from verify_service.phone import parse
from verify_service.store import Store
from verify_service.store.blocks import Block


def test_a_rule_that_observes_refuses_nothing_and_names_itself(store: Store) -> None:
    """In observe mode every start passes, and the event of each that would have been refused says so."""
    place = field(store, mode="observe")
    since = place.bench.clock.now()
    assert not any(place.refused(numbers(40), every=30))
    observed = [place.rule in event.get("observed", ()) for event in place.bench.store.events.read(since)]
    assert observed.count(True) >= 20


def test_observing_and_enforcing_give_the_same_verdicts(store: Store) -> None:
    """What a rule says while it watches is what it would have done."""
    watching = field(store, mode="observe")
    since = watching.bench.clock.now()
    watching.refused(numbers(60, step=137), every=30)
    said = [
        watching.rule in event.get("observed", ())
        for event in watching.bench.store.events.read(since)
        if event["event"] == "start" and event.get("country") == "TN" and event["number"] in tags(watching, 60)
    ]
    assert said == field(store).refused(numbers(60, step=137), every=30)


def tags(place: Field, count: int) -> set[str]:
    return {place.bench.tagger.number(number) for number in numbers(count, step=137)}


def changed(place: Field, mode: str) -> Field:
    """The same rule in another mode, at the same time on the same store."""
    other = Field(make_bench(place.bench.store, policy_of(place.rule, mode)), place.rule)
    other.bench.clock.ms = place.bench.clock.ms
    return other


def test_a_rule_that_begins_to_enforce_refuses_the_very_next_start_of_an_attack(store: Store) -> None:
    """A change of mode keeps evidence and blocks: observe, enforce, observe and enforce again, each from the next start
    on; and each start is counted as refused, or as one that would have been."""
    watching = field(store, mode="observe", probe_every=10_000)
    assert not any(watching.refused(numbers(40, step=137), every=30))
    before = blocks_of(watching)
    assert sum(block.refused for block in before) == 0
    assert sum(block.observed for block in before) > 10
    enforcing = changed(watching, "enforce")
    assert all(enforcing.refused(numbers(5, first=20_106_000), every=10))
    watching = changed(enforcing, "observe")
    assert not any(watching.refused(numbers(5, first=20_107_000), every=10))
    enforcing = changed(watching, "enforce")
    assert all(enforcing.refused(numbers(5, first=20_108_000), every=10))
    after = blocks_of(enforcing)
    assert {block.id for block in after} == {block.id for block in before}
    assert sum(block.refused for block in after) == 10
    assert sum(block.observed for block in after) == sum(block.observed for block in before) + 5


def test_evidence_that_was_watched_counts_once_the_rule_enforces(store: Store) -> None:
    """Where the change comes before the block does, the block is made no later than without it."""
    steady = field(store).refused(numbers(40, step=137), every=30).index(True)
    watching = field(store, mode="observe")
    watching.refused(numbers(steady - 1, step=137), every=30)
    rest = numbers(3, first=20_100_000 + (steady - 1) * 137, step=137)
    answers = changed(watching, "enforce").refused(rest, every=30)
    assert answers == [False, True, True]


def test_what_an_observed_block_lets_through_is_no_evidence(store: Store) -> None:
    """Real people who passed a block that only watched, and did not convert, do not count as failures of probes."""
    watching = field(store, mode="observe", probe_every=10_000)
    watching.refused(numbers(40, step=137), every=30)
    weight, sent = watching.chart("p216201")[WEIGHT], watching.chart("p216201")[SENT]
    watching.refused(numbers(40, first=20_107_000, step=61), every=1)
    assert watching.chart("p216201")[WEIGHT] == weight
    assert watching.chart("p216201")[SENT] <= sent


def blocks_of(place: Field) -> list[Block]:
    return [block for block in place.bench.store.blocks.list(place.bench.clock.now()) if block.rule == place.rule]


def test_blocks_are_shown_as_the_rule_in_force_has_them(store: Store) -> None:
    """After a rollback nothing is listed as if it refused; of a rule that is gone, nothing is listed."""
    place = field(store)
    place.refused(numbers(40, step=137), every=30)
    found = blocks_of(place)
    assert {block.mode for block in under({place.rule: "enforce"}, found)} == {"enforce"}
    assert {block.mode for block in under({place.rule: "observe"}, found)} == {"observe"}
    assert under({}, found) == []


def test_explain_says_how_far_a_place_is_from_a_block_in_the_policys_own_units(store: Store) -> None:
    """Odds and starts an hour, of what is seen and of what a block needs; the sentence has both."""
    place = field(store, prefix_odds=1000, prefix_messages=9)
    place.refused(numbers(4, step=137), every=90)
    number = parse("+21620199999", None)
    found = place.bench.explain.explain("default", number, ip=None, device=None, purpose="login")
    verdict = next(each for each in found.judged if each.name == place.rule)
    assert verdict.verdict == "pass"
    assert verdict.key == "+216201"
    assert verdict.bound == pytest.approx(1000)
    assert 2 < float(verdict.count or 0) < 50
    assert verdict.evidence["odds"] == verdict.count
    assert verdict.evidence["needed_odds"] == verdict.bound
    assert (verdict.evidence["an_hour"], verdict.evidence["needed_an_hour"]) == (4, 9)
    assert f"the odds for fraud are {verdict.count:,.0f} to 1" in verdict.sentence
    assert "a block needs 1,000 to 1 and 9.0 starts an hour" in verdict.sentence


def test_what_a_chart_keeps_of_numbers_has_no_order_and_is_unrelated_under_another_key(store: Store) -> None:
    """Neighbours can be told as such, and nothing else: no offset turns what is kept into numbers."""
    kept = []
    for _ in range(2):
        place = field(store)
        place.refused(numbers(6, step=16), every=60)
        part = place.bench.store.verifications.partition(place.bench.tagger.tag("country", "TN"))
        packed = store.link.command(part, ["GET", f"vs:{{{part}}}:chart:{place.rule}:p216201"])
        kept.append(struct.unpack("<12I", packed[-48:]))
    assert not set(kept[0]) & set(kept[1])
    for tags in kept:
        assert len(set(tags)) == 12
        steps = [after - before for before, after in itertools.pairwise(tags[1::2])]
        assert len(set(steps)) == 5
        assert min(map(abs, steps)) > 1000


def test_a_start_may_be_made_without_a_risk_check(alone: Store) -> None:
    """Then no detector judges it or learns of it, while limits count it as any."""
    bench = make_bench(alone)
    client: Any = alone.link.client()

    def counted(kind: str) -> set[object]:
        return set(client.keys(f"vs:*:{kind}:*"))

    bench.service.start("default", a_start("+14155550123"), risk_check=False)
    assert counted("chart") == set()
    limits = counted("limit")
    assert limits != set()
    bench.service.start("default", a_start("+14155550124"))
    assert counted("chart") != set()
    assert len(counted("limit")) > len(limits)
