"""How many threads a pool has at work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.live import until
from verify_service.dispatch.pools import FEW_THREADS, Pool

# Longer than any machine is busy: whoever watched the pool never had its turn.
FAR_BEHIND_S = 3_600.0


@contextmanager
def stalled(items: int, threads: int) -> Iterator[tuple[Pool[int], threading.Semaphore, list[int]]]:
    """A pool with so many items and so many threads at work on them, each until it is let go; and those let go."""
    go_on, ended = threading.Semaphore(0), list[int]()

    def work(item: int) -> None:
        go_on.acquire()
        ended.append(item)

    pool = Pool("pool", work)
    try:
        for item in range(items):
            pool.submit(item)
        until(lambda: pool.relieve(0.0) and pool.awake == threads, "so many threads to be called")
        until(lambda: pool.queued == items - threads, "each to have taken an item")
        yield pool, go_on, ended
    finally:
        pool.close()
        go_on.release(items)


def test_a_thread_that_keeps_others_from_running_rests() -> None:
    """Where the watcher itself comes too late, threads only pass the processor around: who comes back rests, one for
    each such look, however much waits."""
    with stalled(items=20, threads=FEW_THREADS + 2) as (pool, go_on, ended):
        for count in (1, 2):
            assert pool.relieve(FAR_BEHIND_S)
            go_on.release()
            until(lambda: pool.awake == FEW_THREADS + 2 - count, "one to rest")  # noqa: B023
            assert len(ended) == count
            assert pool.queued == 20 - (FEW_THREADS + 2)


def test_a_few_threads_work_on_however_late_the_watcher_is() -> None:
    """They see whether a provider that was slow has become quick."""
    with stalled(items=FEW_THREADS + 3, threads=FEW_THREADS) as (pool, go_on, ended):
        for left in (2, 1, 0):
            assert pool.relieve(FAR_BEHIND_S)
            go_on.release()
            until(lambda: pool.queued == left, "the next item to be taken")  # noqa: B023
            assert pool.awake == FEW_THREADS
        assert len(ended) == 3


def test_a_thread_that_rests_is_called_again_where_calls_stall() -> None:
    """Once the watcher has its turn, a pool whose calls do not come back grows as before."""
    with stalled(items=20, threads=FEW_THREADS + 1) as (pool, go_on, _):
        assert pool.relieve(FAR_BEHIND_S)
        go_on.release()
        until(lambda: pool.awake == FEW_THREADS, "one to rest")
        until(lambda: pool.relieve(0.0) and pool.awake == FEW_THREADS + 3, "more to be called")
