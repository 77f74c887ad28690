"""Wrong codes and the detector of pumping: guessing over many numbers is none, and wrong codes do not hide it."""

import pytest

from tests.support.bench import wrong
from tests.support.detector import SENT, Field, field, numbers
from verify_service.errors import Blocked
from verify_service.store import Store

WON = 10  # A place in a chart.
HOMES = (20_100_000, 21_200_000, 50_300_000, 51_400_000, 90_500_000, 91_600_000)
"""Where the users are: numbers of six carrier prefixes."""


def settled(place: Field) -> None:
    """Ten users of each prefix have entered their codes, an hour ago."""
    for turn in range(10):
        for home in HOMES:
            verification = place.start(f"+216{home + turn * 731}")
            place.bench.clock.advance(15)
            place.approve(verification)
            place.bench.clock.advance(45)
    place.bench.clock.advance(3600)


def guess(place: Field, number: str) -> bool:
    """Starts, and enters a wrong code after three seconds; whether the start was refused."""
    try:
        verification = place.start(number)
    except Blocked:
        return True
    place.bench.clock.advance(3)
    place.bench.service.check("default", verification.id, wrong(place.bench.code(verification.id)))
    place.carry()
    return False


def test_guessing_where_the_users_are_is_not_taken_for_pumping(store: Store) -> None:
    """Ninety starts in half an hour, wrong codes and nothing else, in proportion to the users of each place: a limit's
    matter; nobody is blocked."""
    place = field(store)
    settled(place)
    for turn in range(15):
        for home in HOMES:
            assert not guess(place, f"+216{home + 5_000 + turn * 613}")
            place.bench.clock.advance(20)


def test_a_pumper_who_enters_wrong_codes_is_blocked_nonetheless(store: Store) -> None:
    """Where wrong codes are far more frequent than approvals say, they excuse nothing."""
    place = field(store)
    settled(place)
    answers = []
    for number in numbers(60, first=20_700_000, step=137):
        answers.append(guess(place, number))
        place.bench.clock.advance(30)
    assert answers.index(True) <= 25
    assert all(answers[answers.index(True) : 40])


def test_a_start_with_a_usual_slip_is_no_trial(store: Store) -> None:
    """Its message arrived, or somebody guesses: it says nothing about pumping. It happened, all the same."""
    place = field(store)
    settled(place)
    place.start("+21620106666")
    before = place.chart("p216201")
    assert not guess(place, "+21620107777")
    after = place.chart("p216201")
    assert abs(after[SENT] - before[SENT]) < 0.02
    assert after[6] == before[6] + 1  # Starts of this hour.


def test_who_mistypes_and_then_enters_the_right_code_is_one_trial_that_converted(store: Store) -> None:
    """The same charts as without the mistake."""
    place = field(store)
    verification = place.start("+21620107777")
    place.bench.clock.advance(3)
    code = place.bench.code(verification.id)
    place.bench.service.check("default", verification.id, wrong(code))
    place.carry()
    assert place.chart("cTN")[SENT] == 0
    place.approve(verification)
    chart = place.chart("cTN")
    assert (round(chart[SENT], 2), round(chart[WON], 2)) == (1, 1)


@pytest.mark.slow
def test_wrong_codes_count_for_charts_in_other_partitions(spread: Store) -> None:
    """On a cluster, by way of the dispatcher: not counted once, and a trial again once the right code follows."""
    place = field(spread)
    for number in numbers(6, step=137):
        verification = place.start(number)
        place.bench.clock.advance(3)
        code = place.bench.code(verification.id)
        for _ in range(2):
            place.bench.service.check("default", verification.id, wrong(code))
        place.carry()
        assert round(place.chart("cTN")[SENT], 2) == 0
        place.approve(verification)
        chart = place.chart("cTN")
        assert (round(chart[SENT], 2), round(chart[WON], 2)) == (1, 1)
        place.bench.clock.advance(40 * 3600)
