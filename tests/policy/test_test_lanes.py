"""What a test number counts: nothing, in limits of test numbers alone, or with everybody's."""

import itertools
import secrets
from datetime import date
from pathlib import Path

import msgspec
import pytest

from tests.support.bench import Bench, a_start, make_bench, wrong
from tests.support.contract import a_number
from verify_service import config
from verify_service.config_file import NumberOfTests
from verify_service.errors import ConfigError, Problem
from verify_service.model import Lane
from verify_service.store import Store

pytestmark = pytest.mark.slow

POLICY = """
[code]
guess_ceiling = 1.0
[prices]
default = 0.25
[[limit]]
name = "ip"
of = ["ip"]
allow = "2/hour"
net_of_approved = true
[[limit]]
name = "number"
of = ["number"]
allow = "3/hour"
[[limit]]
name = "ip-wrong-codes"
of = ["ip"]
allow = "2/hour"
counts = "wrong-codes"
[[limit]]
name = "number-wrong-codes"
of = ["number"]
allow = "3/hour"
counts = "wrong-codes"
[[rule]]
name = "budget"
of = ["tenant"]
allow = "$1/hour"
mode = "enforce"
"""
IP, CODE = "203.0.113.9", "246810"
_numbers = itertools.count(1)


def a_test_number() -> str:
    """One that no other test has."""
    return f"+1415556{next(_numbers):04d}"


def bench_of(store: Store, lane: Lane) -> Bench:
    """A service whose test numbers count so."""
    bench = make_bench(store, POLICY)
    entry = NumberOfTests(match="+1415556*", code=CODE, until=date(2099, 12, 31), limits=lane)
    bench.service.config = msgspec.structs.replace(bench.service.config, test_numbers=(entry,))
    return bench


def starts(bench: Bench, *numbers: str, ip: str | None = IP, tenant: str = "default") -> list[str | None]:
    """What refuses a start for each number, in their order."""
    found: list[str | None] = []
    for to in numbers:
        try:
            bench.service.start(tenant, a_start(to, secrets.token_hex(4), ip=ip))
            found.append(None)
        except Problem as problem:
            found.append(str(problem.members.get("limit") or problem.members["rule"]))
    return found


def guesses(bench: Bench, to: str, times: int, ip: str = IP) -> list[str]:
    """What wrong codes for a new verification are answered."""
    begun = bench.service.start("default", a_start(to, secrets.token_hex(4)))
    code = CODE if begun.test else bench.code(begun.id)
    found = list[str]()
    for _ in range(times):
        try:
            found.append(bench.service.check("default", begun.id, wrong(code), ip=ip).status)
        except Problem as problem:
            found.append(str(problem.members["limit"]))
    return found


def test_what_counts_nothing_is_never_refused(store: Store) -> None:
    """`none`, which is what a file without the key means: neither its own limits nor anybody's."""
    bench, to = bench_of(store, "none"), a_test_number()
    assert starts(bench, *[to] * 7) == [None] * 7
    assert guesses(bench, to, 4) == ["pending"] * 4
    assert starts(bench, a_number(), a_number(), a_number()) == [None, None, "ip"]
    assert NumberOfTests(match="+1415556*", code=CODE, until=date(2099, 12, 31)).limits == "none"


def test_what_counts_for_real_counts_with_everybody(store: Store) -> None:
    """`real`: a start to a test number and one to a person fill the same limit and the same budget."""
    bench = bench_of(store, "real")
    assert starts(bench, a_test_number(), a_number(), a_test_number(), a_number()) == [None, None, "ip", "ip"]
    assert starts(bench, a_test_number(), a_number(), a_number(), ip=None) == [None, None, "budget"]
    assert starts(bench, a_test_number(), ip=None) == ["budget"]


def test_what_counts_for_itself_touches_nobody(store: Store) -> None:
    """`own`: test numbers fill limits of their own, which are as wide, and people theirs; no budget learns of them."""
    bench, to = bench_of(store, "own"), a_test_number()
    assert starts(bench, to, a_test_number(), a_test_number()) == [None, None, "ip"]
    assert starts(bench, a_number(), a_number(), a_number()) == [None, None, "ip"]
    assert starts(bench, to, to, to, ip=None) == [None, None, "number"]
    assert starts(bench, *(a_test_number() for _ in range(5)), ip=None) == [None] * 5
    assert starts(bench, a_number(), a_number(), a_number(), ip=None) == [None, None, "budget"]


@pytest.mark.parametrize("lane", ["own", "real"])
def test_an_approval_gives_back_what_was_counted(store: Store, lane: Lane) -> None:
    """Where a limit is net of approved, in either lane."""
    bench = bench_of(store, lane)
    begun = bench.service.start("default", a_start(a_test_number(), ip=IP))
    assert bench.service.check("default", begun.id, CODE).approved
    assert starts(bench, a_test_number(), a_test_number(), a_test_number()) == [None, None, "ip"]


def test_wrong_codes_for_real_count_with_everybody(store: Store) -> None:
    """Those of a test number and an address fill what the address may type wrongly."""
    bench = bench_of(store, "real")
    assert guesses(bench, a_test_number(), 3) == ["pending", "pending", "ip-wrong-codes"]
    assert guesses(bench, a_number(), 2) == ["pending", "ip-wrong-codes"]


def test_wrong_codes_of_its_own_are_counted_by_the_number(store: Store) -> None:
    """`own`: up to the number's limit, and by no other key; an address that typed them may type as many for people."""
    bench, to = bench_of(store, "own"), a_test_number()
    assert guesses(bench, to, 4) == ["pending", "pending", "pending", "number-wrong-codes"]
    assert starts(bench, to) == ["number-wrong-codes"]
    assert guesses(bench, a_number(), 3) == ["pending", "pending", "ip-wrong-codes"]
    assert guesses(bench, a_test_number(), 3) == ["pending"] * 3


@pytest.mark.parametrize("lane", ["none", "own", "real"])
def test_a_test_number_is_sent_nothing_and_has_no_events(alone: Store, lane: Lane) -> None:
    """Whatever it counts: no message, no event, and each answer says that it is one."""
    bench, to = bench_of(alone, lane), a_test_number()
    begun = bench.service.start("default", a_start(to, ip=IP))
    bench.service.check("default", begun.id, wrong(CODE))
    assert bench.service.check("default", begun.id, CODE).approved
    canceled = bench.service.start("default", a_start(to, "other"))
    bench.service.cancel("default", canceled.id)
    shown = bench.service.status("default", begun.id)
    assert (begun.test, shown.test, [line.event for line in shown.timeline]) == (
        True,
        True,
        ["started", "wrong", "approved"],
    )
    assert starts(bench, to, to)[-1] == (None if lane == "none" else "number")
    assert ([*alone.events.read(0)], alone.outbox.depth()) == ([], 0)


def test_a_lane_that_is_none_is_refused(tmp_path: Path) -> None:
    """With the word that is probably meant."""
    file = tmp_path / "verify.toml"
    file.write_text(
        '[providers.fake-a]\nkind = "fake"\n'
        '[[test_numbers]]\nmatch = "+1415556*"\ncode = "246810"\nuntil = 2099-12-31\nlimits = "reel"\n'
    )
    with pytest.raises(ConfigError, match=r"'reel' - at `\$\.test_numbers\[0\]\.limits`; did you mean 'real'\?"):
        config.load(file, None)
