"""Times and lengths of time at their ends: a virtual clock has one; the longest life and cooldown are kept whole."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.support.bench import a_start, make_bench
from tests.support.contract import LocalClient, a_number
from tests.support.live import patient
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import RateLimited
from verify_service.store import Store
from verify_service.store.clock import LATEST_MS, OFFSET_KEY, VirtualClock
from verify_service.web.native import fake

DAY_S = 86_400
POLICY = """
[code]
guess_ceiling = 1
life = "10 days"
cooldown = ["1 second", "10 days"]
[[limit]]
name = "busy"
of = ["ip"]
allow = "40/second"
"""


def test_a_virtual_clock_ends_before_its_numbers_do(tmp_path: Path) -> None:
    """Moving it past 2100 is a 400 that names the field and moves nothing; up to there all is answered, and a window of
    a second counts."""
    with EmbeddedValkey(tmp_path, append_fsync="no") as server:
        store = Store(patient(server.url))
        store.prepare()
        left = 40 * DAY_S
        store.link.command(0, ["SET", OFFSET_KEY, LATEST_MS - time.time_ns() // 1_000_000 - left * 1000])
        client = LocalClient(store, VirtualClock(store.link), POLICY, mounts=[fake])

        def now() -> datetime:
            return datetime.fromisoformat(client.request("GET", "/fake/clock")[2]["now"])

        before = now()
        problem = client.refused("POST", "/fake/clock", {"advance": 31_536_000})
        assert (problem["status"], [error["field"] for error in problem["errors"]]) == (400, ["advance"])
        assert timedelta(0) <= now() - before < timedelta(days=1)
        status, _, moved = client.request("POST", "/fake/clock", {"advance": left - DAY_S})
        assert (status, moved["now"][:10]) == (200, "2099-12-31")
        status, _, made = client.request("POST", "/start", {"to": a_number()})
        assert (status, made["expires_at"][:10]) == (201, "2100-01-10")
        bench = make_bench(store, POLICY)
        bench.clock.ms = LATEST_MS - 1000
        for _ in range(40):
            bench.service.start("default", a_start(a_number(), ip="203.0.113.5"))
        with pytest.raises(RateLimited):
            bench.service.start("default", a_start(a_number(), ip="203.0.113.5"))


def test_the_longest_life_and_cooldown_are_kept_whole(store: Store) -> None:
    """A message at the end of ten days may be followed by another one ten days later: 20 days stand in the record."""
    bench = make_bench(store, POLICY)
    to = a_number()
    first = bench.service.start("default", a_start(to))
    bench.clock.advance(10 * DAY_S - 1)
    second = bench.service.start("default", a_start(to))
    assert second.id == first.id
    with pytest.raises(RateLimited) as refused:
        bench.service.start("default", a_start(to))
    assert refused.value.members["retry_after"] == 1
    found = bench.service.status("default", first.id)
    assert found.expires_at - bench.clock.now() == 1000
    assert found.resend_at - bench.clock.now() == 10 * DAY_S * 1000
