"""Money budgets: exact dollars per window, a refusal by a rule, and nothing spent where nothing is sent."""

import secrets
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bench import Bench, a_start, make_bench
from tests.support.budgets import PRICES, shown
from tests.support.concurrency import at_once, numbers, outcome
from tests.support.faults import GUARD, is_refused
from tests.support.oracle import EPOCH, Oracle
from verify_service.errors import Blocked, RateLimited
from verify_service.model import Verification
from verify_service.policy import specs
from verify_service.policy.kinds.budget import BudgetSpec
from verify_service.store import Store
from verify_service.store.connection import Call


def a_budget(allow: str, of: str = '"country"', mode: str = "enforce", name: str = "spend") -> str:
    return f'[[rule]]\nname = "{name}"\nkind = "budget"\nof = [{of}]\nallow = "{allow}"\nmode = "{mode}"\n'


def sent(bench: Bench, prefix: str, most: int, tenant: str = "default") -> int:
    """How many of the numbers that begin so get a code before the budget refuses."""
    for last in range(most):
        try:
            bench.service.start(tenant, a_start(f"{prefix}{last:02d}"))
        except Blocked:
            return last
    return most


def test_a_budget_sends_what_its_dollars_pay_for_and_no_more(store: Store) -> None:
    """Two dollars are eight messages at a quarter; the next is 403 by the rule; the dearer country has its own."""
    bench = make_bench(store, GUARD + PRICES + a_budget("$2/day"))
    assert sent(bench, "+141555501", 20) == 8
    assert sent(bench, "+4474001234", 20) == 4
    verdict = shown(bench, "+14155550199")
    assert (verdict.count, verdict.bound, verdict.window, verdict.verdict) == (2.0, 2.0, 86400, "refuse")
    assert "$2.00 of $2.00 spent within a day" in verdict.sentence


def test_the_window_slides_and_gives_the_money_back(store: Store) -> None:
    """Refused until the seconds that the record says, admitted then."""
    bench = make_bench(store, GUARD + PRICES + a_budget("$1/10 minutes"))
    assert sent(bench, "+141555501", 20) == 4
    wait = shown(bench, "+14155550199").wait
    assert wait is not None
    bench.clock.advance(wait - 1)
    assert sent(bench, "+141555502", 1) == 0
    bench.clock.advance(1)
    assert sent(bench, "+141555502", 1) == 1


def test_several_windows_must_all_have_room(store: Store) -> None:
    """The narrow one refuses while the wide one has room, and the other way round."""
    bench = make_bench(store, GUARD + PRICES + a_budget("$0.50/minute; $1/day"))
    assert sent(bench, "+141555501", 20) == 2
    bench.clock.advance(120)
    assert sent(bench, "+141555502", 20) == 2
    bench.clock.advance(120)
    assert sent(bench, "+141555503", 20) == 0


def test_a_message_that_costs_more_than_a_window_never_fits(store: Store) -> None:
    """It is refused by the rule, like any other that does not fit; the cheaper country is served."""
    bench = make_bench(store, GUARD + PRICES + a_budget("$0.30/day"))
    assert (sent(bench, "+4474001234", 2), sent(bench, "+141555501", 2)) == (0, 1)
    assert shown(bench, "+447400123499").wait == 2 * 86400


def test_a_tenants_budget_is_its_own(store: Store) -> None:
    """By tenant, countries share it; another tenant's is untouched."""
    bench = make_bench(store, GUARD + PRICES + a_budget("$1/day", '"tenant"'))
    assert sent(bench, "+4474001234", 1) == 1
    assert sent(bench, "+141555501", 20) == 2
    assert sent(bench, "+141555502", 20, "acme") == 4


def test_country_and_tenant_together_are_a_budget_each(store: Store) -> None:
    """One tenant's spending in a country takes nothing from another country or tenant."""
    bench = make_bench(store, GUARD + PRICES + a_budget("$1/day", '"country", "tenant"'))
    assert sent(bench, "+141555501", 20) == 4
    assert sent(bench, "+4474001234", 20) == 2
    assert sent(bench, "+141555502", 20, "acme") == 4


def test_a_budget_in_observe_mode_refuses_nothing_and_is_noted(store: Store) -> None:
    """What it would have refused is in the event, and stays out of an enforced budget."""
    rules = a_budget("$0.25/day", mode="observe", name="watch") + a_budget("$0.75/day")
    bench = make_bench(store, GUARD + PRICES + rules)
    assert sent(bench, "+141555501", 20) == 3
    mine = {bench.tagger.number(f"+1415555010{last}") for last in range(3)}
    noted = [event.get("observed") for event in store.events.read(bench.clock.ms - 1) if event.get("number") in mine]
    assert noted == [None, ["watch"], ["watch"]]


def test_a_refused_start_spends_nothing(store: Store) -> None:
    """Neither a limit's refusal nor a cooldown costs money."""
    limit = '[[limit]]\nname = "n"\nof = ["number"]\nallow = "1/day"\n'
    bench = make_bench(store, GUARD + PRICES + limit + a_budget("$1/day"))
    bench.service.start("default", a_start("+14155550142"))
    for _ in range(3):
        bench.clock.advance(40)
        with pytest.raises(RateLimited):
            bench.service.start("default", a_start("+14155550142"))
    assert shown(bench, "+14155550143").count == 0.25


def test_fifty_at_once_spend_exactly_the_budget(store: Store) -> None:
    """One dollar at a quarter: four of fifty concurrent starts."""
    bench = make_bench(store, GUARD + PRICES + a_budget("$1/day"))

    starts = [lambda to=to: bench.service.start("default", a_start(to)) for to in islice(numbers(212), 50)]
    outcomes = at_once(*map(outcome, starts))
    assert sum(isinstance(each, Verification) for each in outcomes) == 4
    assert {each.members["rule"] for each in outcomes if isinstance(each, Blocked)} == {"spend"}


periods = st.sampled_from([5, 7, 30, 60, 3600])
sums = st.one_of(st.integers(33, 200), st.integers(1_000, 100_000_000))


@given(
    windows=st.lists(st.tuples(sums, periods), min_size=1, max_size=3, unique_by=lambda window: window[1]),
    steps=st.lists(
        st.tuples(st.one_of(st.integers(0, 2_000), st.integers(0, 200_000)), st.floats(0.001, 1.0)),
        min_size=1,
        max_size=25,
    ),
    offset=st.integers(0, 3_600_000),
)
@settings(max_examples=150)
def test_costs_pass_where_the_windows_of_limits_have_room_and_the_wait_is_exact(
    store: Store, windows: list[tuple[int, int]], steps: list[tuple[int, float]], offset: int
) -> None:
    """Against `limits`' sliding-window counter with a cost per hit: the same verdict; the wait of a refusal is
    the first millisecond at which the same cost passes."""
    oracle, key, at = Oracle(windows), f"vs:{{0}}:limit:spend:{secrets.token_hex(10)}", EPOCH + offset
    least = min(amount for amount, _ in windows)

    def hold(when: int, nonce: str, cost: int, kind: str = "budget") -> tuple[bool, int]:
        own = [specs.Window(amount, seconds * 1000) for amount, seconds in windows]
        spec = BudgetSpec("spend", True, own, cost).pack()
        name, wait, *_ = store.link.call(Call(0, "hold", [key], [when, nonce, kind, spec]))
        return not name, wait

    for place, (gap, share) in enumerate(steps):
        at += gap
        cost = max(1, int(least * share))
        passed, wait = hold(at, f"n{place}", cost)
        assert passed == oracle.hit(at, cost=cost)
        if not passed:
            assert (
                hold(at + wait - 1, "early", cost, "budget?")[0]
                is oracle.hit(at + wait - 1, keep=False, cost=cost)
                is False
            )
            assert (
                hold(at + wait, "in time", cost, "budget?")[0] is oracle.hit(at + wait, keep=False, cost=cost) is True
            )


BAD = {
    "no dollars": ("40/day", r"rule\[0\] \(spend\)\.allow: '40/day' is not dollars per window"),
    "no window": ("$40", r"is not dollars per window"),
    "no such window": ("$40/fortnight", r"is not dollars per window"),
    "nothing": ("$0/day", r"allows more than \$0"),
    "a long window": ("$40/year", r"at most 31 days"),
    "two of a length": ("$40/day; $50/24 hours", r"two windows are of the same length"),
    "less than a message": ("$0.01/day", r"the cheapest message costs \$0\.05 by \[prices\], more than a whole window"),
}


@pytest.mark.parametrize(("allow", "words"), BAD.values(), ids=BAD)
def test_a_budget_that_cannot_be_meant_names_the_key(allow: str, words: str) -> None:
    """One line with the rule and what may stand there."""
    is_refused(PRICES + a_budget(allow), words)


RULES = {
    "an unknown kind": ('name = "x"\nkind = "pump"', r"'pump' - at `\$\.rule\[0\]\.kind`; did you mean 'pumping'\?"),
    "no kind": ('name = "my-rule"', r"rule\[0\] \(my-rule\): a rule with a name of its own says its kind"),
    "an unknown key": ('name = "pumping"\nodd = 1', r"unknown field `odd` - at `\$\.rule\[0\]`"),
    "a budget's key": ('name = "pumping"\nof = ["country"]', r"unknown field `of` .*; it is one of block_for, "),
    "a detector's key": (
        'name = "budget"\nof = ["tenant"]\nallow = "$40/day"\nprobe_every = 60',
        r"unknown field `probe_every` .*; it is one of allow, at_least, ",
    ),
    "a short last block": (
        'name = "pumping"\nblock_for = "1 day"',
        r'rule\[0\] \(pumping\)\.block_most: is 12 hours, shorter than the first block; make it "1 day" or longer',
    ),
    "no allowance": ('name = "budget"\nof = ["tenant"]', r"missing required field `allow` - at `\$\.rule\[0\]`"),
    "a name of the service's": ('name = "cooldown"\nkind = "pumping"', r"'cooldown' is the service's own"),
}


@pytest.mark.parametrize(("text", "words"), RULES.values(), ids=RULES)
def test_a_rule_that_cannot_be_meant_names_the_key(text: str, words: str) -> None:
    """Kind, keys and name."""
    is_refused(f"[[rule]]\n{text}\n", words)


def test_a_limit_and_a_rule_do_not_share_a_name() -> None:
    """They would share their counts."""
    limit = '[[limit]]\nname = "spend"\nof = ["number"]\nallow = "1/day"\n'
    is_refused(limit + a_budget("$40/day"), r"limit\[0\] \(spend\): the name stands twice")
