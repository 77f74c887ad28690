"""Whether somebody still waits for a message that is late: asked for many at once, so that a queue of any length costs
each of its messages the same."""

import threading
import time
from collections import deque

from verify_service.dispatch.job import FRESH_S, Attempt, Job
from verify_service.dispatch.pools import Pools
from verify_service.store.outbox import Outbox

MOST = 64


class Wanted:
    """What one dispatcher knows of that. Thread-safe."""

    def __init__(self, outbox: Outbox, pools: Pools[Attempt]) -> None:
        self._outbox = outbox
        self._pools = pools
        self._asking = threading.Lock()
        self._late: deque[Job] = deque()

    def holds(self, job: Job, pool: str) -> bool:
        """False where nobody waits any more; True while the store is silent: a message too many does less harm than one
        too few. Who asks does so for all who wait to ask, and for those that stand next in the pool."""
        if job.is_late:
            self._late.append(job)
            with self._asking:
                if job.is_late:
                    self._ask(pool)
        return not job.unwanted

    def _ask(self, pool: str) -> None:
        jobs = {id(job): job for job in (self._late.popleft() for _ in range(len(self._late)))}
        jobs |= {id(each.job): each.job for each in self._pools.first(pool, MOST)}
        late = [job for job in jobs.values() if job.is_late]
        wanted = self._outbox.are_wanted([job.entry for job in late])
        until = time.monotonic() + FRESH_S
        for job, still in zip(late, wanted, strict=True):
            job.fresh_until, job.unwanted = until, not still
