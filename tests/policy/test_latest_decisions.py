"""The latest decisions on starts: found by what is asked for, told with why and what to do, at a bounded cost."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from verify_service.cli import commands
from verify_service.store import Store
from verify_service.store.search import Wanted, place

POLICY = """
[code]
guess_ceiling = 1.0
cooldown = ["1 second"]
sends = 9
[[limit]]
name = "number"
of = ["number"]
allow = "2/hour"
[[limit]]
name = "watched"
of = ["number"]
allow = "1/hour"
mode = "observe"
[countries]
deny = ["GB"]
[prices]
US = 0.25
"""
US, GB, MAIL = "+14155550142", "+447400123456", "ann@example.com"


class Asker:
    """A service of the test's own under the policy, and what it answers of its decisions."""

    def __init__(self, store: Store) -> None:
        self.clock = ManualClock()
        self.client = LocalClient(store, self.clock, POLICY)

    def start(self, to: str, purpose: str = "login") -> Any:
        self.clock.advance(2)
        channel = {"channel": "email"} if "@" in to else {}
        return self.client.request("POST", "/start", {"to": to, "purpose": purpose, **channel})[2]

    def ask(self, query: str = "") -> dict[str, Any]:
        status, _, body = self.client.request("GET", f"/admin/decisions?{query}")
        assert status == 200
        found: dict[str, Any] = body
        return found

    def told(self, query: str = "") -> list[tuple[Any, ...]]:
        return [(each["outcome"], each.get("rule"), each["purpose"]) for each in self.ask(query)["decisions"]]


@pytest.fixture
def asker(alone: Store) -> Asker:
    """One whose starts a test may add to."""
    return decided(alone)


@pytest.fixture(scope="module")
def looker(quiet: Store) -> Asker:
    """One who only looks."""
    return decided(quiet)


def decided(store: Store) -> Asker:
    """One who had five starts of four kinds decided."""
    made = Asker(store)
    for to, purpose in ((US, "a"), (US, "b"), (GB, "c"), (MAIL, "d"), (US, "e")):
        made.start(to, purpose)
    return made


def test_each_filter_finds_its_decisions_the_newest_first(looker: Asker) -> None:
    """Those that are given have to fit, all of them."""
    all_of_them = [
        ("refused", "number", "e"),
        ("admitted", None, "d"),
        ("refused", "countries", "c"),
        ("observed", None, "b"),
        ("admitted", None, "a"),
    ]
    refused, us = [all_of_them[0], all_of_them[2]], [all_of_them[0], *all_of_them[3:]]
    (number,) = {each["number"] for each in looker.ask("country=US")["decisions"]}
    assert looker.told() == looker.told("tenant=default") == all_of_them
    assert looker.told("outcome=refused") == refused
    assert looker.told("outcome=observed") == [all_of_them[3]]
    assert looker.told("outcome=admitted") == [all_of_them[1], all_of_them[4]]
    assert looker.told("rule=number") == [all_of_them[0]]
    assert looker.told("rule=watched") == us[:2]
    assert looker.told("country=US") == looker.told("range=%2B1415") == looker.told(f"number={number}") == us
    assert looker.told("range=%40example.com") == [all_of_them[1]]
    assert looker.told("country=GB&outcome=refused&rule=countries&range=%2B447400") == [all_of_them[2]]
    assert looker.told("country=GB&outcome=admitted") == looker.told("tenant=acme") == []
    assert looker.told("limit=2") == all_of_them[:2]


def test_a_decision_says_why_and_what_to_do(asker: Asker) -> None:
    """The sentence and the figures are there for an hour; no number is in any of it."""
    refused, observed = (asker.ask(f"outcome={outcome}")["decisions"][0] for outcome in ("refused", "observed"))
    assert refused["sentence"] == "The limit `number` refuses: 2 of 2 within an hour; room again in 3593 s."
    assert (refused["figures"]["count"], refused["figures"]["bound"], refused["price"]) == (2, 2, 0.25)
    assert refused["advice"].startswith("If this is a customer, unlock the number.")
    assert (refused["range"], refused["observed"]) == (US[:-3], ["watched"])
    assert observed["sentence"] == "The limit `watched` would refuse: 1 of 1 within an hour; room again in 3599 s."
    assert "`watched`" in observed["advice"]
    for secret in (US[-7:], GB[-9:], "ann@"):
        assert secret not in json.dumps(asker.ask("status=true"))
    asker.clock.advance(3600)
    later = asker.ask("outcome=refused")["decisions"][0]
    assert later["decision"] == refused["decision"]
    assert {"sentence", "figures"} & later.keys() == set()


def test_what_became_of_a_verification_is_told_where_it_is_asked_for(asker: Asker) -> None:
    """Of those that were admitted, for as long as they are held."""
    assert [each.get("status") for each in asker.ask("country=US")["decisions"]] == [None, None, None]
    answer = asker.ask("country=US&status=true")
    assert [each.get("status") for each in answer["decisions"]] == [None, "pending", "pending"]
    asker.client.request("DELETE", f"/verifications/{answer['decisions'][1]['id']}")
    assert [each["status"] for each in asker.ask("outcome=observed&status=true")["decisions"]] == ["canceled"]


def test_older_ones_are_asked_for_by_before(asker: Asker) -> None:
    """Each once and none left out, though more are decided meanwhile; what cannot be read stands in nobody's way."""
    link = asker.client.store.link
    for junk in (["x", "y"], ["at", "soon", "event", "start", "id", "x"], ["at", "1", "event", "start"]):
        link.command(0, ["XADD", "vs:{0}:events", "*", *junk])
    pages, before = [], ""
    while True:
        answer = asker.ask(f"limit=2{before}")
        pages += [each["purpose"] for each in answer["decisions"]]
        if answer["before"] is None:
            assert answer["back_to"] is None
            break
        before = f"&before={answer['before']}"
        asker.start(US, "later")
    assert pages == ["e", "d", "c", "b", "a"]
    damaged = b"at 1 event start id x facts \x90 observed - decision de_x".split()
    link.command(0, ["XADD", "vs:{0}:events", "*", *damaged])
    (told,) = asker.ask("limit=1&status=true")["decisions"]
    assert (told["id"], told["outcome"], "decision" in told) == ("x", "observed", False)


def test_a_look_goes_through_so_many_events_and_no_more(looker: Asker) -> None:
    """However few fit: it says how far it came, and the next one goes on there."""
    search, wanted = looker.client.store.search, Wanted(country="FR")
    events = list(looker.client.store.events.read(0))
    first = search.starts(wanted, 5, most=len(events) - 1)
    assert (first.found, first.back_to) == ([], round(events[1]["at"] * 1000))
    assert search.starts(wanted, 5, first.before) == ([], None, None)
    assert search.starts(wanted, 5, place("0-0-0")) == ([], None, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("outcome=lost", "outcome"),
        ("rule=Number", "rule"),
        ("country=gb", "country"),
        ("range=44791", "range"),
        ("range=%2B14155550142", "range"),
        ("tenant=", "tenant"),
        ("number=%2B14155550142", "number"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("before=1", "before"),
        ("before=99999999999999999999-0-0", "before"),
        ("status=yes", "status"),
        ("from=today", "from"),
    ],
)
def test_what_is_no_filter_is_refused_by_its_name(store: Store, query: str, field: str) -> None:
    """A whole number among them: it would stand in an address."""
    problem = LocalClient(store, ManualClock()).refused("GET", f"/admin/decisions?{query}")
    assert (problem["status"], problem["errors"][0]["field"]) == (400, field)


def test_the_command_lists_decisions(looker: Asker) -> None:
    """For people with what to do; with --json as by HTTP; a filter that is none is named."""

    def run(*words: str) -> tuple[int, str]:
        env = {"VERIFY_REDIS_URL": looker.client.store.link.url}
        done = CliRunner().invoke(commands, ["decisions", "--country", "GB", "--limit", "1", *words], env=env)
        return done.exit_code, done.output

    told = json.loads(run("--json")[1])
    assert [each["purpose"] for each in told["decisions"]] == ["c"]
    status, words = run("--outcome", "refused")
    assert status == 0
    first, *others = words.splitlines()
    assert "  refused by countries  +447400123 (" in first
    assert others == [
        "    The country GB is refused.",
        "    If you do business there, allow the country in [countries].",
        f"older ones: --before {told['before']}",
    ]
    assert run("--outcome", "admitted") == (0, "no such decision among the events that were gone through\n")
    status, words = run("--range", GB)
    assert status == 2
    assert "--range" in words


WANTED = [
    Wanted(),
    *(Wanted(outcome=outcome) for outcome in ("refused", "observed", "admitted")),
    *(Wanted(rule=rule) for rule in ("number", "watched", "countries", "nothing")),
    *(Wanted(country=country) for country in ("US", "GB", "FR")),
    Wanted(country="US", rule="number", outcome="refused"),
    Wanted(country="GB", rule="watched"),
    Wanted(tenant="default", outcome="observed", range="+1415"),
]


@pytest.mark.parametrize("room", [1_000, 3])
def test_lists_of_the_newest_leave_nothing_out(alone: Store, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is counted already and whatever is not, and where lists are too short for all: each look finds what the
    events have, in their order, each once."""
    for module in ("counts", "search"):
        monkeypatch.setattr(f"verify_service.store.{module}.NEWEST", room)
    asker = decided(alone)
    for count in range(4):
        events = [each for each in alone.events.read(0) if each["event"] == "start"][::-1]
        for wanted in WANTED:
            found, before = [], None
            while True:
                page = alone.search.starts(wanted, 2, before)
                found += page.found
                before = page.before
                if before is None:
                    break
            assert found == [each for each in events if wanted.fits(each)], (count, wanted)
        if count < 2:
            while alone.counts.fold(asker.clock.now()).more:
                pass
        asker.start(GB, f"more-{count}")
        asker.start(f"+1415555020{count}", f"more-{count}")
        asker.start(f"+1415555020{count}", f"most-{count}")


def test_what_is_rare_is_found_far_back(asker: Asker) -> None:
    """Where a list names it, the events between are not looked at; those that were trimmed away are left out."""
    store = asker.client.store
    for _ in range(100):
        store.link.command(0, ["XADD", "vs:{0}:events", "*", "at", asker.clock.ms, "event", "canceled", "id", "x"])
    assert store.search.starts(Wanted(country="GB"), 5, most=50).found == []
    store.counts.fold(asker.clock.now())
    (found,) = store.search.starts(Wanted(country="GB"), 5, most=50).found
    assert found["purpose"] == "c"
    store.link.command(0, ["XTRIM", "vs:{0}:events", "MAXLEN", 100])
    assert store.search.starts(Wanted(country="GB"), 5, most=50) == ([], None, None)
