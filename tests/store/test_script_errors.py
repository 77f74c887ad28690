"""An error in a script writes nothing: start, check and settle compute and pack first, and write last.

They run as they are on a real server; only `redis.call` is watched, and raises where a test says so.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bench import Bench, a_start, make_bench, wrong
from tests.support.live import patient
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import Problem, StoreUnavailable
from verify_service.model import TimelineEvent
from verify_service.store import Store
from verify_service.store.entries import Sent, Settlement
from verify_service.store.functions import LIBRARY

pytestmark = pytest.mark.slow

TO = "+14155550123"
POLICY = """
[code]
guess_ceiling = 1
checks = 2
cooldown = ["1 second"]
[prices]
default = 0.05
[[limit]]
name = "number"
of = ["number"]
allow = "6/hour; 100/day"
net_of_approved = true
[[limit]]
name = "ip"
of = ["ip"]
allow = "4/hour"
[[limit]]
name = "watched"
of = ["country"]
allow = "1/hour"
mode = "observe"
[[limit]]
name = "wrong"
of = ["number"]
counts = "wrong-codes"
allow = "40/day"
[[rule]]
name = "spend"
kind = "budget"
of = ["country"]
allow = "$50/day"
times_usual = 3
share_of_all = 0.5
at_least = 20
mode = "enforce"
[[rule]]
name = "pumping"
mode = "enforce"
"""
SPY = """
local nth, seen = 0, {}
local function watch(command, key)
  seen[#seen + 1] = command .. ' ' .. tostring(key)
  if #seen == nth then error('an error that a test put here') end
end
local function spied(...)
  watch(...)
  return redis.call(...)
end
local function pspied(...)
  watch(...)
  return redis.pcall(...)
end
redis.register_function{function_name = 'watch', flags = {'no-writes'}, callback = function(_, ARGV)
  local said = seen
  nth, seen = tonumber(ARGV[1]), {}
  return said
end}
"""
# What cannot fail whatever type the key has, and what changes one that was read by its type before.
SAFE = {"SET", "DEL", "PEXPIRE"}
TYPED = {
    "XADD": {"XLEN", "XRANGE"},
    "XACK": {"XRANGE"},
    "XDEL": {"XRANGE"},
    "HSET": {"HLEN", "HGET", "HMGET"},
    "ZADD": {"ZCARD"},
    "ZREM": {"ZCARD", "ZSCORE"},
    "ZREMRANGEBYSCORE": {"ZCARD"},
}
READS = {"GET", "MGET", "HGET", "HMGET", "HLEN", "XLEN", "XRANGE", "XPENDING", "ZCARD", "ZSCORE", "TIME"}


class Watched:
    """A service on a server of its own, whose functions tell of each command."""

    def __init__(self, url: str) -> None:
        self.store = Store(patient(url))
        self.store.prepare()
        self.client: Any = self.store.link.client()
        library = re.sub(r"redis\.(p?)call\(", r"\1spied(", LIBRARY)
        first, second, body = library.split("\n", 2)
        self.client.function_load(f"{first}\n{second}\n{SPY}\n{body}", replace=True)
        self.bench: Bench = make_bench(self.store, POLICY)

    def seen(self, fail_at: int = 0) -> list[str]:
        """The commands since the last call; from now on the one at this place fails."""
        return [each.decode() for each in self.client.fcall("watch", 0, fail_at)]

    def dump(self) -> dict[bytes, tuple[bytes, int]]:
        """The whole store, and when each key ends."""
        return {key: (self.client.dump(key), self.client.pexpiretime(key)) for key in self.client.keys("*")}

    def restore(self, dumped: dict[bytes, tuple[bytes, int]]) -> None:
        self.client.flushdb()
        for key, (value, till) in dumped.items():
            self.client.restore(key, max(till, 0), value, absttl=till > 0)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        yield Watched(server.url)


Act = Callable[[], object]
Case = Callable[[Watched], Act]


def begun(watched: Watched, **fields: Any) -> str:
    return watched.bench.service.start("default", a_start(TO, ip="203.0.113.7", **fields)).id


def first_start(watched: Watched) -> Act:
    return lambda: watched.bench.service.start("default", a_start(TO, ip="203.0.113.7"), "key-1")


def resend(watched: Watched) -> Act:
    begun(watched)
    watched.bench.clock.advance(5)
    return lambda: begun(watched)


def other_binding(watched: Watched) -> Act:
    begun(watched)
    return lambda: begun(watched, binding={"payee": "ACME"})


def refused_start(watched: Watched) -> Act:
    for _ in range(4):
        begun(watched)
        watched.bench.clock.advance(5)

    def start() -> None:
        with pytest.raises(Problem) as refused:
            begun(watched)
        if isinstance(refused.value, StoreUnavailable):
            raise refused.value

    return start


def start_of_a_new_day(watched: Watched) -> Act:
    begun(watched)
    watched.bench.clock.advance(86_400)
    return lambda: begun(watched)


def right_code(watched: Watched) -> Act:
    """After a resend, so that two hits of a limit are given back, and with a message that nobody took yet."""
    verification = begun(watched)
    watched.bench.clock.advance(5)
    begun(watched)
    code = watched.bench.code(verification)
    return lambda: watched.bench.service.check("default", verification, code, idempotency_key="key-2")


def wrong_code(watched: Watched) -> Act:
    verification = begun(watched)
    code = wrong(watched.bench.code(verification))
    return lambda: watched.bench.service.check("default", verification, code)


def last_code(watched: Watched) -> Act:
    verification = begun(watched)
    code = wrong(watched.bench.code(verification))
    watched.bench.service.check("default", verification, code)
    return lambda: watched.bench.service.check("default", verification, code)


def settled(watched: Watched, *, due: int | None) -> Act:
    begun(watched)
    (entry,) = watched.store.outbox.take(0, "test", 1, 0)
    at = watched.bench.clock.now()
    by = Sent("a", "m1", "a/Verify/sms", due=due and at + due, within="5 s")
    told = Settlement(entry, [TimelineEvent(at=at, event="sent", provider="a")], sent=by)
    # Its own call alone: whose message the provider's id names is another one's.
    return lambda: watched.store.link.pipeline(watched.store.outbox._settling([told]))


def settle(watched: Watched) -> Act:
    return settled(watched, due=None)


def settle_until_a_receipt(watched: Watched) -> Act:
    return settled(watched, due=5_000)


CASES: list[Case] = [
    *(first_start, resend, other_binding, refused_start, start_of_a_new_day),
    *(right_code, wrong_code, last_code, settle, settle_until_a_receipt),
]


@pytest.mark.parametrize("case", CASES)
def test_an_error_at_any_command_writes_nothing(watched: Watched, case: Case) -> None:
    """One at each command up to the first write leaves the store as it was, byte by byte. From there on nothing is
    read, and nothing is written that could fail: what goes by type was read by type in the same call."""
    act = case(watched)
    before = watched.dump()
    for place in range(1, 100):
        watched.seen(place)
        with pytest.raises(StoreUnavailable):
            act()
        failed = watched.seen()[-1].split()[0]
        assert watched.dump() == before, f"command {place}, {failed}"
        if failed not in READS:
            break
    watched.seen()
    act()
    commands = [each.split(" ", 1) for each in watched.seen()]
    assert watched.dump() != before
    read, written = commands[: place - 1], commands[place - 1 :]
    assert {command for command, _ in read} <= READS
    # The first of all may fail: nothing has been written then.
    for command, key in written[1:]:
        known = {(reader, key) for reader in TYPED.get(command, ())}
        assert command in SAFE or known & {(reader, of) for reader, of in read}, (command, key)


@pytest.mark.parametrize("case", CASES)
def test_a_key_of_another_type_is_all_or_nothing(watched: Watched, case: Case) -> None:
    """Where a key that a script uses is of another type, it writes all that it would or nothing at all."""
    act = case(watched)
    began, at = watched.dump(), watched.bench.clock.ms
    watched.seen()
    act()
    keys = sorted({each.split(" ", 1)[1] for each in watched.seen()} - {"nil"})
    refused = 0
    for key in (key for key in keys if key.startswith("vs:")):
        watched.restore(began)
        watched.bench.clock.ms = at
        kind = watched.client.type(key)
        watched.client.delete(key)
        if kind in (b"string", b"none"):
            watched.client.rpush(key, "x")
        else:
            watched.client.set(key, "x")
        before = watched.dump()
        try:
            act()
        except StoreUnavailable:
            refused += 1
            assert watched.dump() == before, key
    assert refused > 0
