"""What must be true after a soak: every answer kept its promise, and the store's memory is back where it was."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis

from benchmarks.processes import ROLES
from verify_service.codes import KeyRing
from verify_service.store.layouts import Record
from verify_service.store.partitions import of_id
from verify_service.testing import VerifyClient, VerifyServer

ENDED_WITHIN_S = 30.0
# What is kept for ever is little: the policy, and a stream's first block.
SLACK_BYTES = 2_000_000


@dataclass
class Report:
    """What happened. `faults` are broken promises, each in one line; without any the soak has passed."""

    seconds: float
    starts: int = 0
    resends: int = 0
    approved: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    slowest_return: float = 0.0
    duplicates: int = 0
    full_seconds: float = 0.0
    memory_kept: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{self.kills[role]} {role}" for role in ROLES)
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return (
            f"soak of {self.seconds:.0f} s: {self.starts} starts, {self.resends} resends, {self.approved} approved; "
            f"answers {answers}, {self.unanswered} calls unanswered and repeated; killed {kills}; "
            f"back within {self.slowest_return:.1f} s; disk full for {self.full_seconds:.0f} s; "
            f"{self.memory_kept / 1000:.0f} kB of memory kept; {self.duplicates} messages sent twice; "
            f"{len(self.faults)} faults"
        )


@dataclass
class Life:
    """One verification as its caller knows it."""

    to: str
    messages: int = 1
    approved: bool = False


@contextmanager
def store_of(server: VerifyServer) -> Iterator[Any]:
    """A connection to the service's embedded store."""
    with redis.Redis.from_url((server.state_dir / "store-url").read_text().strip()) as store:
        yield store


def reckon(server: VerifyServer, lives: Mapping[str, Life]) -> tuple[list[str], int]:
    """Broken promises, in a line each, and how many messages were sent twice.

    Every start that was answered 201 has its end in the timeline, as many as it queued, and the right code in the
    inbox.
    """
    client = VerifyClient(server)
    faults: list[str] = []
    duplicates = 0
    keys = KeyRing((server.state_dir / "keys").read_text())
    with store_of(server) as store:
        for one, life in lives.items():
            events = _settled(client, one)
            if not (life.messages <= events["queued"] == events["sent"] + events["failed"]):
                faults.append(f"{one}: {life.messages} messages were answered 201, but {dict(events)}")
            if events["approved"] != life.approved:
                faults.append(f"{one}: approved {life.approved} by answer, {events['approved']} times in its timeline")
            record = Record.open(store.get(f"vs:{{{of_id(one, 1)}}}:verification:{one}"))
            code = keys.code(record.kid, record.nonce, record.tenant, record.purpose, 6)
            messages = client.request("GET", f"/fake/inbox/{life.to}")[2]["messages"]
            codes = [message["code"] for message in messages if message["verification_id"] == one]
            if len(codes) < events["sent"] or not codes or set(codes) != {code}:
                faults.append(f"{one}: {len(codes)} messages with {len(set(codes))} codes for {dict(events)}")
            duplicates += max(0, len(codes) - events["sent"])
    client.close()
    return faults, duplicates


def _settled(client: VerifyClient, one: str) -> Counter[str]:
    deadline = time.monotonic() + ENDED_WITHIN_S
    while True:
        events = Counter(line["event"] for line in client.status(one)["timeline"])
        if events["sent"] + events["failed"] >= events["queued"] or time.monotonic() > deadline:
            return events
        time.sleep(0.02)


def memory_left(server: VerifyServer) -> int:
    """Bytes that the store takes when all that has a time to live has ended, without its streams, which are trimmed.

    The wait is cut short: what lives for a time is made to end now.
    """
    with store_of(server) as store:
        streams: list[bytes] = []
        others: list[bytes] = []
        for key in store.scan_iter(count=1000):
            (streams if store.type(key) == b"stream" else others).append(key)
        for page in (others[place : place + 1000] for place in range(0, len(others), 1000)):
            for key in page:
                if store.pttl(key) > 0:
                    store.pexpire(key, 1)
            time.sleep(0.002)
            store.exists(*page)  # Now it sees that they have ended.
        in_streams = sum(int(store.memory_usage(key, samples=0)) for key in streams)
        return int(store.info("memory")["used_memory"]) - in_streams
