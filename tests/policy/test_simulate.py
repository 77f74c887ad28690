"""The simulator: recorded traffic in the right form, the same each time, of a service as it is in normal use."""

import itertools
import json
import re
import statistics
import subprocess
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest

from tests.support.commands import run
from tests.support.simulated import SEEDS, conversion, simulated, starts
from verify_service.phone import parse
from verify_service.simulate import SCENARIOS, Event, scenario
from verify_service.simulate.clock import DAY, HOUR, MONDAY
from verify_service.simulate.world import COUNTRIES, Country

pytestmark = pytest.mark.slow

PUMPING = {"sequential-one-ip", "sequential-many-ips", "spread", "spread-completing", "spread-wrong-codes"}
ATTACKS = PUMPING | {"flooding", "guessing"}


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    """`verify-service simulate` as a user runs it."""
    return run("simulate", *words)


@pytest.mark.parametrize("country", COUNTRIES.values(), ids=COUNTRIES)
def test_every_prefix_has_only_mobile_numbers_of_its_country(country: Country) -> None:
    """Any number that the simulator can make is valid, and of the country that it was made for."""
    rng = Random(5)
    assert sum(carrier.share for carrier in country.carriers) == pytest.approx(1)
    prefixes = [prefix for carrier in country.carriers for prefix in carrier.prefixes]
    assert len(prefixes) == len(set(prefixes))
    for prefix in prefixes:
        for number in [country.number(prefix, 0), *(country.some_number(rng, prefix) for _ in range(10))]:
            parsed = parse(number, None)
            assert (parsed.e164, parsed.country) == (number, country.iso)
            assert parsed.line_type in {"mobile", "fixed-line-or-mobile"}
            assert parsed.prefix == f"+{country.calling_code}{prefix}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_is_the_same_traffic_and_another_is_not(name: str) -> None:
    """A scenario is a function of its arguments; attackers of another seed behave otherwise."""
    first, again, other = (list(scenario(name, seed, 2, 300)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", SCENARIOS)
def test_events_are_ordered_and_tell_whole_stories(name: str) -> None:
    """By time; nothing happens to a verification before its start; numbers, addresses and prices stand on starts only;
    nobody resends before the button allows it."""
    seen: dict[str, Event] = {}
    last = 0.0
    for event in simulated(name):
        assert last <= event.at == round(event.at, 3)
        last = event.at
        if event.event == "start":
            assert event.to
            assert event.ip
            assert event.price == COUNTRIES[parse(event.to, None).country].price
            if event.id in seen:
                assert (event.to, event.fraud) == (seen[event.id].to, False)
                assert event.at - seen[event.id].at > 32
            seen[event.id] = event
        else:
            assert event.event in {"approved", "wrong"}
            assert (event.to, event.ip, event.device, event.price) == (None, None, None, None)
            assert event.fraud == seen[event.id].fraud


@pytest.mark.parametrize("name", SCENARIOS)
def test_only_attacks_are_fraud_and_they_come_on_the_last_day(name: str) -> None:
    """The days before are a warm-up; the day of the attack is the last."""
    events = simulated(name)
    fraud = [event for event in starts(events) if event.fraud]
    assert bool(fraud) is (name in ATTACKS)
    if fraud:
        midnight = MONDAY + DAY + DAY  # The second day of seed 1, which begins on a Tuesday.
        assert midnight <= fraud[0].at <= fraud[-1].at < midnight + DAY


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_a_scenario_adds_is_all_that_differs(name: str) -> None:
    """Up to the last day all scenarios of a seed are the same normal traffic."""
    midnight = MONDAY + DAY + DAY
    before = [event for event in simulated(name) if event.at < midnight]
    assert before == [event for event in simulated("normal") if event.at < midnight]
    assert len(before) > 3000


def test_people_use_the_service_by_their_own_clocks() -> None:
    """About as many verifications a day as asked for; in each large country the evening is several times as busy as the
    small hours, and by the clock of that country."""
    events = simulated("normal", days=4, per_day=6000)
    verifications = {event.id: event for event in reversed(starts(events))}
    assert len(verifications) / 4 == pytest.approx(6000, rel=0.1)
    for iso in ("US", "GB", "IN", "BR"):
        country = COUNTRIES[iso]
        of_country = [event for event in verifications.values() if parse(event.to or "", None).country == iso]
        assert len(of_country) / len(verifications) == pytest.approx(country.share, rel=0.35)
        by_hour = Counter(int((event.at + country.utc_offset * HOUR) % DAY // HOUR) for event in of_country)
        evening = sum(by_hour[hour] for hour in (18, 19, 20, 21))
        night = sum(by_hour[hour] for hour in (2, 3, 4, 5))
        assert evening > 4 * night


@pytest.mark.parametrize("seed", SEEDS)
def test_four_in_five_enter_the_code_most_of_them_at_once(seed: int) -> None:
    """Conversion is about 0.8, half of the codes are entered about 15 seconds after the last text, and some are
    mistyped first."""
    events = simulated("normal", seed, days=4, per_day=3000)
    assert 0.74 < conversion(events) < 0.86
    sent: dict[str, float] = {}
    took = []
    for event in events:
        if event.event == "start":
            sent[event.id] = event.at
        elif event.event == "approved":
            took.append(event.at - sent[event.id])
    assert 13 < statistics.median(took) < 18
    wrong = sum(event.event == "wrong" for event in events)
    assert 0.04 < wrong / len(sent) < 0.12
    assert 0.05 < len(starts(events)) / len(sent) - 1 < 0.2  # Resends.


@pytest.mark.parametrize("seed", SEEDS)
def test_a_larger_country_has_one_bad_carrier(seed: int) -> None:
    """In Britain, as in every larger country, the numbers of one carrier end approved about 45 times in 100."""
    events = simulated("normal", seed, days=4, per_day=6000)
    approved = {event.id for event in events if event.event == "approved"}
    ids: dict[tuple[str, ...], dict[str, bool]] = defaultdict(dict)
    carriers = COUNTRIES["GB"].carriers
    for event in starts(events):
        if event.to and event.to.startswith("+44"):
            (carrier,) = (carrier for carrier in carriers if event.to[3:6] in carrier.prefixes)
            ids[carrier.prefixes][event.id] = event.id in approved
    rates = sorted(sum(found.values()) / len(found) for found in ids.values())
    assert 0.35 < rates[0] < 0.56
    assert all(0.72 < rate < 0.92 for rate in rates[1:])


def test_people_return_and_share_addresses() -> None:
    """Many numbers verify again on a later day; phones share a few addresses of their carrier, homes have one
    each; IPv4 and IPv6 are in use."""
    events = [event for event in starts(simulated("normal", days=4, per_day=6000)) if event.to and event.ip]
    days: dict[str, set[int]] = defaultdict(set)
    behind: dict[str, set[str]] = defaultdict(set)
    for event in events:
        days[event.to or ""].add(int(event.at // DAY))
        behind[event.ip or ""].add(event.to or "")
    assert sum(len(on) > 1 for on in days.values()) > 0.15 * len(days)
    assert sum(len(numbers) > 30 for numbers in behind.values()) > 20
    assert sum(len(numbers) == 1 for numbers in behind.values()) > 0.8 * len(behind)
    assert 0.1 < sum(":" in ip for ip in behind) / len(behind) < 0.7


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_tiny_service_can_be_simulated(name: str) -> None:
    """Ten verifications a day and a single day are enough for every scenario."""
    assert list(scenario(name, 1, 1, 10))


def test_traffic_is_made_as_it_is_read() -> None:
    """A year of a large service begins at once: what is not read is not made."""
    first = list(itertools.islice(scenario("normal", 1, 366, 12_000), 100))
    assert first[-1].at < first[0].at + HOUR


def test_the_command_writes_recorded_traffic_and_a_label_per_start(tmp_path: Path) -> None:
    """Events in the first form of recorded traffic on standard output, the truth in a file, one line per start, in the
    same order; the command and the function agree."""
    labels = tmp_path / "labels.jsonl"
    words = ["spread-completing", "--seed", "7", "--days", "1", "--per-day", "500", "--labels", str(labels)]
    done = command(*words)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    expected = list(scenario("spread-completing", 7, 1, 500))
    assert lines == [event.recorded() for event in expected]
    begun = [line for line in lines if line["event"] == "start"]
    assert all(list(line) == ["at", "event", "id", "to", "ip", "device", "price"] for line in begun)
    assert all(list(line) == ["at", "event", "id"] for line in lines if line["event"] != "start")
    truth = [json.loads(line) for line in labels.read_text().splitlines()]
    assert [(line["id"], line["at"]) for line in truth] == [(line["id"], line["at"]) for line in begun]
    assert all(list(line) == ["id", "at", "label", "scenario", "who"] for line in truth)
    assert {line["label"] for line in truth} == {"legitimate", "fraud"}
    assert {line["scenario"] for line in truth} == {"spread-completing"}
    assert all((line["who"] == "pumper") == (line["label"] == "fraud") for line in truth)
    assert command(*words).stdout == done.stdout


def test_the_command_names_its_scenarios_and_knows_no_others() -> None:
    """--list has a line for each; a wrong name is wrong usage, with the nearest right one; so is a day that is none."""
    listed = command("--list")
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == list(SCENARIOS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in SCENARIOS)
    wrong = command("spred")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "did you mean spread?" in wrong.stderr
    assert command("normal", "--days", "0").returncode == 2
    assert command("normal", "--labels", "/no/such/folder/labels").returncode == 2
