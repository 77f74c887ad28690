"""Attacks on people rather than on money: flooding them with texts, guessing their codes."""

from collections.abc import Iterator
from random import Random

from verify_service.simulate.addresses import rented
from verify_service.simulate.clock import HOUR, arrivals
from verify_service.simulate.journeys import journey
from verify_service.simulate.normal import Service
from verify_service.simulate.people import Person
from verify_service.simulate.recording import Attempt, Event, new_id, together


def flooding(service: Service) -> Iterator[Attempt]:
    """A few users get texts that they did not ask for, from many addresses, for hours; each logs in himself, too."""
    rng = service.rng("flooding")
    addresses = rented(rng, service.homes(rng), rng.randint(200, 2000))
    begin = service.last_day + rng.uniform(1, 12) * HOUR
    end = begin + rng.uniform(3, 10) * HOUR
    per_hour = rng.uniform(20, 200)

    def flood(victim: Person, rng: Random) -> Iterator[Attempt]:
        for at in arrivals(rng, lambda _: per_hour * 24, begin, end):
            price = victim.country.price
            yield [Event(at, "start", new_id(rng), True, "flooder", victim.number, addresses(), None, price)]

    def live(victim: Person, rng: Random) -> Iterator[Attempt]:
        for at in sorted(rng.uniform(begin - HOUR, end) for _ in range(rng.randint(2, 4))):
            yield journey(rng, victim, at, service.delivery, "victim")

    victims = [service.somebody(rng) for _ in range(rng.randint(1, 5))]
    floods = [flood(victim, service.rng(f"flood {place}")) for place, victim in enumerate(victims)]
    return together([*floods, *(live(victim, service.rng(f"victim {place}")) for place, victim in enumerate(victims))])


def guessing(service: Service) -> Iterator[Attempt]:
    """A few guesses at each of many numbers, users and others: too few at each for a limit on the number alone."""
    rng = service.rng("guessing")
    addresses = rented(rng, service.homes(rng), rng.randint(300, 3000))
    begin = service.last_day + rng.uniform(1, 11) * HOUR
    per_hour = rng.uniform(150, 1200)
    guesses = rng.randint(1, 5)
    users = rng.uniform(0.3, 0.9)
    for at in arrivals(rng, lambda _: per_hour * 24, begin, begin + rng.uniform(4, 12) * HOUR):
        somebody = service.somebody(rng)
        country, network = somebody.country, somebody.network
        number = somebody.number if rng.random() < users else country.some_number(rng, network.prefix(rng))
        start = Event(at, "start", new_id(rng), True, "guesser", number, addresses(), None, country.price)
        attempt = [start]
        for _ in range(guesses):
            at += rng.uniform(1, 6)
            attempt.append(Event(at, "wrong", start.id, True, "guesser"))
        yield attempt
