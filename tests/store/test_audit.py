"""The audit log: each act before it is done, in a chain that shows what was done to it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.bench import Bench, a_start, make_bench
from tests.support.concurrency import at_once
from verify_service.codes import Tagger, new_key
from verify_service.consents import Ledger
from verify_service.data_subjects import DataSubjects
from verify_service.errors import ConfigError, NotFound, RevisionConflict, StoreUnavailable
from verify_service.factors.keeping import Keeping
from verify_service.insight.audit import Head, Verified, shown, verify
from verify_service.model import Actor
from verify_service.policy.file import default_text
from verify_service.policy.live import LivePolicy
from verify_service.store import Store
from verify_service.store.audit import HOUR_MS, LANES, Audit, Entry
from verify_service.store.policies import Policies

KEY = "vs:{0}:audit"
ANN = Actor("ann", "192.0.2.7")
APPLICATION = Actor("api:shop", "192.0.2.8", application=True)
TO = "+14155550175"
MADE_UP = "entry {} was changed, moved or forged, or another VERIFY_TAG_KEY sealed it"
Row = tuple[bytes, bytes, bytes]


@pytest.fixture
def bench(quiet: Store) -> Bench:
    """On a store whose log is empty."""
    quiet.link.command(0, ["DEL", KEY, f"{KEY}:hours", "vs:{0}:policy"])
    return make_bench(quiet)


@pytest.fixture
def log(bench: Bench) -> Audit:
    return Audit(bench.store.link, bench.tagger)


def entries(log: Audit) -> list[Entry]:
    return [entry for kept in log.all() if (entry := kept.entry)]


def lifts(log: Audit, count: int) -> None:
    for n in range(count):
        with log.act(1000 + n, ANN, "lift", f"block:{n}"):
            pass


def rows(bench: Bench) -> list[Row]:
    """All as the store has it: names, entries, seals."""
    return [(name, flat[1], flat[3]) for name, flat in bench.store.link.command(0, ["XRANGE", KEY, "-", "+"])]


def rewrite(bench: Bench, log: list[Row]) -> None:
    """Puts other entries in the place of all, as who may write the store can."""
    bench.store.link.command(0, ["DEL", KEY])
    for name, packed, seal in log:
        bench.store.link.command(0, ["XADD", KEY, name, "entry", packed, "seal", seal])


def test_every_act_says_who_from_where_what_and_why(bench: Bench, log: Audit) -> None:
    """Of each kind, with pseudonyms where people are meant; a second entry says what failed; and the events name whom
    they named before."""
    number, user = f"number:{bench.tagger.number(TO)}", f"user:{bench.tagger.user('default', 'eve')}"
    live = LivePolicy(Policies(bench.store.link, bench.tagger), bench.tagger)
    bench.service.start("default", a_start(TO))
    bench.relief.unlock(TO, ANN, f"called support from {TO}")
    bench.relief.unlock_user("default", "eve", ANN, "said\nso \u202eby eve@example.org")
    assert bench.relief.lift("bl_" + "0" * 32, ANN, "a slip") is None
    bench.relief.replay("default", ANN, "")
    DataSubjects(bench.store, bench.tagger, bench.clock).erase("default", TO, ANN, "asked by letter")
    ledger = Ledger(bench.store, bench.tagger, bench.clock)
    ledger.record("default", TO, "out", "call-centre", ANN, "Ann from Cork, who called")
    keeping = Keeping(bench.store, bench.keys, bench.tagger, bench.clock)
    keeping.take("default", [], 5, print, ANN)
    assert list(keeping.give("default", ANN, "we move")) == []
    keeping.reseal(ANN)
    bench.factors.erase("default", "eve", ANN, "left")
    with pytest.raises(NotFound):
        bench.factors.remove("default", "eve", "fa_1", ANN)
    live.push(1, ANN, "the first", default_text())
    live.rollback(2, ANN, "back", 1)
    with pytest.raises(ConfigError):
        live.push(3, ANN, f'numbers = ["{TO}"]', f'nonsense = "{TO}"')
    with pytest.raises(RevisionConflict):
        live.push(3, ANN, "", default_text(), expected=1)
    told = [(each.act, each.outcome, each.target, each.why, each.of, each.more) for each in entries(log)]
    tenant: dict[str, int | str] = {"tenant": "default"}
    block = "block:bl_" + "0" * 32
    assert told == [
        ("unlock", "allowed", number, "called support from •••", 0, {}),
        ("unlock", "allowed", user, "said so  by •••", 0, tenant),
        ("lift", "allowed", block, "a slip", 0, {}),
        ("lift", "failed", block, "there is no such live block", 3, {}),
        ("replay", "allowed", "webhooks", "", 0, tenant),
        ("erase", "allowed", number, "asked by letter", 0, tenant),
        ("consent", "allowed", number, "call-centre", 0, tenant | {"state": "out"}),
        ("import", "allowed", "factors", "", 0, tenant),
        ("export", "allowed", "factors", "we move", 0, tenant),
        ("reseal", "allowed", "key:k1", "", 0, {}),
        ("erase", "allowed", user, "left", 0, tenant),
        ("remove", "allowed", user, "", 0, tenant | {"factor": "fa_1"}),
        ("remove", "failed", user, "not-found", 12, tenant | {"factor": "fa_1"}),
        ("push", "allowed", "revision:1", "the first", 0, {}),
        ("rollback", "allowed", "revision:2", "back", 0, {}),
        ("push", "refused", "policy", "ConfigError", 0, {}),
        ("push", "refused", "policy", "revision-conflict", 0, {}),
    ]
    assert {(each.who, each.from_) for each in entries(log)} == {("ann", "192.0.2.7")}
    kept = b"".join(kept.packed for kept in log.all())
    assert [personal for personal in (TO[1:], "eve", "Cork") if personal.encode() in kept] == []
    erased = [event for event in bench.store.events.read(0) if event["event"] == "erased"]
    assert [(event["by"], event["reason"]) for event in erased][-1:] == [("ann", "asked by letter")]
    assert b"192.0.2.7" not in b"".join(row[1] for row in rows(bench))
    assert verify(log) == Verified(17, 1, Head(17, rows(bench)[-1][2].decode()), ())


def test_an_act_that_cannot_be_audited_is_not_done(bench: Bench) -> None:
    """Whatever it is: what limits have counted stays, no revision is pushed, nobody is erased."""
    started = bench.service.start("default", a_start(TO)).id
    bench.store.link.command(0, ["SET", KEY, "not a log"])
    policies = Policies(bench.store.link, bench.tagger)
    ledger = Ledger(bench.store, bench.tagger, bench.clock)
    for act in (
        partial(bench.relief.unlock, TO, ANN, "why"),
        partial(DataSubjects(bench.store, bench.tagger, bench.clock).erase, "default", TO, ANN, "why"),
        partial(ledger.record, "default", TO, "out", "call-centre", ANN),
        partial(policies.push, 1, ANN, "", default_text()),
        partial(bench.factors.erase, "default", "eve", ANN),
    ):
        with pytest.raises(StoreUnavailable):
            act()
    Audit(bench.store.link, bench.tagger).refused(1, ANN, "push", "policy", "refused all the same")
    assert policies.newest() == 0
    assert ledger.look("default", TO).state is None
    assert bench.store.verifications.read(bench.clock.now(), "default", started)
    bench.store.link.command(0, ["DEL", KEY])
    assert bench.relief.unlock(TO, ANN, "why") > 0


def changed(log: list[Row]) -> list[Row]:
    name, packed, seal = log[2]
    return [*log[:2], (name, packed[:-1] + bytes([packed[-1] ^ 1]), seal), *log[3:]]


def swapped(log: list[Row]) -> list[Row]:
    return [*log[:2], (log[2][0], *log[3][1:]), (log[3][0], *log[2][1:]), *log[4:]]


def forged(log: list[Row]) -> list[Row]:
    """An entry more, sealed by who has another key."""
    other, packed = Tagger(new_key()), b'{"seq":7,"at":1,"who":"ann","act":"lift","outcome":"allowed"}'
    return [*log, (b"7-0", other.seal(packed, "audit|7-0"), other.audit(packed).encode())]


ATTACKS: dict[str, tuple[Callable[[list[Row]], list[Row]], list[str]]] = {
    "changed": (changed, [MADE_UP.format(3)]),
    "removed": (lambda log: [*log[:2], *log[4:]], ["entries 3 to 4 are missing"]),
    "swapped": (
        swapped,
        [
            MADE_UP.format(3),
            MADE_UP.format(4),
            "entry 5 does not follow the one before it",
        ],
    ),
    "put in": (
        lambda log: [*log[:3], (b"3-1", *log[1][1:]), *log[3:]],
        [MADE_UP.format(3), "entry 4 does not follow the one before it"],
    ),
    "forged": (forged, [MADE_UP.format(7)]),
    "cut in front": (lambda log: log[2:], ["entries 1 to 2 are gone, and the log had room for more"]),
    "unreadable": (
        lambda log: [*log[:5], (b"6-0", b"\xff", log[5][2])],
        [MADE_UP.format(6)],
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_done_to_the_log_shows(bench: Bench, log: Audit, attack: str) -> None:
    """By somebody who may write the store and has not the key. A later act does not cover it."""
    lifts(log, 6)
    assert verify(log).faults == ()
    work, faults = ATTACKS[attack]
    rewrite(bench, work(rows(bench)))
    assert list(verify(log).faults) == faults
    lifts(log, 1)
    assert list(verify(log).faults)[: len(faults)] == faults


def test_an_end_that_is_cut_off_shows_by_a_head_that_was_noted(bench: Bench, log: Audit) -> None:
    """As by an attacker, or by a failover that lost what was acknowledged: the chain goes on, and says what is seen."""
    lifts(log, 6)
    noted = verify(log).head
    assert verify(log, noted) == Verified(6, 1, noted, ())
    bench.store.link.command(0, ["XDEL", KEY, "6-0"])
    (lost,) = verify(log, noted).faults
    assert lost.startswith("the log ends with entry 5, and 6 was noted")
    lifts(Audit(bench.store.link, bench.tagger), 1)
    assert verify(log).faults == ("entry 6 is missing",)  # A number is used once.
    rewrite(bench, rows(bench)[:4])
    lifts(log, 3)
    assert verify(log).faults == ()
    assert verify(log, noted).faults == ("entry 6 is another one than was noted",)
    assert verify(log, Head(5, "0" * 64)).faults == ("entry 5 is another one than was noted",)


def test_the_oldest_go_and_the_rest_can_be_checked(bench: Bench) -> None:
    """A log of five: twelve acts leave the newest five, whole; one more taken away in front shows."""
    log = Audit(bench.store.link, bench.tagger, keep=5)
    lifts(log, 12)
    assert [entry.seq for entry in entries(log)] == [8, 9, 10, 11, 12]
    found = verify(log)
    assert (found.entries, found.first, found.faults) == (5, 8, ())
    assert verify(log, Head(7, "")).faults == (
        "entry 7 is no longer kept, so that nothing can be said by it: note a newer one",
    )
    bench.store.link.command(0, ["XDEL", KEY, "8-0"])
    assert verify(log).faults == ("entries 1 to 8 are gone, and the log had room for more",)


def test_acts_at_once_stand_in_one_chain(bench: Bench) -> None:
    """Sixteen processes with six acts each: 96 entries, numbered without a gap, whole."""

    def work(who: str) -> None:
        mine = Audit(bench.store.link, bench.tagger)
        for n in range(6):
            with mine.act(n, Actor(who), "lift"):
                pass

    at_once(*(partial(work, f"p{n}") for n in range(16)))
    log = Audit(bench.store.link, bench.tagger)
    assert [entry.seq for entry in entries(log)] == list(range(1, 97))
    assert sorted(entry.who for entry in entries(log)) == sorted(f"p{n}" for n in range(16) for _ in range(6))
    assert verify(log).faults == ()


def test_a_flood_neither_grows_the_log_nor_hides_an_act(bench: Bench, log: Audit) -> None:
    """Refused acts of strangers, of keys, and acts of applications have room for some an hour each; the next hour says
    how many more there were, once, whoever acts then. An operator's acts are all there."""
    refuse = partial(log.refused, 5, APPLICATION, "sign-in", "console", "wrong key", stranger=True)
    at_once(*[lambda: [refuse() for _ in range(25)]] * 8)
    for _ in range(LANES["application"] + 40):
        with log.act(6, APPLICATION, "consent"):
            pass
    lifts(log, 3)
    log.refused(7, APPLICATION, "call", "PUT /admin/policy", "this key lacks the scope `admin`")
    kept = [entry.act for entry in entries(log)]
    assert (kept.count("sign-in"), kept.count("consent")) == (LANES["stranger"], LANES["application"])
    assert kept[-4:] == ["lift", "lift", "lift", "call"]
    at_once(*[partial(Audit(bench.store.link, bench.tagger).refused, HOUR_MS, ANN, "push", "", "") for _ in range(6)])
    later = entries(log)[len(kept) :]
    assert [each.act for each in later] == ["counted"] * 2 + ["push"] * 6
    counted = [(each.who, each.outcome, each.more) for each in later[:2]]
    hour = "1970-01-01T00:00:00.000Z"
    assert sorted(counted, key=lambda each: str(each[1])) == [
        ("verify-service", "allowed", {"count": 40, "lane": "application", "hour": hour}),
        ("verify-service", "refused", {"count": 200 - LANES["stranger"], "lane": "stranger", "hour": hour}),
    ]
    assert verify(log).faults == ()


def test_an_entry_as_programs_see_it(log: Audit) -> None:
    """Every member is always there; a later version's members pass over us, and its seal holds."""
    log.refused(1_800_000_000_000, ANN, "call", "PUT /admin/policy", "no scope")
    (kept,) = log.newest(1)
    expected: dict[str, Any] = {
        "seq": 1,
        "at": "2027-01-15T08:00:00.000Z",
        "who": "ann",
        "from": "192.0.2.7",
        "act": "call",
        "target": "PUT /admin/policy",
        "why": "no scope",
        "outcome": "refused",
        "of": None,
        "more": {},
        "before": "",
        "seal": log.seal(kept.packed),
    }
    assert shown(kept) == expected
