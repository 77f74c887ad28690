"""Each scenario of the simulator is what its name says, whatever the seed."""

import itertools
from collections import Counter, defaultdict

import pytest

from tests.support.simulated import SEEDS, conversion, simulated, starts
from verify_service.phone import parse
from verify_service.simulate import Event
from verify_service.simulate.clock import HOUR
from verify_service.simulate.world import COUNTRIES, EXPENSIVE

pytestmark = pytest.mark.slow


def hours(events: list[Event]) -> float:
    """From the first to the last."""
    return (events[-1].at - events[0].at) / HOUR


def steps(numbers: list[int]) -> list[int]:
    """The distances between neighbours, once sorted."""
    ranked = sorted(set(numbers))
    return [after - before for before, after in itertools.pairwise(ranked)]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["sequential-one-ip", "sequential-many-ips"])
def test_sequential_pumping_walks_through_blocks(name: str, seed: int) -> None:
    """Nearly all numbers are neighbours of one another, in one expensive country; addresses are one or as good as new
    each time; nothing is approved."""
    fraud = starts(simulated(name, seed), "pumper")
    numbers = [int(event.to or "") for event in fraud]
    apart = steps(numbers)
    assert len(fraud) > 100
    assert sum(step <= 2 for step in apart) >= len(apart) - 8
    assert {parse(event.to or "", None).country for event in fraud} <= {country.iso for country in EXPENSIVE}
    addresses = Counter(event.ip for event in fraud)
    assert len(addresses) == 1 if name == "sequential-one-ip" else len(addresses) > 0.7 * len(fraud)
    assert conversion(simulated(name, seed), "pumper") == 0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["spread", "spread-completing", "spread-wrong-codes"])
def test_spread_pumping_is_low_and_slow(name: str, seed: int) -> None:
    """One country, many prefixes, hundreds of addresses, most of a day, few in an hour on any prefix, numbers that are
    no neighbours; a quarter approved where the attacker completes; a wrong code for each where he enters such."""
    events = simulated(name, seed, days=1, per_day=12_000)
    fraud = starts(events, "pumper")
    prefixes = {parse(event.to or "", None).prefix for event in fraud}
    assert len({parse(event.to or "", None).country for event in fraud}) == 1
    assert 6 <= len(prefixes) <= 24
    assert hours(fraud) > 9
    assert len(fraud) / len(prefixes) / hours(fraud) < 25
    assert len({event.ip for event in fraud}) > 0.5 * min(len(fraud), 1000)
    apart = steps([int(event.to or "") for event in fraud])
    assert sum(step <= 2 for step in apart) < 0.1 * len(apart)
    share = conversion(events, "pumper")
    assert 0.18 < share < 0.32 if name == "spread-completing" else share == 0
    mistyped = {event.id for event in events if event.who == "pumper" and event.event == "wrong"}
    assert len(mistyped) == (len(fraud) if name == "spread-wrong-codes" else 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_flooding_is_many_texts_to_few_people(seed: int) -> None:
    """At most five victims, each texted far beyond ten times from many addresses; they use the service themselves."""
    events = simulated("flooding", seed)
    texts = Counter(event.to for event in starts(events, "flooder"))
    assert 1 <= len(texts) <= 5
    assert min(texts.values()) > 30
    assert len({event.ip for event in starts(events, "flooder")}) > 30
    own = starts(events, "victim")
    assert {event.to for event in own} == set(texts)
    assert not any(event.fraud for event in own)


@pytest.mark.parametrize("seed", SEEDS)
def test_guessing_is_few_wrong_codes_at_many_numbers(seed: int) -> None:
    """Hundreds of numbers, from one to five wrong codes at each verification, none of them right."""
    events = simulated("guessing", seed)
    guesses = Counter(event.id for event in events if event.who == "guesser" and event.event == "wrong")
    assert len({event.to for event in starts(events, "guesser")}) > 300
    assert len(guesses) == len(starts(events, "guesser"))
    assert set(guesses.values()) <= {1, 2, 3, 4, 5}
    assert conversion(events, "guesser") == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_flash_crowd_is_real(seed: int) -> None:
    """Within an hour, in one country, many times what it sees otherwise; four in five are approved."""
    events = simulated("flash-crowd", seed, days=1, per_day=12_000)
    crowd = starts(events, "crowd")
    (iso,) = {parse(event.to or "", None).country for event in crowd}
    first = {event.id: event for event in reversed(crowd)}
    usual = 12_000 * COUNTRIES[iso].share / 24
    assert 15 * usual < len(first) < 70 * usual
    assert sum(event.at < crowd[0].at + HOUR for event in crowd) > 0.95 * len(crowd)
    assert 0.65 < conversion(events, "crowd") < 0.9
    assert not any(event.fraud for event in crowd)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_office_enrols(seed: int) -> None:
    """Five hundred numbers in a row behind one address within an hour, nearly all approved."""
    events = simulated("office-enrolment", seed)
    staff = starts(events, "employee")
    assert len({event.ip for event in staff}) == 1
    numbers = [int(event.to or "") for event in staff]
    assert len(set(numbers)) == 500
    assert set(steps(numbers)) == {1}
    assert sum(event.at <= staff[0].at + HOUR for event in staff) > 490
    assert conversion(events, "employee") > 0.8


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["dead-route-country", "dead-route-everywhere"])
def test_no_text_arrives_on_a_dead_route(name: str, seed: int) -> None:
    """For ninety minutes of the last day nobody is approved, in one country or in any; before and after people are."""
    events = simulated(name, seed, days=1, per_day=12_000)
    approved = {event.id for event in events if event.event == "approved"}
    places: dict[str, list[Event]] = defaultdict(list)
    for event in sorted({event.id: event for event in reversed(starts(events))}.values()):
        places["*" if name == "dead-route-everywhere" else parse(event.to or "", None).country].append(event)
    silences = []  # How many failed in a row, and for how long.
    for asked in places.values():
        for failed, run in itertools.groupby(asked, lambda event: event.id not in approved):
            if failed:
                moments = [event.at for event in run]
                silences.append((len(moments), moments[-1] - moments[0]))
    (longest, lasted), (second, _) = sorted(silences, reverse=True)[:2]
    assert longest > 1.4 * second
    assert 1.2 * HOUR < lasted < 1.8 * HOUR


@pytest.mark.parametrize("seed", SEEDS)
def test_a_launch_brings_a_new_country(seed: int) -> None:
    """A country without any traffic before has about a fifth of all in the end, and converts."""
    events = simulated("launch", seed, days=1, per_day=12_000)
    (iso,) = {parse(event.to or "", None).country for event in starts(events, "newcomer")}
    assert COUNTRIES[iso].share == 0
    evening = [event for event in starts(events) if event.at > events[-1].at - 10 * HOUR]
    assert 0.08 < sum(event.who == "newcomer" for event in evening) / len(evening) < 0.4
    assert 0.7 < conversion(events, "newcomer") < 0.92


def test_attackers_differ_from_seed_to_seed() -> None:
    """Nothing can be tuned to one attacker: country, number of prefixes and pace vary."""
    seen = []
    for seed in range(1, 9):
        fraud = starts(simulated("spread", seed, days=1, per_day=300), "pumper")
        prefixes = {parse(event.to or "", None).prefix for event in fraud}
        country = parse(fraud[0].to or "", None).country
        seen.append((country, len(prefixes), round(len(fraud) / hours(fraud), 1)))
    assert len({country for country, _, _ in seen}) >= 3
    assert len({prefixes for _, prefixes, _ in seen}) >= 4
    assert len({pace for _, _, pace in seen}) == 8
