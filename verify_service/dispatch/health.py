"""What this dispatcher sees of the providers, told once a second; and what all of them together make of it."""

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from verify_service.config import Config
from verify_service.dispatch.planner import DeliveryPath
from verify_service.errors import StoreUnavailable
from verify_service.model import Receipt
from verify_service.store.entries import Came, Overdue
from verify_service.store.health import HIST_MS, Health, Report
from verify_service.telemetry import SHIFTS, WEIGHTS, log

_log = log("health")


@dataclass
class _Seen:
    """Of one provider on one channel, since the last report."""

    tries: int = 0
    errors: int = 0
    failing: int = 0
    came: int = 0
    missing: int = 0
    silent: int = 0
    hist: list[int] = field(default_factory=lambda: [0] * (len(HIST_MS) + 1))


class HealthReporter:
    """The providers' health as one dispatcher knows it. Thread-safe; only `beat` asks the store."""

    def __init__(self, health: Health, config: Config) -> None:
        self._health = health
        self._groups = _groups(config)
        self._lock = threading.Lock()
        self._seen: defaultdict[str, _Seen] = defaultdict(_Seen)
        self._costs: Counter[str] = Counter()
        self._factors: dict[str, int] = {}
        self._up: dict[str, int] = {}
        self._probes: set[str] = set()

    @property
    def is_calm(self) -> bool:
        """Whether nothing was seen since the last beat, and each provider deserved its whole weight then."""
        return not self._seen and not self._costs and set(self._factors.values()) == {100}

    def factor(self, path: DeliveryPath) -> int:
        """How much of its weight a path deserves, in percent."""
        return self._factors.get(path.health, 100)

    def take_probe(self, paths: Sequence[DeliveryPath]) -> DeliveryPath | None:
        """Of paths that are down, one that this message is to try first, to see whether it is up again."""
        if not self._probes or len(paths) < 2:
            return None
        with self._lock:
            for path in paths:
                if path.health in self._probes:
                    self._probes.remove(path.health)
                    return path
        return None

    def answered(self, path: DeliveryPath, seconds: float) -> None:
        """A provider said yes or no to a message, in time."""
        with self._lock:
            seen = self._seen[path.health]
            seen.tries += 1
            seen.failing = 0
            seen.hist[bisect_left(HIST_MS, seconds * 1000)] += 1

    def failed(self, path: DeliveryPath) -> None:
        """A provider could not send, or did not answer in time."""
        with self._lock:
            seen = self._seen[path.health]
            seen.tries += 1
            seen.errors += 1
            seen.failing += 1

    def late(self, path: DeliveryPath, seconds: float) -> None:
        """The answer of one that had failed to answer in time."""
        with self._lock:
            self._seen[path.health].hist[bisect_left(HIST_MS, seconds * 1000)] += 1

    def sent(self, path: DeliveryPath, segments: int, receipt: Receipt) -> None:
        """A provider took a message; its receipt may be final already."""
        with self._lock:
            self._costs[f"{path.name}:messages"] += 1
            self._costs[f"{path.name}:segments"] += receipt.segments or segments
            if receipt.price:
                self._costs[f"{path.name}:price"] += round(receipt.price * 1_000_000)
        if receipt.status != "accepted":
            self._receipt_state(path.name, path.health, receipt.status == "delivered", receipt.permanent)

    def came(self, came: Came) -> None:
        """A receipt that came later."""
        provider, _, channel = came.way.split("/")
        self._receipt_state(came.way, f"{provider}/{channel}", came.delivered, came.permanent)
        with self._lock:
            if came.price:
                self._costs[f"{came.way}:price"] += came.price
            if came.corrects:
                self._costs[f"{came.way}:failed"] -= 1

    def overdue(self, message: Overdue) -> None:
        """No receipt came within its time. A message whose code was entered has arrived; one that had gone before its
        provider was up again says nothing of how that does now."""
        provider, _, channel = message.way.split("/")
        name = f"{provider}/{channel}"
        if message.at >= self._up.get(name, 0):
            self._arrived(name, message.entered)

    def beat(self, now: int) -> None:
        """Tells and learns. Raises StoreUnavailable: then what was seen is lost, of no use later; costs are not."""
        with self._lock:
            seen, self._seen = self._seen, defaultdict(_Seen)
            costs, self._costs = self._costs, Counter()
        reports = [Report(name, *vars(each).values()) for name, each in seen.items()]
        try:
            standings, shifts = self._health.pulse(now, reports, self._groups, costs)
        except StoreUnavailable:
            with self._lock:
                self._costs.update(costs)
            raise
        with self._lock:
            self._factors = {each.name: each.factor for each in standings}
            self._up = {each.name: each.up for each in standings}
            self._probes = {each.name for each in standings if not each.factor and each.name in self._probes}
            self._probes |= {each.name for each in standings if each.probe}
        for each in standings:
            WEIGHTS.labels(*each.name.split("/")).set(each.factor)
        for shift in shifts:
            provider, channel = shift.name.split("/")
            down = shift.after < shift.before
            SHIFTS.labels(provider, channel, "down" if down else "up").inc()
            (_log.warning if down else _log.info)(
                "weight shifted",
                provider=provider,
                channel=channel,
                before=shift.before,
                after=shift.after,
                reason=shift.reason,
            )

    def _receipt_state(self, path: str, name: str, delivered: bool, permanent: bool) -> None:
        """A number that cannot be reached is not the provider's fault."""
        with self._lock:
            self._costs[f"{path}:{'delivered' if delivered else 'failed'}"] += 1
        self._arrived(name, delivered or permanent)

    def _arrived(self, name: str, arrived: bool) -> None:
        with self._lock:
            seen = self._seen[name]
            if arrived:
                seen.came += 1
                seen.silent = 0
            else:
                seen.missing += 1
                seen.silent += 1


def _groups(config: Config) -> list[list[str]]:
    """The names that may stand in for each other: those of each route."""
    return [list(dict.fromkeys(f"{via.provider}/{route.channel}" for via in route.via)) for route in config.routes]
