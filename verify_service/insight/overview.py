"""What the console's first page looks at: counts of a while and of the same while before, and the picture of now."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple
from weakref import WeakKeyDictionary

from verify_service import phone
from verify_service.config import Config
from verify_service.insight import blocks, budgets, providers
from verify_service.insight.counts import STEP_MS, Stats, Step, stats
from verify_service.insight.situation import Picture
from verify_service.policy.rulebook import Rules
from verify_service.store import Store

MINUTE_MS, HOUR_MS, DAY_MS = STEP_MS["minute"], STEP_MS["hour"], STEP_MS["day"]
QUARTER = 15
_MOST_PAST = 40
_past: WeakKeyDictionary[Store, dict[tuple[int, int, Step, str, int], Stats]] = WeakKeyDictionary()


class Window(NamedTuple):
    """A while that pages look at, in steps; `before` is what it is compared with."""

    words: str
    ms: int
    step: Step
    before: str

    def begin(self, now: int) -> int:
        """Of its first step, which is there in full, as the last one is as far as it has come."""
        return now // STEP_MS[self.step] * STEP_MS[self.step] - self.ms

    @property
    def apart(self) -> int:
        """How much earlier what it is compared with was."""
        return max(self.ms, DAY_MS)


WINDOWS: Mapping[str, Window] = {
    "15m": Window("15 minutes", 15 * MINUTE_MS, "minute", "yesterday"),
    "1h": Window("1 hour", HOUR_MS, "minute", "yesterday"),
    "24h": Window("24 hours", DAY_MS, "hour", "the day before"),
    "7d": Window("7 days", 7 * DAY_MS, "hour", "the week before"),
    "30d": Window("30 days", 30 * DAY_MS, "day", "the 30 days before"),
}


def over(store: Store, window: Window, now: int, by: str = "total") -> Stats:
    """The counts of a while until now. What is older than two hours, and so counted for good, is read once an hour and
    process: a page that reads itself anew asks for the rest alone. Raises StoreUnavailable."""
    ms, begin, end = STEP_MS[window.step], window.begin(now), now + 1
    settled = (now - 2 * HOUR_MS) // ms * ms
    if settled <= begin:
        return stats(store, begin, end, window.step, by)
    past, asked = _past.setdefault(store, {}), (begin, settled, window.step, by, now // HOUR_MS)
    found = past.get(asked)
    if found is None:
        if len(past) >= _MOST_PAST:
            past.clear()
        found = past[asked] = stats(store, begin, settled, window.step, by)
    return _joined(found, stats(store, settled, end, window.step, by))


def _joined(first: Stats, then: Stats) -> Stats:
    """The counts of two whiles, one after the other, as one."""
    parts = [(each.groups, (0,) * len(each.buckets)) for each in (first, then)]
    groups: dict[str, dict[str, tuple[int, ...]]] = {}
    for name in dict.fromkeys((*first.groups, *then.groups)):
        counters = dict.fromkeys(counter for own, _ in parts for counter in own.get(name, {}))
        groups[name] = {
            counter: tuple(n for own, none in parts for n in own.get(name, {}).get(counter, none))
            for counter in counters
        }
    return Stats(first.begin, then.end, first.step, first.by, first.buckets + then.buckets, groups)


def sums(found: Stats, name: str = "total") -> dict[str, int]:
    """What the counters of a group come to."""
    return {counter: sum(values) for counter, values in found.groups.get(name, {}).items()}


def within(found: Stats, begin: int, end: int) -> dict[str, float]:
    """What the counters come to from `begin` to `end`, milliseconds; of a step that is partly in, its part."""
    ms = STEP_MS[found.step]
    parts = [max(0, min(end, at + ms) - max(begin, at)) / ms for at in found.buckets]
    return {
        counter: sum(part * value for part, value in zip(parts, values, strict=True))
        for counter, values in found.groups.get("total", {}).items()
    }


def before(store: Store, window: Window, now: int) -> dict[str, float] | None:
    """The same while before the one that ends now, None where nothing was counted then. Raises StoreUnavailable."""
    begin, end = window.begin(now) - window.apart, now - window.apart
    found = within(stats(store, begin, end, "day" if window.step == "day" else "hour"), begin, end)
    return found if found.get("starts") else None


def price_of(rules: Rules) -> Callable[[str], float]:
    """What a message to a place costs by the policy, in dollars."""
    policy = rules().policy
    return lambda place: policy.price(phone.country_of(place))


def picture(store: Store, config: Config, rules: Rules, now: int, reasons: tuple[str, ...]) -> Picture:
    """Now, as `insight.situation` judges it; `reasons` are why the service is not ready. Raises StoreUnavailable."""
    read = partial(stats, store)
    minutes = read(now - HOUR_MS, now + 1, "minute")
    hours = read(now - DAY_MS - 2 * HOUR_MS, now + 1, "hour")
    quarter = QUARTER * MINUTE_MS
    day = within(hours, now - DAY_MS - HOUR_MS, now - HOUR_MS)
    yesterday = within(hours, now - DAY_MS - quarter, now - DAY_MS)
    # A quiet night before a busy one is no reason to wake anybody: the mean of a day counts as usual too.
    usual = {name: max(count * quarter / DAY_MS, yesterday[name]) for name, count in day.items()}
    by_rule = read(now - quarter, now + 1, "minute", "rule")
    refused = {name: sums(by_rule, name).get("refused", 0) for name in by_rule.groups}
    return Picture(
        now=now,
        blocks=blocks.live(store, rules, now),
        price=price_of(rules),
        recent=within(minutes, now - quarter, now + MINUTE_MS),
        usual=usual if day.get("starts") else None,
        hour=within(minutes, now - HOUR_MS, now + MINUTE_MS),
        day=day,
        rules={name: count for name, count in refused.items() if count},
        budgets=budgets.budgets(store, rules, list(config.tenants), now),
        providers=providers.health(store, config, now),
        reasons=reasons,
    )
