"""The detector of pumping where a number and its country lie in different partitions of a cluster."""

import pytest

from tests.support.bench import wrong
from tests.support.detector import Field, field, numbers
from verify_service.errors import Blocked
from verify_service.store import Store

pytestmark = pytest.mark.slow

TRIALS, THIS_HOUR, CONVERSIONS = 9, 6, 10  # Places in a chart.


def outside(place: Field) -> list[str]:
    """Numbers whose partition is not their country's."""
    bench = place.bench
    country = bench.store.verifications.partition(bench.tagger.tag("country", "TN"))
    return [
        number
        for number in numbers(80, step=137)
        if bench.store.verifications.partition(bench.tagger.number(number)) != country
    ]


def test_a_prefix_is_blocked_whatever_partition_its_numbers_lie_in(spread: Store) -> None:
    """The charts of a country are one, so the verdicts on a cluster are those of a single server."""
    place = field(spread)
    answers = place.refused(numbers(60, step=137), every=30)
    assert answers.index(True) <= 20
    assert all(answers[answers.index(True) : 40])
    blocks = [block for block in spread.blocks.list(place.bench.clock.now()) if block.rule == place.rule]
    assert "+216201" in {block.place for block in blocks}


def test_a_lifted_block_lets_starts_of_every_partition_pass(spread: Store) -> None:
    """The id of a block names its partition."""
    place = field(spread)
    place.refused(numbers(40, step=137), every=30)
    for block in spread.blocks.list(place.bench.clock.now()):
        if block.rule == place.rule:
            assert spread.blocks.lift(place.bench.clock.now(), block.id, "ann", "ours", {}) is not None
    assert not any(place.refused(numbers(5, first=20_100_050, step=137), every=30))


def test_a_refused_start_on_a_cluster_keeps_its_decision(spread: Store) -> None:
    """What was judged in the country's partition is in the record of the number's."""
    place = field(spread)
    place.refused(numbers(40, step=137), every=30)
    with pytest.raises(Blocked) as caught:
        place.start(outside(place)[0])
    found = place.bench.explain.decision("default", str(caught.value.members["decision"]))
    assert found.by == place.rule
    assert place.rule in found.sentence


def test_an_approval_reaches_the_charts_of_its_country_once(spread: Store) -> None:
    """By way of the events stream: one conversion, however often the dispatcher looks."""
    place = field(spread)
    verification = place.start(outside(place)[0])
    place.bench.service.check("default", verification.id, wrong(place.bench.code(verification.id)))
    place.carry()
    assert place.chart("cTN")[CONVERSIONS] == 0
    place.approve(verification)
    place.carry()
    assert place.chart("cTN")[CONVERSIONS] == 1


def test_a_resend_and_a_refused_start_give_their_trials_back(spread: Store) -> None:
    """Both were counted in the country's partition before the number's script knew what they are."""
    place = field(spread)
    number = outside(place)[0]
    verification = place.start(number)
    place.bench.clock.advance(31)
    assert place.start(number).id == verification.id
    place.carry()
    assert place.chart("cTN")[TRIALS] == pytest.approx(1, abs=0.01)
    with pytest.raises(Exception, match="A message went out"):
        place.start(number)
    assert place.chart("cTN")[TRIALS] == pytest.approx(1, abs=0.01)
    assert place.chart("cTN")[THIS_HOUR] == 1
    place.approve(verification)
    assert place.chart("cTN")[CONVERSIONS] == pytest.approx(1, abs=0.01)


def test_no_place_is_blocked_while_approvals_are_late(spread: Store) -> None:
    """The dispatcher carries approvals to the country's partition and says how far it has come: where that is more than
    five seconds ago, what looks like nobody's entering a code may be on its way."""
    place = field(spread)
    *attacked, last = numbers(61, step=137)
    spread.outbox.refunded(place.bench.clock.now() - 5_001)
    assert not any(place.refused(attacked, every=30))
    spread.outbox.refunded(place.bench.clock.now())
    assert place.refused([last], every=30) == [True]


def test_an_export_of_a_cluster_says_what_the_rule_saw_of_neighbours(spread: Store) -> None:
    """It is seen in the country's partition, and recorded in the number's: of refused starts, too."""
    place = field(spread)
    place.refused(numbers(40, step=1), every=30)
    mine = {place.bench.tagger.number(to) for to in numbers(40, step=1)}
    near = [event.get("near") for event in spread.events.read(0) if event.get("number") in mine]
    assert (len(near), set(near)) == (40, {"0", "1"})


def test_the_event_of_a_block_says_in_seconds_when_it_ends(spread: Store) -> None:
    """In the unit of `at`."""
    place = field(spread)
    place.refused(numbers(40, step=137), every=30)
    (block,) = [block for block in spread.blocks.list(place.bench.clock.now()) if block.rule == place.rule]
    (made,) = [event for event in spread.events.read(0) if event["event"] == "blocked" and event["id"] == block.id]
    assert (made["at"], made["till"]) == (block.at / 1000, block.till / 1000)
