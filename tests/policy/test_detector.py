"""The detector of pumping: what it blocks, what it never blocks, and what it leaves behind."""

import secrets
from typing import Any

import pytest

from tests.support.bench import make_bench
from tests.support.detector import HOUR, SENT, Field, field, numbers, policy_of
from verify_service.errors import Blocked, RateLimited
from verify_service.store import Store


def test_a_prefix_whose_codes_nobody_enters_is_blocked_within_twenty_messages(store: Store) -> None:
    """Numbers far from each other in one prefix, no code entered: at most 20 messages, then refusals."""
    answers = field(store).refused(numbers(60, step=137), every=30)
    assert True in answers
    assert answers.index(True) <= 20
    assert all(answers[answers.index(True) : 40])


def test_numbers_in_a_row_are_blocked_sooner_than_scattered_ones(store: Store) -> None:
    """Neighbouring numbers are evidence of their own."""
    in_a_row = field(store).refused(numbers(40), every=30).index(True)
    scattered = field(store).refused(numbers(40, step=137), every=30).index(True)
    assert in_a_row < scattered


def test_a_flash_crowd_that_converts_is_never_blocked(store: Store) -> None:
    """Two hundred starts in an hour where there was nothing before, all of them entered: none refused."""
    assert not any(field(store).refused(numbers(200), every=3, converting=True))


def test_codes_that_were_just_sent_are_no_failures_yet(store: Store) -> None:
    """Thirty starts within three seconds: nobody could have entered a code yet, so nobody is refused."""
    assert not any(field(store).refused(numbers(30, step=137), every=0.1))


def test_usual_volume_is_never_blocked_however_few_codes_are_entered(store: Store) -> None:
    """Conversion alone cannot tell fraud from a dead route: without more starts than usual there is no block."""
    place = field(store)
    assert not any(place.refused(numbers(72, step=137), every=HOUR / 3, converting=True))
    assert not any(place.refused(numbers(40, first=20_100_003, step=139), every=HOUR / 3))


def test_a_dead_route_freezes_new_blocks(store: Store) -> None:
    """Where a country's conversions go missing all at once, more starts than usual make no block."""
    country = field(store)
    # A busy country whose codes are entered, with numbers of many prefixes.
    for hour in range(3):
        busy = [f"+216{20_000_000 + (hour * 60 + place) % 40 * 100_000 + hour * 777 + place}" for place in range(60)]
        assert not any(country.refused(busy, every=45, converting=True))
    country.bench.clock.advance(20 * 60)
    assert not any(country.refused(numbers(40, first=20_155_000, step=137), every=30))


def test_a_blocked_place_lets_probes_pass_and_is_free_again_when_they_convert(store: Store) -> None:
    """One start in `probe_every` passes; once enough of them are approved the block ends before its time."""
    place = field(store, probe_every=2)
    assert True in place.refused(numbers(30), every=20)
    before = place.bench.clock.now()
    passed = 0
    for number in numbers(60, first=20_101_000):
        place.bench.clock.advance(31)
        try:
            place.approve(place.start(number))
        except Blocked:
            continue
        passed += 1
    assert passed > 10
    assert place.bench.clock.now() - before < HOUR * 1000
    assert not any(place.refused(numbers(5, first=20_102_000), every=30, converting=True))


def test_blocks_of_the_same_place_get_longer(store: Store) -> None:
    """A place that is attacked on after its block is blocked again at once, for twice as long."""
    place = field(store, probe_every=10_000)
    blocks = place.bench.store.blocks
    assert True in place.refused(numbers(100, step=83), every=40)
    first = {block.place: block for block in blocks.list(place.bench.clock.now()) if block.rule == place.rule}
    assert any(place.refused(numbers(100, first=20_109_000, step=1), every=40))
    later = {block.place: block for block in blocks.list(place.bench.clock.now()) if block.rule == place.rule}
    prefix = "+216201"
    assert first[prefix].till - first[prefix].at == 3_600_000
    assert later[prefix].till - later[prefix].at == 7_200_000


def test_a_block_rests_once_no_more_start_than_usual_and_wakes_with_the_next_wave(store: Store) -> None:
    """A long block does not refuse people for hours after the attack; it needs no new evidence for the next one."""
    place = field(store, block_for='"12 hours"', probe_every=10_000)
    assert True in place.refused(numbers(60, step=137), every=30)
    place.bench.clock.advance(4 * HOUR)
    assert not any(place.refused(numbers(3, first=20_130_000, step=731), every=HOUR))
    wave = place.refused(numbers(10, first=20_140_000, step=137), every=30)
    assert wave.index(True) <= 2
    assert all(wave[2:])


def test_a_number_that_converted_a_day_ago_passes_a_block(store: Store) -> None:
    """Trust is ripe after a day, so it cannot be farmed within an attack."""
    place = field(store)
    known, fresh = numbers(2, first=20_150_000, step=5)
    place.approve(place.start(known))
    place.bench.clock.advance(25 * HOUR)
    place.approve(place.start(fresh))
    assert True in place.refused(numbers(60, step=137), every=30)
    assert place.start(known).status == "pending"
    with pytest.raises(Blocked):
        place.start(fresh)


def test_an_address_that_converts_passes_a_block_and_one_that_does_not_is_no_help(store: Store) -> None:
    """Office and carrier addresses are trusted as long as most of what they start is entered."""
    place = field(store)
    for first in (20_150_000, 20_160_000):
        place.approve(place.start(f"+216{first}", ip="198.51.100.7"))
    place.bench.clock.advance(25 * HOUR)
    assert True in place.refused(numbers(60, step=137), every=30)
    assert place.start("+21620119001", ip="198.51.100.7").status == "pending"
    for number in numbers(8, first=20_118_000, step=7):
        try:
            place.start(number, ip="198.51.100.7")
        except Blocked:
            return
    raise AssertionError("an address that no longer converts is still trusted")


def test_a_resend_is_no_trial_of_its_own(store: Store) -> None:
    """A person who asks for the code again is one person."""
    place = field(store)
    place.start("+21620100000")
    once = place.chart("cTN")[SENT]
    place.bench.clock.advance(31)
    place.start("+21620100000")
    assert place.chart("cTN")[SENT] == once == 1


def test_a_start_that_a_limit_refuses_is_no_trial(store: Store) -> None:
    """What was not sent cannot convert."""
    name = f"p{secrets.token_hex(4)}"
    text = policy_of(name, "enforce", '[[limit]]\nname = "country"\nof = ["country"]\nallow = "1/day"')
    place = Field(make_bench(store, text), name)
    place.start("+21620100000")
    with pytest.raises(RateLimited):
        place.start("+21620100001")
    assert place.chart("cTN")[SENT] == 1


def test_every_key_of_the_detector_has_a_time_to_live(alone: Store) -> None:
    """Charts, neighbours, trust and blocks all go by themselves."""
    place = field(alone)
    place.approve(place.start("+21620177777", ip="198.51.100.9"))
    place.refused(numbers(40), every=30)
    found: list[bytes] = []
    for pattern in (f"*:chart:{place.rule}:*", "*:known:*", "*:habit:*", "*:block:*", "*:blocks"):
        keys = alone.link.command(0, ["KEYS", pattern])
        assert keys, pattern
        found += keys
    assert [key for key in found if alone.link.command(0, ["PTTL", key]) < 0] == []


def test_a_start_costs_the_same_few_commands_whatever_the_traffic(alone: Store) -> None:
    """The detector's work does not grow with the traffic."""
    place = field(alone)

    def commands(number: str) -> int:
        before = calls()
        place.start(number)
        return calls() - before

    def calls() -> int:
        stats: dict[str, Any] = alone.link.client().info("commandstats")
        return sum(int(stat["calls"]) for name, stat in stats.items() if name != "cmdstat_info")

    place.start("+21620130000")
    first = commands("+21620133333")
    place.refused(numbers(150, step=61), every=2, converting=True)
    assert commands("+21620134444") <= first + 2
    assert first <= 30


def test_a_refused_start_says_why_with_its_figures(store: Store) -> None:
    """The decision of a blocked start names the rule, the place and the figures in one sentence."""
    place = field(store)
    place.refused(numbers(40, step=137), every=30)
    with pytest.raises(Blocked) as caught:
        place.start("+21620100999")
    found = place.bench.explain.decision("default", str(caught.value.members["decision"]))
    assert found.by == place.rule
    assert "+216201" in found.sentence
    verdict = next(each for each in found.judged if each.name == place.rule)
    assert verdict.evidence["converted"] == 0
    assert float(verdict.evidence["messages"]) >= 5
