"""The scenarios by name: some days of normal traffic, and on the last of them what the scenario is about."""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import NamedTuple

from verify_service.simulate import crowds, harassment, pumping
from verify_service.simulate.normal import Service
from verify_service.simulate.recording import Attempt, Event, ordered, together


class Scenario(NamedTuple):
    """`add` gives what comes on top of the normal traffic, or changes the service before it runs."""

    summary: str
    days: int
    add: Callable[[Service], Iterator[Attempt]]


def _nothing(service: Service) -> Iterator[Attempt]:
    return iter(())


SCENARIOS = {
    "normal": Scenario("nothing but real users, with a campaign or a slow carrier now and then", 10, _nothing),
    "sequential-one-ip": Scenario("pumping: numbers in a row, from one address", 4, pumping.sequential_one_ip),
    "sequential-many-ips": Scenario(
        "pumping: numbers in a row, each from another address", 4, pumping.sequential_many_ips
    ),
    "spread": Scenario("pumping: low and slow over many prefixes, from thousands of addresses", 4, pumping.spread),
    "spread-completing": Scenario("the same, and a quarter of the codes is entered", 4, pumping.spread_completing),
    "spread-wrong-codes": Scenario("the same, and wrong codes are entered for all", 4, pumping.spread_wrong_codes),
    "flooding": Scenario("a few users flooded with texts from many addresses", 4, harassment.flooding),
    "guessing": Scenario("a few wrong codes for each of many numbers", 4, harassment.guessing),
    "flash-crowd": Scenario("40 times the traffic of one country for an hour; real users", 4, crowds.flash_crowd),
    "office-enrolment": Scenario(
        "500 employees with numbers in a row, one address, one hour", 4, crowds.office_enrolment
    ),
    "dead-route-country": Scenario("90 minutes without texts in one country", 4, crowds.dead_route_country),
    "dead-route-everywhere": Scenario("90 minutes without texts anywhere", 4, crowds.dead_route_everywhere),
    "launch": Scenario("a new country, from nothing to a fifth of all traffic in a day", 4, crowds.launch),
}


def scenario(name: str, seed: int = 1, days: int | None = None, per_day: float = 12_000) -> Iterator[Event]:
    """The events of a scenario, by time; the same for the same arguments.

    `days` in all, the last one with what names the scenario (default: three days of normal traffic and that one; ten
    for `normal`); `per_day`: verifications of real users on an average day. Raises KeyError for an unknown name.
    """
    chosen = SCENARIOS[name]
    service = Service(seed, days or chosen.days, per_day)
    added = chosen.add(service)
    return ordered(_play(service, added))


def _play(service: Service, added: Iterator[Attempt]) -> Iterator[Attempt]:
    """The normal traffic; from the last day on with what is added, which is not looked at before, so that the days
    before do not depend on it."""
    usual = service.traffic()
    for attempt in usual:
        if attempt[0].at >= service.last_day:
            yield from together([chain([attempt], usual), added])
            return
        yield attempt
    yield from added
