"""Budgets that go by what is usual: learnt from what was sent, by recorded days, and never far from one to the next."""

import secrets
from itertools import count

import pytest

from tests.support.bench import Bench, a_start, make_bench
from tests.support.budgets import PRICES, shown
from tests.support.faults import GUARD, is_refused
from verify_service.errors import Blocked
from verify_service.store import Store

US, GB = "+1415555", "+4474001"
DAY = 86_400


def a_budget(mode: str = "enforce", more: str = "at_least = 2", of: str = '"country"') -> str:
    return (
        f'[[rule]]\nname = "spend"\nkind = "budget"\nof = [{of}]\nallow = "$25/day"\nmode = "{mode}"\n'
        f"times_usual = 3\n{more}\n"
    )


class Days:
    """A service with a day of starts after another, at a quarter of a dollar in the US and half a dollar in GB."""

    def __init__(self, store: Store, budget: str) -> None:
        # What is usual in all is kept under the budget's name.
        self.name = f"spend-{secrets.token_hex(4)}"
        self.bench: Bench = make_bench(store, GUARD + PRICES + budget.replace('"spend"', f'"{self.name}"'))
        self._last = count()
        # Midnight, so that the first day is a whole one.
        self.bench.clock.ms = 20_900 * DAY * 1000

    def spend(self, dollars: float, where: str = US, days: int = 1) -> list[float]:
        """Days on which codes worth so much are asked for, evenly; answers what was sent for on each."""
        price = 0.25 if where == US else 0.5
        wanted = round(dollars / price)
        sent = []
        for _ in range(days):
            begin, taken = self.bench.clock.ms, 0
            for place in range(wanted):
                self.bench.clock.ms = begin + place * DAY * 1000 // wanted
                taken += self._send(where)
            self.bench.clock.ms = begin + DAY * 1000
            sent.append(taken * price)
        return sent

    def _send(self, where: str) -> bool:
        last = next(self._last)
        try:
            self.bench.service.start("default", a_start(f"{where}{last:0{(12 if where == US else 13) - len(where)}d}"))
        except Blocked:
            return False
        return True

    def usual(self) -> float:
        """What a day usually costs, as `explain` shows it."""
        return float(shown(self.bench, f"{US}5500").evidence["usual"])

    def bound(self, where: str = US) -> float:
        """The bound of the day, in dollars."""
        found = shown(self.bench, f"{where}5500" if where == US else f"{where}23456").bound
        assert found is not None
        return round(found, 2)


def test_what_is_usual_bounds_the_day_once_two_days_are_known(store: Store) -> None:
    """Until then `allow` does; afterwards three times the usual day, and the sentence says where that comes from."""
    days = Days(store, a_budget())
    assert days.bound() == 25
    days.spend(5)
    assert days.bound() == 25
    days.spend(5)
    assert days.bound() == 15
    assert days.spend(40) == [14.75]  # The last evening still weighs a little.
    days.bench.clock.advance(-1)
    verdict = shown(days.bench, f"{US}5500")
    assert (verdict.verdict, verdict.evidence["usual"], verdict.evidence["learning"]) == ("refuse", 5, 0)
    assert "$14.75 of $15.00 spent within a day, the largest of $2.00 and 3 times the usual $5.00," in verdict.sentence


def test_a_first_day_that_was_only_a_part_is_not_usual(store: Store) -> None:
    """A budget that begins at noon learns from midnight on."""
    days = Days(store, a_budget())
    days.bench.clock.advance(DAY / 2)
    days.spend(5, days=2)
    assert days.usual() == 5


def test_a_day_that_costs_all_it_may_is_learnt_as_twice_the_usual_at_most(store: Store) -> None:
    """An attack that spends the bound day after day lifts it by less than a tenth a day once a week is known."""
    days = Days(store, a_budget())
    days.spend(5, days=10)
    assert days.bound() == 15
    days.spend(40, days=3)
    assert 15 < days.bound() < 15 * 1.1**3


def test_growth_is_followed(store: Store) -> None:
    """Each day a fifth more than the one before, from two dollars to ten: nothing is refused."""
    days = Days(store, a_budget())
    for wanted in (2, 2.5, 3, 3.5, 4.25, 5, 6, 7.25, 8.75, 10):
        assert days.spend(wanted) == [wanted]


def test_quiet_days_count_as_days_that_cost_nothing(store: Store) -> None:
    """Among the first ten days all weigh the same; later a week of silence halves what is usual. The floor stays."""
    days = Days(store, a_budget())
    days.spend(5, days=4)
    days.bench.clock.advance(6 * DAY)
    assert days.usual() == pytest.approx(2)
    days.bench.clock.advance(7 * DAY)
    assert days.usual() == pytest.approx(1, abs=1e-5)
    assert days.bound() == 3
    days.bench.clock.advance(30 * DAY)
    assert days.bound() == 2


def test_a_country_without_a_past_has_the_floor(store: Store) -> None:
    """Where others are known for days, pumping that begins in a new country costs no more."""
    days = Days(store, a_budget())
    days.spend(5, days=3)
    assert days.spend(20, GB) == [2]


def test_a_country_without_a_past_may_have_a_share_of_what_is_usual_in_all(store: Store) -> None:
    """`share_of_all` leaves room to launch in a country: of twenty messages a day sixteen, whatever they cost there."""
    days = Days(store, a_budget(more="share_of_all = 0.8\nat_least = 2"))
    days.spend(5, days=3)
    assert days.spend(20, GB) == [8]
    assert "and 80% of the 20 messages usual in all" in shown(days.bench, f"{US}5500").sentence


def test_what_is_only_observed_is_learnt_as_it_was_sent(store: Store) -> None:
    """A budget that watches says what it would have refused, and learns what a day really costs."""
    days = Days(store, a_budget("observe"))
    days.spend(1, days=3)
    assert days.bound() == 3
    assert days.spend(8) == [8]
    assert days.usual() == pytest.approx(1.25)  # Four days, the last of which counts for two dollars.


def test_each_tenant_has_a_past_of_its_own(store: Store) -> None:
    """By tenant, a new one learns for two days while an old one is bound."""
    days = Days(store, a_budget(of='"tenant"'))
    days.spend(1, days=3)
    assert shown(days.bench, f"{US}5500").evidence["learning"] == 0
    assert shown(days.bench, f"{US}5500", "acme").evidence["learning"] == 1


def test_all_that_is_known_ends_a_month_after_the_last_start(store: Store) -> None:
    """Both keys have a time to live."""
    days = Days(store, a_budget())
    days.spend(1)
    client = store.link.client()
    tag = days.bench.tagger.tag("limit", "country", "US")
    for key in (f"vs:{{0}}:limit:{days.name}:{tag}", f"vs:{{0}}:usual:{days.name}"):
        assert 31 * DAY < client.ttl(key) <= 32 * DAY


def test_explaining_learns_nothing(store: Store) -> None:
    """What `explain` says of a new day is what a start of that day then meets."""
    days = Days(store, a_budget())
    days.spend(5, days=2)
    before = store.link.client().hgetall(f"vs:{{0}}:usual:{days.name}")
    assert days.bound() == days.bound() == 15
    assert store.link.client().hgetall(f"vs:{{0}}:usual:{days.name}") == before


BAD = {
    "no day": (
        'allow = "$40/hour"\ntimes_usual = 5\nat_least = 40',
        r"times_usual: bounds a day, and `allow` has none",
    ),
    "no floor": ('allow = "$40/day"\ntimes_usual = 5', r"at_least: the dearest message costs \$0\.5 by \[prices\]"),
    "a share of nothing": (
        'allow = "$40/day"\ntimes_usual = 5\nat_least = 40\nshare_of_all = 0.5',
        r"share_of_all: is a country's share of all countries",
    ),
    "a floor alone": ('allow = "$40/day"\nat_least = 40', r"at_least: says nothing without times_usual"),
    "a share in percent": (
        'allow = "$40/day"\ntimes_usual = 5\nat_least = 40\nshare_of_all = 40',
        r"share_of_all: is a part of all messages, 1 at most; 40 % is 0\.4",
    ),
    "a floor above the most": (
        'allow = "$40/day"\ntimes_usual = 5\nat_least = 41',
        r"at_least: is more than the \$40 a day of `allow`; lower it, or raise `allow`",
    ),
    "less than usual": ('allow = "$40/day"\ntimes_usual = 0.5\nat_least = 40', r"at `\$\.rule\[0\]\.times_usual`"),
}


@pytest.mark.parametrize(("keys", "words"), BAD.values(), ids=BAD)
def test_a_usual_that_cannot_be_meant_names_the_key(keys: str, words: str) -> None:
    """One line with the rule and what may stand there."""
    of = "tenant" if "share_of_all = 0.5" in keys else "country"
    rule = f'[[rule]]\nname = "spend"\nkind = "budget"\nof = ["{of}"]\n{keys}\n'
    is_refused(PRICES + rule, words)
