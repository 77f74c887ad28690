"""The way to Redis: one server, Sentinel or Cluster behind the same few calls. Only this package imports redis.

Redis' own retries are off: a script sent twice would count twice, and a caller's patience is about a second. A call
that was provably not run (the node does not know the function, no longer owns the slot, or found it late) is sent once
more.
"""

import threading
import time
from collections.abc import Collection, Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry
from redis.sentinel import Sentinel

from verify_service import tracing
from verify_service.errors import ConfigError, StoreUnavailable
from verify_service.store.deadline import ServerClocks
from verify_service.store.direct import DirectPool
from verify_service.store.functions import placed
from verify_service.store.pipeline import Argument, Batch, Call
from verify_service.store.url import COMMON, PATIENCE, parse

__all__ = ["CLUSTER_PARTITIONS", "ERRORS", "Argument", "Call", "Link", "prefix", "reason"]

CLUSTER_PARTITIONS = 32

# Seconds. As long as the requests take that waited for the threads of those who found the store silent: they would
# else be the next to ask, and wait a second time.
PAUSE = 0.25

# The cluster client's own exceptions are no RedisError.
ERRORS = (redis.RedisError, redis.exceptions.RedisClusterException, OSError)


def prefix(partition: int) -> str:
    """What every key of a partition starts with; the braces are Redis Cluster's hash tag."""
    return f"vs:{{{partition}}}:"


class Link:
    """Connections to the store. `round_trips` counts how often this process has waited for an answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        scheme, hosts, options, query = parse(url)
        self._cluster: Any = None
        self._single: redis.Redis | None = None
        self._direct: DirectPool | None = None
        self._refreshed = 0.0
        self._refreshing = threading.Lock()
        self.partitions = 1
        self.replicas = int(query.get("replicas", "1" if scheme == "sentinel" else "0"))
        self.round_trips = 0
        self.clocks = ServerClocks()
        self._silent: dict[int, float] = {}  # Partition: when it may be asked again.
        self._asking = [threading.Lock() for _ in range(CLUSTER_PARTITIONS)]
        try:
            if scheme == "cluster":
                self.partitions = CLUSTER_PARTITIONS
                self._cluster = RedisCluster(
                    startup_nodes=[ClusterNode(host, port) for host, port in hosts],
                    require_full_coverage=False,
                    # Its own commands only, in the constructor: one dead primary must not keep the rest from us.
                    **options | {"retry": Retry(NoBackoff(), 5)},
                )
                if "replicas" not in query and self._cluster.get_replicas():
                    self.replicas = 1
            elif scheme == "sentinel":
                sentinel = Sentinel(hosts, sentinel_kwargs=COMMON, **options)
                self._single = sentinel.master_for(query["name"])
            else:
                self._single = redis.Redis.from_url(hosts, **options)
                pool = self._single.connection_pool
                pool.connection_class(**pool.connection_kwargs)  # An unknown option shows here, before any call.
                self._direct = DirectPool(pool)
        except (ValueError, TypeError):
            raise ConfigError(
                "VERIFY_REDIS_URL cannot be read; it looks like redis://user:password@host:6379/0"
            ) from None
        except ERRORS as error:
            raise StoreUnavailable(reason(error)) from None

    def client(self, partition: int = 0) -> redis.Redis:
        """A plain client for the node that owns the partition, for what is not one of our functions."""
        return self.owner(prefix(partition))

    def owner(self, key: str) -> redis.Redis:
        """A plain client for the node that owns the key. Raises StoreUnavailable."""
        if self._single is not None:
            return self._single
        try:
            node = self._cluster.get_node_from_key(key)
        except ERRORS as error:
            self._refresh()
            raise StoreUnavailable(reason(error)) from None
        if node is None:
            self._refresh()
            raise StoreUnavailable("no node owns the slot")
        client: redis.Redis = self._cluster.get_redis_connection(node)
        return client

    @property
    def is_cluster(self) -> bool:
        return self._cluster is not None

    def nodes(self) -> list[redis.Redis]:
        """A client for each primary."""
        if self._single is not None:
            return [self._single]
        return [self._cluster.get_redis_connection(node) for node in self._cluster.get_primaries()]

    def call(self, call: Call) -> Any:
        """The function's answer, after one round trip. Raises StoreUnavailable."""
        return self.pipeline([call])[0]

    def pipeline(self, calls: Sequence[Call], optional: Collection[int] = ()) -> list[Any]:
        """The answers of all calls, sent to their nodes at once: one round trip however many.

        Raises StoreUnavailable where any is not answered, or not by as many replicas as are asked for; but calls at the
        places `optional` are answered None then, where their node is not needed for others. While a partition is
        silent, one pipeline at a time asks it, with a pause between, and all others are refused at once: else every
        thread would wait out its patience, and callers would wait for threads.
        """
        if not tracing.is_recorded():
            return self._asked(calls, optional)
        names = dict.fromkeys(call.function for call in calls)
        with tracing.span("FCALL " + " ".join(names), db_system_name="redis", verify_calls=len(calls)):
            return self._asked(calls, optional)

    def _asked(self, calls: Sequence[Call], optional: Collection[int]) -> list[Any]:
        places = list(range(len(calls)))
        if not self._silent:
            return self._pipeline(calls, places, optional)
        asked = {call.partition for call in calls} & self._silent.keys()
        needed = {calls[place].partition for place in places if place not in optional}
        asking: list[threading.Lock] = []
        try:
            for part in asked:
                if time.monotonic() >= self._silent.get(part, 0) and self._asking[part].acquire(blocking=False):
                    asking.append(self._asking[part])
                elif part in needed:
                    raise StoreUnavailable("silent, and another request has just asked or is asking")
                else:
                    places = [place for place in places if calls[place].partition != part]
            answers = self._pipeline(calls, places, optional)
            for place in places:
                if answers[place] is not None or place not in optional:
                    self._silent.pop(calls[place].partition, None)
            return answers
        finally:
            for lock in asking:
                lock.release()

    def _pipeline(self, calls: Sequence[Call], places: list[int], optional: Collection[int]) -> list[Any]:
        answers: list[Any] = [None] * len(calls)
        missed = self._send(calls, places, answers, optional)
        if missed and not set(self._send(calls, missed, answers, optional)) <= set(optional):
            raise StoreUnavailable("the function or the slot moved twice")
        return answers

    def _send(
        self, calls: Sequence[Call], places: list[int], answers: list[Any], optional: Collection[int]
    ) -> list[int]:
        """Sends and collects; answers the places of the calls that were provably not run."""
        self.round_trips += 1
        batches = self._batches(calls, places, optional)
        missed: list[int] = []
        try:
            for batch in batches:
                try:
                    batch.send(self.clocks, self.replicas)
                except ERRORS as error:
                    self._do_without(batch, error)
            for batch in batches:
                try:
                    missed += batch.collect(answers, self.clocks, self.replicas, self._learn)
                except ERRORS as error:
                    self._do_without(batch, error)
        except BaseException:
            for batch in batches:
                batch.drop()
            raise
        finally:
            for batch in batches:
                batch.release()
        return missed

    def _batches(self, calls: Sequence[Call], places: list[int], optional: Collection[int]) -> list[Batch]:
        """The calls by node, those that can be done without last."""
        if self._direct is not None:
            whole = all(place in optional for place in places)
            return [Batch(self._direct.pool, places, calls, optional=whole, direct=self._direct)]
        by_pool: dict[Any, list[int]] = {}
        for place in places:
            try:
                pool = self.client(calls[place].partition).connection_pool
            except StoreUnavailable:
                if place not in optional:
                    raise
            else:
                by_pool.setdefault(pool, []).append(place)
        batches = [
            Batch(pool, own, calls, optional=all(place in optional for place in own)) for pool, own in by_pool.items()
        ]
        return sorted(batches, key=lambda batch: batch.optional)

    def _do_without(self, batch: Batch, error: Exception) -> None:
        """Gives up a optional batch that failed; of another, raises StoreUnavailable for what redis raised."""
        silent = isinstance(error, redis.TimeoutError)
        if silent:
            self._silent |= dict.fromkeys(batch.partitions, time.monotonic() + PAUSE)
        if not (silent and batch.optional):  # Reading the map again may wait for the very node that is silent.
            self._learn(error)
        if not batch.optional:
            raise StoreUnavailable(reason(error), answered=isinstance(error, redis.ResponseError)) from None
        batch.give_up()

    def command(self, partition: int, command: Sequence[Argument], wait: float = 0) -> Any:
        """The answer of one plain command, which may block `wait` seconds. Raises StoreUnavailable."""
        return self.commands(partition, [command], wait)[0]

    def commands(self, partition: int, commands: Sequence[Sequence[Argument]], wait: float = 0) -> list[Any]:
        """The answers of plain commands, sent at once, each of which may block `wait` seconds. Raises
        StoreUnavailable."""
        pool: Any = self._direct or self.client(partition).connection_pool
        connection = None
        try:
            connection = pool.get_connection()
            connection.send_packed_command(connection.pack_commands(commands))
            patience = {"timeout": PATIENCE + wait} if wait else {}
            return [connection.read_response(**patience) for _ in commands]
        except BaseException as error:
            if connection is not None:
                connection.disconnect()
            if not isinstance(error, ERRORS):
                raise
            self._learn(error)
            raise StoreUnavailable(reason(error)) from None
        finally:
            if connection is not None:
                pool.release(connection)

    def _learn(self, error: Exception) -> None:
        """What an error says of the cluster's map: where a slot has gone, or that a node may be gone."""
        if self._cluster is not None and isinstance(error, redis.exceptions.MovedError):
            self._cluster.nodes_manager.move_slot(error)
        elif not isinstance(error, redis.ResponseError):
            self._refresh()

    def _refresh(self) -> None:
        """Reads the cluster's map again, at most once a second: a failover must not become a storm of CLUSTER SLOTS."""
        if self._cluster is None or not self._refreshing.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._refreshed > 1:
                self._refreshed = time.monotonic()
                self._cluster.nodes_manager.initialize()
        except ERRORS:
            pass  # The next call finds out again, and says so.
        finally:
            self._refreshing.release()

    def ping(self) -> None:
        """Returns where every primary answers and the first partition takes writes. Raises StoreUnavailable."""
        try:
            for node in self.nodes():
                node.ping()
            self.client().set(f"{prefix(0)}ready", 1, ex=1)
        except ERRORS as error:
            self._refresh()
            raise StoreUnavailable(reason(error)) from None


def reason(error: Exception) -> str:
    """What went wrong, for the log. A server's own words name a source's line or a code such as OOM, no value."""
    tells = isinstance(error, redis.ResponseError | redis.exceptions.RedisClusterException)
    words = placed(str(error))[:200] if tells else ""
    return f"{type(error).__name__} {words}".strip()
