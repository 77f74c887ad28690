"""Our limits against the strategies of `limits` as oracles: same grammar, same verdicts, to the millisecond."""

import itertools
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bench import a_start, make_bench
from tests.support.concurrency import at_once, numbers
from tests.support.limit_state import limit_state
from tests.support.oracle import EPOCH, Oracle, Window
from verify_service.policy import specs
from verify_service.store import Store
from verify_service.store.connection import Argument, Call, Link, prefix

pytestmark = pytest.mark.slow


@dataclass
class Limit:
    """A limit of ours with a key of its own, as the `hold` script takes it."""

    windows: Sequence[Window]
    name: str = "limit"
    enforced: bool = True

    def __post_init__(self) -> None:
        self.key = f"{prefix(0)}limit:{self.name}:{secrets.token_hex(10)}"
        windows = [specs.Window(amount, seconds * 1000) for amount, seconds in self.windows]
        self.spec = specs.LimitSpec(self.name, self.enforced, windows).pack()


def hold(link: Link, limits: Sequence[Limit], at: int, nonce: str, *, peek: bool = False) -> tuple[str, int]:
    """(the limit that refuses or '', how long to wait in milliseconds)."""
    kinds = " ".join("limit?" if peek else "limit" for _ in limits)
    args: list[Argument] = [at, nonce, kinds, *(limit.spec for limit in limits)]
    name, wait, *_ = link.call(Call(0, "hold", [limit.key for limit in limits], args))
    return name.decode(), wait


def release(link: Link, limit: Limit, at: int, nonce: str) -> None:
    link.call(Call(0, "release", [limit.key], [at, nonce]))


def passes(link: Link, limit: Limit, at: int) -> int:
    """How many hits the limit admits at `at`, until it refuses."""
    nonces = (secrets.token_hex(8) for _ in itertools.count())
    return sum(1 for _ in itertools.takewhile(lambda nonce: hold(link, [limit], at, nonce)[0] == "", nonces))


amounts = st.one_of(st.integers(1, 6), st.sampled_from([31, 32, 33, 34]), st.integers(7, 60))
periods = st.sampled_from([5, 6, 7, 10, 30, 60, 90, 3600])
window_lists = st.lists(st.tuples(amounts, periods), min_size=1, max_size=3, unique_by=lambda window: window[1])


@st.composite
def traffic(draw: st.DrawFn) -> tuple[list[list[Window]], list[tuple[str, int, int]]]:
    """The windows of one or two limits, and steps: how time moves, by how much, and how many hits come then."""
    limits = draw(st.lists(window_lists, min_size=1, max_size=2))
    edges = sorted({seconds * 1000 + off for windows in limits for _, seconds in windows for off in (-1, 0, 1)})
    longest = max(edges)
    gaps = st.one_of(
        st.tuples(st.just("by"), st.sampled_from([0, 1, *edges])),
        st.tuples(st.just("by"), st.integers(0, longest)),
        st.tuples(st.just("as told"), st.just(0)),
    )
    steps = draw(st.lists(st.tuples(gaps, st.integers(1, 40)), min_size=1, max_size=12))
    return limits, [(kind, by, hits) for (kind, by), hits in steps]


@given(case=traffic(), offset=st.integers(0, 3_600_000))
@settings(max_examples=200)
def test_hits_pass_where_every_window_of_limits_has_room_and_the_wait_is_exact(
    store: Store, case: tuple[list[list[Window]], list[tuple[str, int, int]]], offset: int
) -> None:
    """A hit is admitted where all of the oracle's windows admit it and counts in all or in none; after a refusal the
    stated wait is the first millisecond at which a hit passes, for us and for the oracle."""
    windows, steps = case
    limits = [Limit(each, f"limit-{place}") for place, each in enumerate(windows)]
    oracle = Oracle([window for each in windows for window in each])
    nonces = itertools.count()
    at, told = EPOCH + offset, 0
    for kind, by, hits in steps:
        at, told = at + (told if kind == "as told" else by), 0
        for _ in range(hits):
            refused, wait = hold(store.link, limits, at, f"n{next(nonces)}")
            assert (refused == "") == oracle.hit(at)
            if refused:
                told = wait
                assert wait > 0
                assert not oracle.hit(at + wait - 1, keep=False)
                assert oracle.hit(at + wait, keep=False)
                assert hold(store.link, limits, at + wait - 1, "early", peek=True)[0] != ""
                assert hold(store.link, limits, at + wait, "in time", peek=True) == ("", 0)
                break


@pytest.mark.parametrize("windows", [[(3, 60)], [(40, 60)], [(40, 60), (32, 30), (100, 3600)]])
def test_a_hit_is_given_back_once_however_often_it_is_asked_for(store: Store, windows: list[Window]) -> None:
    """After a give-back the limit admits exactly one more; repeating it gives nothing more."""
    limit = Limit(windows)
    assert hold(store.link, [limit], EPOCH, "given")[0] == ""
    passes(store.link, limit, EPOCH)
    for _ in range(3):
        release(store.link, limit, EPOCH, "given")
    assert passes(store.link, limit, EPOCH + 10) == 1


def test_a_hit_is_given_back_to_the_bucket_that_counted_it(store: Store) -> None:
    """A give-back in a later bucket takes the hit out of its own, so the current one keeps its count."""
    limit = Limit([(40, 60)])
    assert hold(store.link, [limit], EPOCH, "given")[0] == ""
    later = EPOCH + 60_000
    assert limit_state(store.link.client().get(limit.key)).hits == [1]
    for place in range(5):
        assert hold(store.link, [limit], later, f"n{place}")[0] == ""
    release(store.link, limit, EPOCH, "given")
    bucket = later // 60_000
    assert limit_state(store.link.client().get(limit.key)).windows == {60: {bucket: 5, bucket - 1: 0}}


def test_a_hit_that_comes_late_is_counted_where_it_belongs(store: Store) -> None:
    """Of two processes one may be behind: its hit is the older one in the log, and in the bucket of its own time."""
    limit = Limit([(3, 60), (40, 30)])
    for after, nonce in (31_000, "later"), (29_000, "late"), (40_000, "last"):
        assert hold(store.link, [limit], EPOCH + after, nonce)[0] == ""
    found, bucket = limit_state(store.link.client().get(limit.key)), EPOCH // 30_000
    assert found.log == ["last", "later", "late"]
    assert found.windows == {30: {bucket + 1: 2, bucket: 1}}
    assert hold(store.link, [limit], EPOCH + 50_000, "next") == ("limit", 39_001)


def test_what_was_counted_outlives_a_change_of_the_limit(store: Store) -> None:
    """The log, and the counts of the windows that stay, go on under the next revision of the policy."""
    before, after = Limit([(4, 60), (40, 600)]), Limit([(3, 90), (40, 600), (50, 3600)])
    after.key = before.key
    for place in range(3):
        assert hold(store.link, [before], EPOCH, f"n{place}")[0] == ""
    assert hold(store.link, [after], EPOCH + 1, "refused") == ("limit", 90_000)
    assert hold(store.link, [after], EPOCH + 90_001, "passes")[0] == ""
    assert limit_state(store.link.client().get(after.key)).hits == [3, 4, 1]


@pytest.mark.parametrize("amount", [1, 5, 32, 33, 60])
def test_concurrent_hits_at_limit_k_admit_exactly_k(store: Store, amount: int) -> None:
    """However many come at once, as many pass as the limit allows."""
    limit = Limit([(amount, 60)])
    nonces = [f"n{place}" for place in range(2 * amount + 10)]
    refusals = at_once(*[lambda nonce=nonce: hold(store.link, [limit], EPOCH, nonce)[0] for nonce in nonces])
    assert refusals.count("") == amount


def test_one_limit_that_refuses_keeps_the_others_from_counting(store: Store) -> None:
    """All or nothing over limits as over windows: the limit with room has all of its room afterwards."""
    narrow, wide = Limit([(1, 60)], "narrow"), Limit([(5, 60), (50, 600)], "wide")
    assert hold(store.link, [narrow, wide], EPOCH, "first")[0] == ""
    for place in range(10):
        assert hold(store.link, [narrow, wide], EPOCH, f"refused{place}") == ("narrow", 60_001)
    assert passes(store.link, wide, EPOCH) == 4


def test_an_observed_limit_refuses_nothing_and_counts_up_to_its_amount(store: Store) -> None:
    """A limit in observe mode is named where it would have refused, and then neither refuses nor counts."""
    limit = Limit([(2, 60)], enforced=False)
    answers = [
        store.link.call(Call(0, "hold", [limit.key], [EPOCH, f"n{place}", "limit", limit.spec])) for place in range(4)
    ]
    held, watched = [b"", 0, [], [1]], [b"", 0, [b"limit"], []]
    assert [answer[:4] for answer in answers] == [held, held, watched, watched]
    assert limit_state(store.link.client().get(limit.key)).log == ["n1", "n0"]


def test_every_key_of_a_limit_ends_with_its_longest_window(store: Store) -> None:
    """The counts and the marker of a give-back each have a time to live that covers what they are needed for."""
    limit = Limit([(3, 60), (40, 600)])
    hold(store.link, [limit], EPOCH, "given")
    release(store.link, limit, EPOCH, "given")
    hold(store.link, [limit], EPOCH, "kept")
    client = store.link.client()
    assert 1_190_000 < client.pttl(limit.key) <= 1_200_000
    marker = limit.key.replace("limit:", "given:", 1) + ":given"
    assert 590_000 < client.pttl(marker) <= 600_000


@pytest.fixture
def phones() -> Iterator[str]:
    return numbers(212)


@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_an_approval_gives_back_what_its_start_had_taken_and_nothing_else(
    store: Store, phones: Iterator[str], mode: str
) -> None:
    """A start that an observed limit had no room for took nothing, so its approval gives nothing back; one that was
    counted is given back once."""
    bench = make_bench(
        store,
        f"""
        [code]
        guess_ceiling = 1.0
        [[limit]]
        name = "ip"
        of = ["ip"]
        allow = "33/hour"
        net_of_approved = true
        mode = "{mode}"
        """,
    )
    key = f"{prefix(0)}limit:ip:{bench.tagger.tag('limit', 'ip', '203.0.113.9')}"

    def hits() -> list[float]:
        return limit_state(store.link.client().get(key)).hits

    started = [bench.service.start("default", a_start(next(phones), ip="203.0.113.9")) for _ in range(33)]
    if mode == "observe":
        started.append(bench.service.start("default", a_start(next(phones), ip="203.0.113.9")))
    assert hits() == [33]
    last = started[-1].id
    assert bench.service.check("default", last, bench.code(last)).approved
    for _ in range(2):  # The check has done it; the dispatcher only carries to other partitions.
        assert hits() == [33 if mode == "observe" else 32]
        while store.outbox.carry(0, 1000):
            pass
