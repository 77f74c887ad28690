"""The people of one country: their carriers, numbers, devices and the addresses that they come from."""

from itertools import accumulate
from random import Random

from verify_service.simulate.addresses import Registry, in_block, in_wide, same_64
from verify_service.simulate.world import Carrier, Country

_LARGER = 0.04  # Countries with at least this share of the traffic have one chronically bad carrier.
_RESTS = 5 * 3600.0  # Seconds in which nobody logs in twice.


class Network:
    """A carrier at work: how likely its users end up approved, how soon, and the addresses its phones share."""

    def __init__(self, rng: Random, carrier: Carrier, registry: Registry) -> None:
        self.share = carrier.share
        self.conversion = rng.uniform(0.80, 0.88)
        self.wait = rng.uniform(11, 20)  # Seconds within which half of those who enter their code have done so.
        self.prefixes = list(carrier.prefixes)
        rng.shuffle(self.prefixes)
        self.weights = list(accumulate((place + 1) ** -0.6 for place in range(len(self.prefixes))))
        block = registry.block()
        self.shared = [in_block(rng, block) for _ in range(rng.randint(2, 12))]
        self.wide = registry.wide() if rng.random() < 0.6 else None

    def prefix(self, rng: Random) -> str:
        """The prefix of one of its numbers; some are much more common than others."""
        return rng.choices(self.prefixes, cum_weights=self.weights)[0]


class Person:
    """Somebody with a phone."""

    __slots__ = ("country", "device", "home", "network", "number", "office", "rested", "shared")

    def __init__(self, rng: Random, country: Country, network: Network, home: str, office: str | None) -> None:
        self.country = country
        self.network = network
        self.number = country.some_number(rng, network.prefix(rng))
        self.device = f"{rng.getrandbits(64):016x}" if rng.random() < 0.6 else None
        self.home = home
        self.office = office
        self.shared = rng.choice(network.shared)
        self.rested = 0.0  # Not before this time again.

    def address(self, rng: Random) -> str:
        """Where the person is just now: at home, on the phone's network, or in the office."""
        place = rng.random()
        if self.office and place < 0.4:
            return self.office
        if place < 0.6:
            return same_64(rng, self.home) if ":" in self.home else self.home
        if self.network.wide and place < 0.7:
            return in_wide(rng, self.network.wide)
        return self.shared if place < 0.95 else rng.choice(self.network.shared)


class Population:
    """The users of the service in one country. Some come again on later days, some are new."""

    def __init__(self, rng: Random, country: Country, registry: Registry, users: int) -> None:
        self.country = country
        self.networks = [Network(rng, carrier, registry) for carrier in country.carriers]
        self._shares = list(accumulate(network.share for network in self.networks))
        if country.share >= _LARGER:
            bad = rng.choice([network for network in self.networks if network.share <= 0.2])
            bad.conversion = rng.uniform(0.40, 0.50)
        self.blocks = [registry.block() for _ in range(6)]
        self.wides = [registry.wide() for _ in range(2)]
        self._offices = [in_block(rng, rng.choice(self.blocks)) for _ in range(max(1, users // 150))]
        self._most = 3 * users + 5000
        self.users: list[Person] = []
        for _ in range(users):
            self.newcomer(rng)

    def newcomer(self, rng: Random) -> Person:
        """Somebody who has not used the service before; from now on a user."""
        network = rng.choices(self.networks, cum_weights=self._shares)[0]
        home = in_wide(rng, rng.choice(self.wides)) if rng.random() < 0.35 else in_block(rng, rng.choice(self.blocks))
        office = rng.choice(self._offices) if rng.random() < 0.2 else None
        person = Person(rng, self.country, network, home, office)
        if len(self.users) < self._most:
            self.users.append(person)
        else:  # Somebody else has left.
            self.users[rng.randrange(self._most)] = person
        return person

    def user(self, rng: Random, at: float) -> Person:
        """Somebody who has used the service before, if there is anybody who was not there just now."""
        for _ in range(3):
            if self.users:
                person = rng.choice(self.users)
                if at >= person.rested:
                    break
        else:
            person = self.newcomer(rng)
        person.rested = at + _RESTS
        return person

    def somebody(self, rng: Random, at: float, returning: float = 0.55) -> Person:
        """A user with the chance `returning`, else a newcomer."""
        if rng.random() < returning:
            return self.user(rng, at)
        person = self.newcomer(rng)
        person.rested = at + _RESTS
        return person
