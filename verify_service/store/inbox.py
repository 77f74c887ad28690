"""The fake provider's part of the store: sealed messages, sealed behaviour, and a bell for who waits."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import redis

from verify_service.errors import StoreUnavailable
from verify_service.store.connection import Call, Link, prefix
from verify_service.store.records import readable_record
from verify_service.store.url import PATIENCE

LIFE_MS = 3_600_000
BEHAVIOUR_LIFE_S = 86_400
BELL = "vs:inbox"
AGAIN_S = 0.2
_BASE = f"{prefix(0)}fake:"


class InboxStore:
    """Messages by (tenant, number tag), newest first. Everything that goes in is sealed already."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def put(self, tenant: str, tag: str, sealed: Sequence[bytes], consulted: bool) -> bytes | None:
        """Stores the messages; or answers the sealed behaviour rules, where some are set and were not `consulted`."""
        keys = [f"{_BASE}inbox:{tenant}:{tag}", f"{_BASE}inbox:{tenant}:*", f"{_BASE}behaviour"]
        args: list[str | bytes | int] = [BELL, f"{tenant}:{tag}", "1" if consulted else "0", LIFE_MS, *sealed]
        answer = self._link.call(Call(0, "put", keys, args))
        return answer[1] if answer[0] == b"behave" else None

    def messages(self, tenant: str, tag: str) -> list[bytes]:
        """The sealed messages to a number, or to all of the tenant's numbers where the tag is `*`."""
        return list(self._link.command(0, ["LRANGE", f"{_BASE}inbox:{tenant}:{tag}", 0, -1]))

    def empty(self, tenant: str) -> None:
        """Forgets the tenant's messages."""
        self._delete(0, f"{_BASE}inbox:{tenant}:*")

    def behaviour(self) -> bytes | None:
        """The sealed rules, or None."""
        rules: bytes | None = self._link.command(0, ["HGET", f"{_BASE}behaviour", "rules"])
        return rules

    def set_behaviour(self, sealed: bytes | None, uses: Sequence[int | None]) -> None:
        """Replaces the rules; `uses` is how often each applies, None for always."""
        key = f"{_BASE}behaviour"
        fields: list[Any] = ["rules", sealed] if sealed is not None else []
        for index, left in enumerate(uses):
            if left is not None:
                fields += [f"left:{index}", left]
        try:
            pipe = self._link.client(0).pipeline(transaction=True)
            pipe.delete(key)
            if fields:
                pipe.execute_command("HSET", key, *fields)
                pipe.expire(key, BEHAVIOUR_LIFE_S)
            pipe.execute()
        except redis.RedisError as error:
            raise StoreUnavailable(type(error).__name__) from None

    def take(self, index: int) -> bool:
        """Uses up one of a rule's uses; False where none was left."""
        return bool(self._link.call(Call(0, "take", [f"{_BASE}behaviour"], [index])))

    def forget(self, partition: int, number: str, tenant: str) -> None:
        """Forgets one number's verifications, messages and consent with the tenant, and its limits.

        Looks through the whole partition: for test lanes.
        """
        base, ids = prefix(partition), set()
        own = (
            *("limit:", "given:", "answered:", "unreachable:"),
            *(f"live:{number}:{tenant}:", f"consent:{number}:{tenant}:", f"fake:inbox:{tenant}:"),
        )
        try:
            client = self._link.client(partition)
            found = client.scan_iter(match=f"{base}*:{number}*", count=1000)
            doomed = [key for key in found if f"{key.decode()}:".removeprefix(base).startswith(own)]
            records = list(client.scan_iter(match=f"{base}verification:*", count=1000))
            for key in records:
                packed = self._link.command(partition, ["GET", key])
                record = readable_record(packed)
                if record and (record.number, record.tenant) == (number, tenant):
                    ids.add(key.decode().rpartition(":")[2])
                    doomed.append(key)
            for key in client.scan_iter(match=f"{base}idempotency:*", count=1000):
                kept = msgspec.msgpack.decode(self._link.command(partition, ["GET", key]) or b"\xc0")
                if kept and len(kept) > 2 and kept[2][1] in ids:
                    doomed.append(key)
            for key in doomed:
                client.unlink(key)
        except redis.RedisError as error:
            raise StoreUnavailable(type(error).__name__) from None

    def _delete(self, partition: int, pattern: str) -> None:
        try:
            client = self._link.client(partition)
            for key in client.scan_iter(match=pattern, count=1000):
                client.unlink(key)
        except redis.RedisError as error:
            raise StoreUnavailable(type(error).__name__) from None


class Bell:
    """Wakes whoever waits for a message, in this process: one subscription however many wait."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._waiting: dict[str, set[threading.Event]] = {}
        self._subscribed: threading.Event | None = None

    @contextmanager
    def listening(self, tenant: str, tag: str) -> Iterator[threading.Event]:
        """An event that is set by each message to the number (`*`: any of the tenant's) from now on."""
        topic, rung = f"{tenant}:{tag}", threading.Event()
        with self._lock:
            self._waiting.setdefault(topic, set()).add(rung)
            if self._subscribed is None:
                self._subscribed = threading.Event()
                threading.Thread(target=self._listen, args=(self._subscribed,), name="inbox-bell", daemon=True).start()
            subscribed = self._subscribed
        try:
            subscribed.wait(PATIENCE)
            yield rung
        finally:
            with self._lock:
                self._waiting[topic].discard(rung)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    def _ring(self, *topics: str) -> None:
        with self._lock:
            for topic in topics or tuple(self._waiting):
                for rung in self._waiting.get(topic, ()):
                    rung.set()

    def _listen(self, subscribed: threading.Event) -> None:
        while True:
            with suppress(redis.RedisError, OSError, StoreUnavailable), self._link.client(0).pubsub() as subscription:
                subscription.subscribe(BELL)
                while True:
                    message = subscription.get_message(timeout=30.0)
                    if message and message["type"] == "subscribe":
                        subscribed.set()
                        self._ring()  # The client also subscribes anew by itself; what came between is seen by looking.
                    elif message:
                        topic = message["data"].decode()
                        self._ring(topic, f"{topic.partition(':')[0]}:*")
            with self._lock:
                if not self._waiting:
                    self._subscribed = None
                    return
            self._ring()  # Who finds the store silent need not wait on.
            time.sleep(AGAIN_S)
