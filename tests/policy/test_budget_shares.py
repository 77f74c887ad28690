"""How much of each budget is spent, as those see it who watch the money."""

from tests.support.bench import a_start, make_bench
from tests.support.budgets import PRICES
from tests.support.faults import GUARD
from tests.support.live import everything
from verify_service.insight.budgets import Budget, budgets
from verify_service.store import Store

RULES = """
[[rule]]
name = "spend"
kind = "budget"
of = ["country"]
allow = "$10/day; $2/hour"
mode = "enforce"
[[rule]]
name = "each"
kind = "budget"
of = ["tenant"]
allow = "$40/day"
[[rule]]
name = "both"
kind = "budget"
of = ["country", "tenant"]
allow = "$1/minute"
[[rule]]
name = "none"
kind = "budget"
of = ["country"]
allow = "$1/day"
mode = "off"
"""


def test_each_sum_of_a_budget_says_what_is_spent_and_when_it_has_room_again(quiet: Store) -> None:
    """By country, by tenant and by both, in the window that is nearest to its bound, the fullest first; a look writes
    nothing, and what has counted nothing is left out."""
    bench = make_bench(quiet, GUARD + PRICES + RULES)
    bench.clock.ms -= bench.clock.ms % 3_600_000
    for last in range(6):
        bench.service.start("acme", a_start(f"+141555501{last:02d}"))
    bench.clock.advance(60)
    for last in range(4):
        bench.service.start("default", a_start(f"+4474001234{last:02d}"))
    before, now = everything(quiet), bench.clock.ms
    found = budgets(quiet, bench.service.rules, ["acme", "default", "quiet"], now)
    assert everything(quiet) == before
    minute, hour, day = 60_000, 3_600_000, 86_400_000

    def a_sum(name: str, country: str, tenant: str, used: float, most: float, window: int, wait: int = 0) -> Budget:
        mode, frees_at = "enforce" if name == "spend" else "observe", now + wait if wait else 0
        where = {"country": country, "tenant": tenant}
        return Budget(name=name, mode=mode, **where, used=used, most=most, window=window, frees_at=frees_at)

    # What only watches counts what it would have let pass. Aligned buckets: the waits follow from the hour's begin.
    assert sorted(found, key=lambda each: (each.name, each.country, each.tenant)) == [
        a_sum("both", "GB", "default", 1.0, 1.0, minute, 90_000),
        a_sum("both", "US", "acme", 1.0, 1.0, minute, 15_000),
        a_sum("each", "", "acme", 1.5, 40.0, day),
        a_sum("each", "", "default", 2.0, 40.0, day),
        a_sum("spend", "GB", "", 2.0, 2.0, hour, 4_439_999),
        a_sum("spend", "US", "", 1.5, 2.0, hour),
    ]
    shares = [(each.name, each.share) for each in found]
    assert shares == [("spend", 1.0), ("both", 1.0), ("both", 1.0), ("spend", 0.75), ("each", 0.05), ("each", 0.0375)]
