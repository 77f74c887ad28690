"""What only observes on a cluster: done without while its primary is silent, and known where it would have refused."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest

from tests.support.bench import Bench, make_bench
from tests.support.cluster import POLICY, TENANT, Cluster, begin, country_partition, home_of, numbers_where, port_of
from tests.support.live import until
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import Blocked, RateLimited, StoreUnavailable
from verify_service.store import Store

pytestmark = pytest.mark.slow

PRICES = "[prices]\nUS = 0.25\n"
NUMBER = '[[limit]]\nname = "number"\nof = ["number"]\nallow = "1/hour"\n'


def country(mode: str) -> str:
    """Three starts an hour in the United States, and pumping watched there."""
    return (
        f'[[limit]]\nname = "us"\nof = ["country"]\nallow = "3/hour"\nmode = "{mode}"\n'
        f'[[rule]]\nname = "pumping"\nmode = "{mode}"\n'
    )


class Torn(NamedTuple):
    """A cluster one of whose primaries is about to fall silent; all that is counted by country lies there."""

    store: Store
    bench: Bench
    doomed: EmbeddedValkey
    safe: Iterator[str]
    """Numbers of the other primaries."""


def torn(cluster: Cluster, policy: str) -> Torn:
    store = Store(cluster.url)
    store.prepare()
    doomed = next(node for node in cluster.nodes if node.port != port_of(store, 0))
    dead = {part for part in range(32) if port_of(store, part) == doomed.port}

    def fits(bench: Bench) -> bool:
        limit = bench.tagger.tag("limit", "country", "US")
        return {country_partition(bench), store.verifications.partition(limit)} <= dead

    # Each bench has a tag key of its own, and so its own places.
    bench = next(bench for bench in iter(lambda: make_bench(store, policy), None) if fits(bench))
    return Torn(store, bench, doomed, numbers_where(bench, lambda part: part not in dead))


def event_of(bench: Bench, to: str) -> dict[str, Any]:
    """The last start of a number, read from its own partition."""
    tag, part = bench.tagger.number(to), home_of(bench, to)
    return [event for event in bench.store.events._partition(part, 0) if event.get("number") == tag][-1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One of the test's own, because it is broken."""
    made = Cluster(tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_start_does_without_what_only_observes(cluster: Cluster) -> None:
    """Its partitions hang, then are dead, then answer again: starts of other numbers are admitted all the time, within
    a caller's patience; their events say what did not judge them, until it does again."""
    place = torn(cluster, POLICY + country("observe"))
    until(lambda: "unjudged" not in event_of(place.bench, _begun(place)))
    os.kill(place.doomed.pid, signal.SIGSTOP)
    try:
        took = []
        for _ in range(4):
            began = time.monotonic()
            to = _begun(place)
            took.append(time.monotonic() - began)
            assert event_of(place.bench, to)["unjudged"] == ["us", "pumping"]
        assert median(took) < 2
    finally:
        os.kill(place.doomed.pid, signal.SIGCONT)
    until(lambda: "unjudged" not in event_of(place.bench, _begun(place)))
    place.doomed.kill()
    for _ in range(4):
        assert event_of(place.bench, _begun(place))["unjudged"] == ["us", "pumping"]
    place.doomed.start()
    until(lambda: "unjudged" not in event_of(place.bench, _begun(place)))


def _begun(place: Torn) -> str:
    to = next(place.safe)
    begin(place.bench, to)
    return to


def test_what_is_enforced_is_never_done_without(cluster: Cluster) -> None:
    """The same partitions, hanging and dead: a start is a 503 and leaves nothing behind."""
    place = torn(cluster, POLICY + country("enforce"))
    os.kill(place.doomed.pid, signal.SIGSTOP)
    try:
        for to in islice(place.safe, 2):
            with pytest.raises(StoreUnavailable):
                begin(place.bench, to)
    finally:
        os.kill(place.doomed.pid, signal.SIGCONT)
    until(lambda: _passes(place))
    place.doomed.kill()
    to = next(place.safe)
    with pytest.raises(StoreUnavailable):
        begin(place.bench, to)
    pointer = f"vs:{{{home_of(place.bench, to)}}}:live:{place.bench.tagger.number(to)}:{TENANT}:login"
    assert place.store.link.command(home_of(place.bench, to), ["EXISTS", pointer]) == 0


def _passes(place: Torn) -> bool:
    with suppress(StoreUnavailable, Blocked, RateLimited):
        _begun(place)
    return not place.store.link._silent


def test_a_refusal_says_what_could_not_be_asked(cluster: Cluster) -> None:
    """The number's own limit refuses while the country's partition is dead: 429, and a decision that lists it."""
    place = torn(cluster, POLICY + NUMBER + country("observe"))
    to = _begun(place)
    place.doomed.kill()
    place.bench.clock.advance(2)
    with pytest.raises(RateLimited) as refused:
        begin(place.bench, to)
    found = place.bench.explain.decision(TENANT, refused.value.members["decision"])
    assert (found.by, found.unjudged) == ("number", ("us", "pumping"))


def test_what_observes_elsewhere_is_in_the_record_of_the_start(spread: Store) -> None:
    """A start that an observed limit of another partition would have refused is admitted with a decision of its own,
    and without another round trip."""
    bench = make_bench(
        spread, POLICY + '[[limit]]\nname = "us"\nof = ["country"]\nallow = "1/hour"\nmode = "observe"\n'
    )
    part = spread.verifications.partition(bench.tagger.tag("limit", "country", "US"))
    first, second = islice(numbers_where(bench, lambda home: home != part), 2)
    begin(bench, first)
    before = spread.link.round_trips
    begin(bench, second)
    assert spread.link.round_trips - before == 2
    assert "decision" not in event_of(bench, first)
    told = event_of(bench, second)
    assert told["observed"] == ["us"]
    found = bench.explain.decision(TENANT, told["decision"])
    assert (found.decision, found.by) == ("admit", None)
    assert [(each.name, each.verdict, each.count) for each in found.judged if each.kind == "limit"] == [
        ("us", "observe", 1)
    ]
