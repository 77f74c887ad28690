"""What a stranger without a key costs: no write of the store for each of his calls, and no memory without bound."""

from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from tests.support.live import PATIENCE_S
from verify_service import codes
from verify_service.policy.live import LivePolicy
from verify_service.store import Store
from verify_service.store.failures import MOST, PER_MINUTE, SHARE, FailedAuthentications
from verify_service.store.policies import Policies
from verify_service.web.readiness import Readiness

WRONG = {"Authorization": "Bearer vk_default_a-wrong-one"}


def commands(store: Store, work: Callable[[], object]) -> int:
    """How many commands the store runs while `work` is done."""
    client: Any = store.link.client()

    def total() -> int:
        found = client.info("commandstats")
        return sum(each["calls"] for name, each in found.items() if name != "cmdstat_info")

    before = total()
    work()
    return total() - before


def test_readiness_is_asked_of_the_store_once_a_second(alone: Store) -> None:
    """A stranger's hundred calls cost what one costs, until a second has passed."""
    now = [0.0]
    tagger = codes.Tagger(codes.new_key())
    readiness = Readiness(alone, LivePolicy(Policies(alone.link, tagger), tagger), lambda: now[0])
    once = commands(alone, readiness.reasons)
    assert once > 0
    assert commands(alone, lambda: [readiness.reasons() for _ in range(100)]) == 0
    now[0] = 0.999
    assert commands(alone, readiness.reasons) == 0
    now[0] = 1.0
    assert commands(alone, lambda: [readiness.reasons() for _ in range(100)]) <= once


def test_readyz_does_not_write_for_each_call(alone: Store) -> None:
    """Two hundred calls of `/readyz` by HTTP: a few probes, as many as seconds have passed."""
    client = LocalClient(alone, ManualClock())
    answers: list[int] = []
    assert commands(alone, lambda: answers.extend(client.request("GET", "/readyz")[0] for _ in range(200))) < 100
    assert set(answers) == {503}


def test_while_one_caller_waits_for_a_hung_store_the_others_are_answered(alone: Store) -> None:
    """They get what was found last, and no thread is held by each of them."""
    now, hung, released = [0.0], Event(), Event()
    tagger = codes.Tagger(codes.new_key())

    class Hanging(LivePolicy):
        def __call__(self) -> Any:
            if now[0] > 0:
                hung.set()
                assert released.wait(PATIENCE_S)
            return super().__call__()

    readiness = Readiness(alone, Hanging(Policies(alone.link, tagger), tagger), lambda: now[0])
    last = readiness.reasons()
    now[0] = 2.0
    waiting = Thread(target=readiness.reasons)
    waiting.start()
    assert hung.wait(PATIENCE_S)
    assert readiness.reasons() == last
    released.set()
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()


def test_wrong_keys_are_counted_in_the_process_first(alone: Store) -> None:
    """The store hears of every thirtieth, and of none any more once the address is refused."""
    client = LocalClient(alone, ManualClock())

    def tries(count: int) -> list[int]:
        return [client.request("GET", "/metrics", headers=WRONG)[0] for _ in range(count)]

    assert commands(alone, lambda: tries(SHARE - 1)) == 0
    told = commands(alone, lambda: tries(1))
    assert 0 < told < 10
    assert commands(alone, lambda: tries(PER_MINUTE - SHARE)) <= (PER_MINUTE // SHARE - 1) * told
    refused: list[int] = []
    assert commands(alone, lambda: refused.extend(tries(200))) == 0
    assert set(refused) == {429}


def test_what_other_processes_counted_refuses_here_as_well(store: Store) -> None:
    """Three hundred that were told by two processes are enough, whichever is asked next."""
    tagger = codes.Tagger(codes.new_key())
    one, other = (FailedAuthentications(store.link, tagger) for _ in range(2))
    for _ in range(PER_MINUTE // 2):
        assert (one.hit("192.0.2.1"), other.hit("192.0.2.1")) == (0, 0)
    assert [one.hit("192.0.2.1") for _ in range(SHARE - 1)] == [0] * (SHARE - 1)
    assert 1 <= one.hit("192.0.2.1") <= 61
    assert other.hit("192.0.2.2") == 0


def test_many_addresses_are_remembered_within_bounds(alone: Store) -> None:
    """Each address of a /64 is one; of more addresses than fit the oldest is forgotten, and none of them is a write."""
    failures = FailedAuthentications(alone.link, codes.Tagger(codes.new_key()))

    def fail() -> None:
        for each in range(MOST + 500):
            assert failures.hit(f"10.{each >> 16}.{each >> 8 & 255}.{each & 255}") == 0

    assert commands(alone, fail) == 0
    assert failures.remembered == MOST
    rotating = [failures.hit(f"2001:db8::{each:x}") for each in range(PER_MINUTE + 1)]
    assert rotating[:PER_MINUTE] == [0] * PER_MINUTE
    assert rotating[-1] >= 1
