"""A service in normal use: its users in all countries, by their clocks, with the small troubles of every week."""

from collections.abc import Iterator
from math import ceil
from random import Random
from typing import NamedTuple

from verify_service.simulate.addresses import Registry
from verify_service.simulate.clock import DAY, HOUR, MONDAY, activity, arrivals
from verify_service.simulate.journeys import journey
from verify_service.simulate.people import Network, Person, Population
from verify_service.simulate.recording import Attempt, together
from verify_service.simulate.world import NEW, OFFERED, Country

_EACH = 1.06  # Verifications that one attempt to get in takes: some try again.


class Outage(NamedTuple):
    """Texts arrive worse for a while: everywhere, in one country, or on one network of it."""

    begin: float
    end: float
    left: float  # What part of the texts still arrives.
    iso: str | None = None
    network: Network | None = None

    def covers(self, person: Person, at: float) -> bool:
        """Whether it is felt by that person at that time."""
        return (
            self.begin <= at < self.end
            and self.iso in (None, person.country.iso)
            and self.network in (None, person.network)
        )


class Surge(NamedTuple):
    """More people than usual in one country for a while, after a campaign for example."""

    begin: float
    end: float
    times: float
    iso: str


class Service:
    """The simulated service from `begin` on, for `days`: `per_day` verifications on an average day."""

    def __init__(self, seed: int, days: int, per_day: float) -> None:
        self.seed = seed
        self.begin = float(MONDAY + seed % 7 * int(DAY))
        self.days = days
        self.end = self.begin + days * DAY
        self.last_day = self.end - DAY
        self.per_day = per_day
        rng = self.rng("world")
        registry = Registry(rng)
        self.populations = {
            country.iso: Population(rng, country, registry, ceil(per_day * country.share * 1.5))
            for country in [*OFFERED, *NEW]
        }
        self.outages: list[Outage] = []
        self.surges: list[Surge] = []
        self._trouble(self.rng("trouble"))

    def rng(self, name: str) -> Random:
        """Randomness of its own for each part, so that one part does not change another."""
        return Random(f"{name} {self.seed}")  # noqa: S311  a simulation, not a secret

    def delivery(self, person: Person, at: float) -> float:
        """What part of the texts to that person arrives at that time."""
        left = 1.0
        for outage in self.outages:
            if outage.covers(person, at):
                left *= outage.left
        return left

    def somebody(self, rng: Random) -> Person:
        """Any user of any country, those of a large one more likely."""
        country = rng.choices(OFFERED, [country.share for country in OFFERED])[0]
        return rng.choice(self.populations[country.iso].users)

    def homes(self, rng: Random) -> list[str]:
        """Networks of homes in a few countries: what is offered to attackers as proxies."""
        populations = rng.sample(list(self.populations.values()), 8)
        return [block for population in populations for block in population.blocks]

    def traffic(self) -> Iterator[Attempt]:
        """Everything that real users do."""
        return together(map(self._country, OFFERED))

    def _country(self, country: Country) -> Iterator[Attempt]:
        rng = self.rng(f"normal {country.iso}")
        population = self.populations[country.iso]
        usual = self.per_day * country.share / _EACH
        unsteady: dict[int, float] = {}  # No two hours are alike.

        def rate(at: float) -> float:
            hour = int(at // HOUR)
            if hour not in unsteady:
                unsteady[hour] = rng.lognormvariate(0, 0.15)
            times = 1.0
            for surge in self.surges:
                if surge.iso == country.iso and surge.begin <= at < surge.end:
                    times *= surge.times
            return usual * activity(at, country.utc_offset) * unsteady[hour] * times

        for at in arrivals(rng, rate, self.begin, self.end):
            yield journey(rng, population.somebody(rng, at), at, self.delivery, "user")

    def _trouble(self, rng: Random) -> None:
        """A campaign now and then, and a network that is slow for half an hour."""
        for day in range(self.days):
            for country in OFFERED:
                population = self.populations[country.iso]
                if rng.random() < 0.03:
                    begin = self.begin + day * DAY + rng.uniform(0, DAY)
                    self.surges.append(Surge(begin, begin + rng.uniform(0.5, 2) * HOUR, rng.uniform(2, 6), country.iso))
                for network in population.networks:
                    if rng.random() < 0.008:
                        begin = self.begin + day * DAY + rng.uniform(0, DAY)
                        end = begin + rng.uniform(0.3, 1) * HOUR
                        self.outages.append(Outage(begin, end, rng.uniform(0, 0.4), country.iso, network))
