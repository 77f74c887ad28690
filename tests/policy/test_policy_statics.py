"""Rules that need no count: line types, countries, allow- and block-lists, and what a message costs."""

from typing import Any

import pytest

from tests.support.bench import Bench, a_start, make_bench
from tests.support.faults import GUARD, is_refused
from verify_service import phone
from verify_service.errors import Blocked, InvalidNumber, RateLimited
from verify_service.policy import file as policy_file
from verify_service.policy import summary
from verify_service.policy.static_rules import StaticRules
from verify_service.store import Store

US, GB, PREMIUM = "+14155550142", "+447911123456", "+19005550123"


def verdict(policy: str, to: str = US, ip: str | None = None) -> tuple[str | None, tuple[str, ...], bool]:
    """(the static rule that refuses, those that only watched, whether the allow-list names the start)."""
    found = StaticRules(policy_file.parse(GUARD + policy, "x")).judge(phone.parse(to, None), ip)
    return found.refused.name if found.refused else None, found.observed, found.allowed


def events(bench: Bench) -> list[dict[str, Any]]:
    """The start events of the bench's time that its own tag key made."""
    number = bench.tagger.number(US)
    return [event for event in bench.store.events.read(bench.clock.ms - 1) if event.get("number") == number]


@pytest.mark.parametrize(
    ("countries", "expected"),
    [
        ("", (None, (), False)),
        ('deny = ["US"]', ("countries", (), False)),
        ('deny = ["GB"]', (None, (), False)),
        ('observe = ["US"]', (None, ("countries",), False)),
        ('default = "deny"', ("countries", (), False)),
        ('default = "deny"\nallow = ["US"]', (None, (), False)),
        ('default = "deny"\nobserve = ["US"]', (None, ("countries",), False)),
        ('default = "observe"', (None, ("countries",), False)),
        ('default = "observe"\ndeny = ["US"]', ("countries", (), False)),
    ],
)
def test_a_country_is_allowed_watched_or_denied(
    countries: str, expected: tuple[str | None, tuple[str, ...], bool]
) -> None:
    """Its own list decides; the default is for countries in no list."""
    assert verdict(f"[countries]\n{countries}") == expected


@pytest.mark.parametrize(
    ("entries", "ip", "named"),
    [
        (f'numbers = ["{US}"]', None, True),
        (f'numbers = ["{GB}"]', None, False),
        ('prefixes = ["+1415"]', None, True),
        ('prefixes = ["+44", "+1212"]', None, False),
        ('networks = ["203.0.113.0/24"]', "203.0.113.9", True),
        ('networks = ["203.0.113.0/24"]', "203.0.114.9", False),
        ('networks = ["203.0.113.0/24"]', None, False),
        ('networks = ["203.0.113.7"]', "203.0.113.7", True),
        ('networks = ["203.0.113.7"]', "203.0.113.8", False),
        ('networks = ["203.0.113.0/24"]', "::ffff:203.0.113.9", True),
        ('networks = ["2001:db8::/32", "203.0.113.0/24"]', "2001:db8:1::1", True),
        ('networks = ["2001:db8::/32"]', "2001:db9::1", False),
        ('networks = ["0.0.0.0/0"]', "2001:db9::1", False),
    ],
)
def test_a_list_names_numbers_prefixes_and_networks(entries: str, ip: str | None, named: bool) -> None:
    """The same entries block under [block] and let pass under [allow]."""
    assert verdict(f"[block]\n{entries}", ip=ip) == ("block-list" if named else None, (), False)
    denied = f'[countries]\ndeny = ["US"]\n[allow]\n{entries}'
    assert verdict(denied, ip=ip) == (None if named else "countries", (), named)


def test_the_allow_list_wins_over_the_block_list_but_not_over_line_types() -> None:
    """A tester in a blocked range gets codes; a premium-rate number never does."""
    lists = '[block]\nprefixes = ["+1"]\n[allow]\nprefixes = ["+1415"]\n'
    assert verdict(lists) == (None, (), True)
    assert verdict(lists, "+12125550142")[0] == "block-list"
    premium = '[line_types]\ndeny = ["premium-rate"]\n[allow]\nprefixes = ["+1"]\n'
    assert verdict(premium, PREMIUM)[0] == "line-types"


def test_an_allowed_network_passes_the_limits_of_addresses_and_meets_those_of_numbers(store: Store) -> None:
    """An office on the list enrols as many as come; nobody in it can flood one phone."""
    limits = (
        '[[limit]]\nname = "ip"\nof = ["ip"]\nallow = "2/hour"\n'
        '[[limit]]\nname = "number"\nof = ["number"]\nallow = "3/hour"\n'
    )
    bench = make_bench(store, f'{GUARD}cooldown = ["1 second"]\n[allow]\nnetworks = ["203.0.113.0/24"]\n{limits}')
    for last in range(5):
        bench.service.start("default", a_start(f"+1415555014{last}", ip="203.0.113.9"))
    for _ in range(2):
        bench.clock.advance(2)
        bench.service.start("default", a_start("+14155550140", ip="203.0.113.9"))
    bench.clock.advance(2)
    with pytest.raises(RateLimited) as refused:
        bench.service.start("default", a_start("+14155550140", ip="203.0.113.9"))
    assert refused.value.members["limit"] == "number"


def test_a_static_refusal_costs_one_trip_counts_nothing_and_is_told(store: Store) -> None:
    """403 with the rule and a decision; an event with both; the limits have not moved."""
    bench = make_bench(
        store, f'{GUARD}[countries]\ndeny = ["US"]\n[[limit]]\nname = "n"\nof = ["number"]\nallow = "1/day"\n'
    )
    before = store.link.round_trips
    with pytest.raises(Blocked) as refused:
        bench.service.start("default", a_start(US))
    assert store.link.round_trips == before + 1
    members = refused.value.members
    assert members["rule"] == "countries"
    found = bench.explain.decision("default", members["decision"])
    assert (found.by, found.sentence) == ("countries", "The country US is refused.")
    assert found.unjudged == ("n",)
    (event,) = events(bench)
    assert (event["event"], event["refused"], event["decision"]) == ("start", "countries", members["decision"])
    explained = bench.explain.explain("default", phone.parse(US, None))
    assert {each.name: each.count for each in explained.judged if each.kind == "limit"} == {"n": 0}


def test_a_refused_line_type_keeps_its_problem_and_has_a_decision(store: Store) -> None:
    """422 `invalid-number` as ever, and explained like any refusal."""
    bench = make_bench(store)
    with pytest.raises(InvalidNumber) as refused:
        bench.service.start("default", a_start(PREMIUM))
    assert refused.value.members["reason"] == "line-type"
    found = bench.explain.decision("default", refused.value.members["decision"])
    assert (found.by, found.sentence) == ("line-types", "A premium-rate number is refused.")


def test_what_is_only_watched_is_admitted_and_noted(store: Store) -> None:
    """`observed` in the start's event names the rule that would have refused."""
    bench = make_bench(store, f'{GUARD}[countries]\nobserve = ["US"]\n')
    bench.service.start("default", a_start(US))
    (event,) = events(bench)
    assert (event["observed"], "refused" in event) == (["countries"], False)


def test_a_start_says_its_price() -> None:
    """By country, else the file's default, else the shipped one."""
    policy = policy_file.parse(f"{GUARD}[prices]\ndefault = 0.2\nUS = 0.0079\nKE = 1", "x")
    assert [policy.price(country) for country in ("US", "KE", "FR")] == [0.0079, 1, 0.2]
    assert policy_file.parse(GUARD, "x").price("US") == 0.05


def test_the_price_is_in_the_event(store: Store) -> None:
    """In dollars, as recorded traffic has it."""
    bench = make_bench(store, f"{GUARD}[prices]\nUS = 0.0079")
    bench.service.start("default", a_start(US))
    (event,) = events(bench)
    assert event["price"] == 0.0079


BAD = {
    "a country": ('[countries]\ndeny = ["XX", "USA"]', r"countries\.deny\[1\]: 'USA' is no ISO 3166 code"),
    "the United Kingdom": ('[countries]\ndeny = ["UK"]', r"countries\.deny\[0\]: 'UK' .*; did you mean 'GB'\?"),
    "a country twice": (
        '[countries]\ndeny = ["US"]\nallow = ["US"]',
        r"countries\.allow\[0\]: 'US' stands in `deny` as well",
    ),
    "a default": ('[countries]\ndefault = "refuse"', r"at `\$\.countries\.default`"),
    "a key": ("[countries]\nalow = []", r"unknown field `alow` - at `\$\.countries`; did you mean 'allow'\?"),
    "a table": ("[country]\nallow = []", r"unknown field `country`; did you mean 'countries'\?"),
    "a mode": (
        '[[limit]]\nname = "n"\nof = ["number"]\nallow = "1/day"\nmode = "enforced"',
        r"'enforced' - at `\$\.limit\[0\]\.mode`; did you mean 'enforce'\?",
    ),
    "a number": ('[block]\nnumbers = ["4155550142"]', r"block\.numbers\[0\]: '4155550142'"),
    "no such number": (
        '[allow]\nnumbers = ["+14155550142", "+15555555555"]',
        r"allow\.numbers\[1\]: '\+15555555555': No such number",
    ),
    "a prefix": ('[block]\nprefixes = ["1415"]', r"block\.prefixes\[0\]: '1415' is not the beginning"),
    "a network": (
        '[block]\nnetworks = ["203.0.113.9/24"]',
        r"block\.networks\[0\]: '203\.0\.113\.9/24' .* host bits set",
    ),
    "a price": ("[prices]\nGB = 0.04\nUS = -1", r">= 0\.0 - at `\$\.prices\.US`"),
    "a price in words": ("[prices]\nGB = 0.04\nUS = 'dear'", r"got `str` - at `\$\.prices\.US`"),
    "a price's country": ("[prices]\nEurope = 1", r"prices: 'Europe' is no ISO 3166 code"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_rule_that_cannot_be_meant_names_the_key_and_the_fix(text: str, words: str) -> None:
    """One line, with the nearest word that is known."""
    is_refused(text, words)


def test_codes_that_iso_leaves_to_its_users_may_be_listed() -> None:
    """XX is no slip of the pen: it stands for a country to be filled in."""
    assert policy_file.parse(GUARD + '[countries]\ndeny = ["XX"]', "x").countries.deny == {"XX"}


def test_a_summary_says_what_is_listed() -> None:
    """What `policy check` prints of countries and lists: how many, never which numbers."""
    text = (
        f'[countries]\ndefault = "deny"\nallow = ["US", "GB"]\n[block]\nnumbers = ["{US}"]\nnetworks = ["10.0.0.0/8"]'
    )
    found = list(summary.lines(policy_file.parse(GUARD + text, "x")))
    assert found[:3] == [
        "0 limits, 0 rules",
        "  countries: allow GB US, deny the rest",
        "  block: 1 numbers, 1 networks",
    ]
    assert US not in "".join(found)
    denied = summary.lines(policy_file.parse(GUARD + '[factors]\ntexts = "deny"', "x"))
    assert "  codes by message for who has a verified factor: deny" in denied
