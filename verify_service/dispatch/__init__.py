"""The dispatcher: from the outbox to the providers. Choosing, retrying, timing, logging and health live here only.

A message's life, top down. The queue reader (`reader.py`) takes it from the outbox under the dispatcher's lease. The
planner (`planner.py`) says which delivery paths it may go, and in what order. It becomes a job (`job.py`), and
`failover.py` sends it from path to path: an attempt that fails gives way to the next, and one that is not answered in
time goes on beside it. Each provider has a pool of threads (`pools.py`), and each path its own room (`rooms.py`). What
finds no room, or waits for its next round, is put aside (`in_flight.py`, `backlog.py`) and read again later. In the
pool's thread an attempt (`attempts.py`) asks, for many at once, whether the message is still wanted (`wanted.py`),
composes it, waits for its sender's turn and sends it (`sending.py`). One writer (`outcomes.py`) puts what became of it
into the store, many outcomes in one step. What the vendor says later is in the store before it is acknowledged
(`acknowledging.py`), and what all this shows of the providers is reported to all dispatchers (`health.py`). Beside it,
`webhooks.py` tells the tenants what happened.
"""

from verify_service.dispatch.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
