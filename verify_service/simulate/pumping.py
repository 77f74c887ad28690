"""Pumping: a fraudster has texts sent to numbers of a carrier that pays him for each.

Rate, length, country, prefixes and addresses vary with the seed."""

import math
from collections.abc import Callable, Iterator
from random import Random

from verify_service.simulate.addresses import rented
from verify_service.simulate.clock import HOUR, arrivals
from verify_service.simulate.normal import Service
from verify_service.simulate.recording import Attempt, Event, new_id
from verify_service.simulate.world import EXPENSIVE, Country


def sequential_one_ip(service: Service) -> Iterator[Attempt]:
    """One script on one machine walks through the numbers of one block."""
    rng = service.rng("sequential-one-ip")
    country = rng.choice(EXPENSIVE)
    address = rented(rng, service.homes(rng), 1)
    per_hour, hours = rng.uniform(200, 3000), rng.uniform(1, 4)
    return _pump(rng, service, country, _walk(rng, country, 1), address, per_hour, hours)


def sequential_many_ips(service: Service) -> Iterator[Attempt]:
    """A few walks through blocks of numbers, each start from another home address."""
    rng = service.rng("sequential-many-ips")
    country = rng.choice(EXPENSIVE)
    address = rented(rng, service.homes(rng), 20_000)
    per_hour, hours = math.exp(rng.uniform(math.log(60), math.log(1200))), rng.uniform(2, 10)
    return _pump(rng, service, country, _walk(rng, country, rng.randint(1, 4)), address, per_hour, hours)


def spread(service: Service) -> Iterator[Attempt]:
    """Low and slow: random numbers of many prefixes of one country, thousands of addresses, most of a day."""
    return _spread(service, service.rng("spread"), 0.0)


def spread_completing(service: Service) -> Iterator[Attempt]:
    """The same by one who holds some of the phones: about a quarter of the codes are entered."""
    rng = service.rng("spread-completing")
    return _spread(service, rng, rng.uniform(0.22, 0.28))


def spread_wrong_codes(service: Service) -> Iterator[Attempt]:
    """The same by one who wants to be taken for a guesser: a wrong code or three for every message."""
    rng = service.rng("wrong codes")
    for attempt in _spread(service, service.rng("spread-wrong-codes"), 0.0):
        start = attempt[0]
        at = start.at
        for _ in range(rng.randint(1, 3)):
            at += rng.uniform(2, 20)
            attempt.append(Event(at, "wrong", start.id, True, start.who))
        yield attempt


def _spread(service: Service, rng: Random, completes: float) -> Iterator[Attempt]:
    country = rng.choice(EXPENSIVE)
    every = [prefix for carrier in country.carriers for prefix in carrier.prefixes]
    prefixes = rng.sample(every, min(len(every), rng.randint(6, 24)))
    likes = [rng.uniform(0.5, 1.5) for _ in prefixes]
    hours = rng.uniform(10, 20)
    # Somebody who steals from a small service steals more slowly, but not in proportion.
    per_hour = len(prefixes) * rng.uniform(5, 20) * min(1.0, (service.per_day / 12_000) ** 0.3)
    pool = int(per_hour * hours * rng.uniform(0.6, 2))
    numbers = [country.some_number(rng, rng.choices(prefixes, likes)[0]) for _ in range(pool)]
    address = rented(rng, service.homes(rng), rng.randint(2000, 6000))
    return _pump(rng, service, country, lambda: rng.choice(numbers), address, per_hour, hours, completes)


def _walk(rng: Random, country: Country, walkers: int) -> Callable[[], str]:
    """The next number of one of some walks upwards, each from a place of its own; now and then one is left out."""
    carrier = rng.choice(country.carriers)
    prefixes = [rng.choice(carrier.prefixes) for _ in range(walkers)]
    places = [rng.randrange(10 ** (country.digits - len(prefix))) for prefix in prefixes]
    gaps = rng.uniform(0, 0.15)

    def step() -> str:
        walker = rng.randrange(walkers)
        places[walker] += 2 if rng.random() < gaps else 1
        return country.number(prefixes[walker], places[walker])

    return step


def _pump(
    rng: Random,
    service: Service,
    country: Country,
    number: Callable[[], str],
    address: Callable[[], str],
    per_hour: float,
    hours: float,
    completes: float = 0.0,
) -> Iterator[Attempt]:
    """Starts at a steady rate on the last day, `completes` of them approved in the end."""
    begin = service.last_day + rng.uniform(0.5, 23.5 - hours) * HOUR
    devices = rng.random() < 0.5  # A new one each time, or none.
    for at in arrivals(rng, lambda _: per_hour * 24, begin, begin + hours * HOUR):
        start = Event(
            at,
            "start",
            new_id(rng),
            True,
            "pumper",
            number(),
            address(),
            f"{rng.getrandbits(64):016x}" if devices else None,
            country.price,
        )
        attempt = [start]
        if rng.random() < completes:
            entered = at + rng.lognormvariate(math.log(15), 0.6)
            attempt.append(Event(entered, "approved", start.id, True, "pumper"))
        yield attempt
