"""The paths a message may go, and in what order they are tried."""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

from verify_service.config import Config
from verify_service.dispatch.kinds import kind_of
from verify_service.duration import Duration
from verify_service.store.entries import Entry

_dice = random.SystemRandom()


class DeliveryPath(NamedTuple):
    """One provider with one sender on one channel. A provider is asked in vain after `answer_within`, and a message is
    not delivered after `receipt_within`; then the next path is tried."""

    provider: str
    sender: str | None
    channel: str
    weight: int = 100
    answer_within: Duration = Duration("1 second")
    receipt_within: Duration | None = None

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.sender or ''}/{self.channel}"

    @property
    def room(self) -> str:
        """What shares the room for messages on their way."""
        return f"{self.provider}/{self.sender or ''}"

    @property
    def health(self) -> str:
        """What its health is kept under: it is the same for all senders."""
        return f"{self.provider}/{self.channel}"


class Planner:
    """The paths of all routes, looked up once for each country and channel."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known: dict[tuple[str, str], list[list[DeliveryPath]]] = {}

    def of(self, entry: Entry) -> list[list[DeliveryPath]]:
        """The paths that are open to an entry: those of its channel first, then, of a code, those of each channel that
        its route falls back on. Those that it has gone before are closed. An answer goes the way that its text came."""
        if entry.via:
            provider, _, sender = entry.via.partition("/")
            known = provider in self._config.providers and (not sender or sender in self._config.senders)
            return [[DeliveryPath(provider, sender or None, entry.channel)]] if known else []
        place = (entry.content.country, entry.channel)
        if place not in self._known:
            self._known[place] = self._look_up(*place)
        groups = self._known[place] if kind_of(entry).falls_back else self._known[place][:1]
        if not entry.tried:
            return groups
        left = [
            [path for path in group if path.name not in entry.tried and f"*/*/{path.channel}" not in entry.tried]
            for group in groups
        ]
        return [group for group in left if group]

    def _look_up(self, country: str, channel: str) -> list[list[DeliveryPath]]:
        first = self._config.route(country, channel)
        groups = []
        for each in dict.fromkeys((channel, *(first.fallback if first else ()))):
            if route := self._config.route(country, each):
                within = (route.answer_within, route.receipt_within)
                carriers = self._config.carriers(route, country)
                groups.append([DeliveryPath(via.provider, via.sender, each, via.weight, *within) for via in carriers])
        return groups


def order(paths: Sequence[DeliveryPath], factor: Callable[[DeliveryPath], int] = lambda _: 100) -> list[DeliveryPath]:
    """The order to try them in: drawn by weight, one after the other, where `factor` (0 to 100) says how much of its
    weight a path deserves now; then those of weight 0 as written; last, those that deserve nothing."""
    if len(paths) < 2:
        return list(paths)
    # Each is asked for once: what a path deserves may change meanwhile, and nothing can be drawn from weights of 0.
    deserved = [(path, factor(path)) for path in paths]
    up = [(path, path.weight * percent) for path, percent in deserved if percent]
    down = [(path, path.weight) for path, percent in deserved if not percent]
    return [*_drawn(up), *_drawn(down)]


def ordered(
    plan: Sequence[Sequence[DeliveryPath]], paths: Sequence[DeliveryPath], factor: Callable[[DeliveryPath], int]
) -> list[DeliveryPath]:
    """Some paths of a plan in the order to try them in: channel after channel."""
    return [path for group in plan for path in order([path for path in group if path in paths], factor)]


def _drawn(weighted: Sequence[tuple[DeliveryPath, int]]) -> list[DeliveryPath]:
    left = [(path, weight) for path, weight in weighted if weight]
    drawn = []
    while left:
        chosen = _dice.choices(left, [weight for _, weight in left])[0]
        left.remove(chosen)
        drawn.append(chosen[0])
    return [*drawn, *(path for path, weight in weighted if not weight)]
