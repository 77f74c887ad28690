"""What looks like an attack and is none: a crowd, an office, a dead route, a launch."""

from collections.abc import Iterator

from verify_service.simulate.addresses import in_block
from verify_service.simulate.clock import DAY, HOUR, activity, arrivals
from verify_service.simulate.journeys import journey
from verify_service.simulate.normal import Outage, Service
from verify_service.simulate.recording import Attempt
from verify_service.simulate.world import COUNTRIES, NEW, OFFERED


def flash_crowd(service: Service) -> Iterator[Attempt]:
    """Forty times the usual traffic of one country for an hour: real people, half of them new."""
    rng = service.rng("flash-crowd")
    country = rng.choice([country for country in OFFERED if 0.02 < country.share < 0.15])
    population = service.populations[country.iso]
    begin = service.last_day + (rng.uniform(10, 21) - country.utc_offset) % 23 * HOUR
    for at in arrivals(
        rng, lambda at: service.per_day * country.share * 39 * activity(at, country.utc_offset), begin, begin + HOUR
    ):
        yield journey(rng, population.somebody(rng, at, 0.5), at, service.delivery, "crowd")


def office_enrolment(service: Service) -> Iterator[Attempt]:
    """Five hundred employees enrol within an hour from one address; their numbers are a block of the company's."""
    rng = service.rng("office-enrolment")
    country = rng.choice([country for country in OFFERED if country.share > 0.03])
    population = service.populations[country.iso]
    network = max(population.networks, key=lambda network: network.conversion)
    prefix, first = network.prefix(rng), rng.randrange(9000) * 1000
    address = in_block(rng, rng.choice(population.blocks))
    places = list(range(500))
    # Desk after desk, but not in step.
    places.sort(key=lambda place: place + rng.uniform(0, 40))
    begin = service.last_day + (rng.uniform(9, 16) - country.utc_offset) % 23 * HOUR
    for place, at in zip(places, sorted(rng.uniform(0, HOUR) for _ in places), strict=True):
        person = population.newcomer(rng)
        person.network = network
        person.number = country.number(prefix, first + place)
        yield journey(rng, person, begin + at, service.delivery, "employee", ip=address, faith=1.08)


def dead_route_country(service: Service) -> Iterator[Attempt]:
    """Ninety minutes in which no text arrives in one country."""
    rng = service.rng("dead-route-country")
    country = rng.choice([country for country in OFFERED if country.share > 0.01])
    begin = service.last_day + (rng.uniform(9, 20) - country.utc_offset) % 22 * HOUR
    service.outages.append(Outage(begin, begin + 1.5 * HOUR, 0.0, country.iso))
    return iter(())


def dead_route_everywhere(service: Service) -> Iterator[Attempt]:
    """Ninety minutes in which no text arrives anywhere."""
    rng = service.rng("dead-route-everywhere")
    begin = service.last_day + rng.uniform(6, 20) * HOUR
    service.outages.append(Outage(begin, begin + 1.5 * HOUR, 0.0))
    return iter(())


def launch(service: Service) -> Iterator[Attempt]:
    """A new country: from nothing to a fifth of all traffic within a day."""
    rng = service.rng("launch")
    country = COUNTRIES[rng.choice([country.iso for country in NEW])]
    population = service.populations[country.iso]
    begin = service.last_day

    def rate(at: float) -> float:
        grown = min(1.0, (at - begin) / (0.5 * DAY))
        return service.per_day / 4 * grown * activity(at, country.utc_offset)

    for at in arrivals(rng, rate, begin, service.end):
        yield journey(rng, population.somebody(rng, at, 0.1), at, service.delivery, "newcomer")
