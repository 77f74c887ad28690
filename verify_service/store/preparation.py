"""What a server must be before it is used: checked and made so by each role at its start."""

from typing import Any

import redis

from verify_service.errors import ConfigError, StoreUnavailable
from verify_service.store.connection import ERRORS, Link, reason
from verify_service.store.functions import load_library

_PARTITIONS_KEY = "vs:partitions"
_PARTITIONS_LIFE_S = 400 * 86_400


def prepare(link: Link) -> None:
    """The library on every primary, `noeviction`, the partition count of the store's first use.

    A cluster is used while some of its primaries are silent: they are prepared when they are called again. Raises
    ConfigError for a store that may not be used, StoreUnavailable for one where nobody answers.
    """
    silent: Exception | None = None
    answered = 0
    for node in _nodes(link):
        try:
            _prepare(link, node)
            answered += 1
        except ERRORS as error:
            silent = error
    if silent and not answered:
        raise StoreUnavailable(reason(silent))
    try:
        found = _partitions(link)
    except ERRORS as error:
        if not link.is_cluster:
            raise StoreUnavailable(reason(error)) from None
        return
    if found != link.partitions:
        raise ConfigError(
            f"this store was first used with {found} partitions and this connection has {link.partitions}: "
            "a store cannot change between a single server and a cluster; start with an empty one"
        )


def forgets(link: Link) -> bool:
    """Whether a restart may take back what was answered: there is no append-only file, and no replica that confirms.
    Servers that do not answer are not asked twice."""
    if link.replicas:
        return False
    try:
        return any(not node.info("persistence").get("aof_enabled") for node in _nodes(link))
    except (*ERRORS, StoreUnavailable):
        return False


def _nodes(link: Link) -> list[redis.Redis]:
    try:
        return link.nodes()
    except ERRORS as error:
        raise StoreUnavailable(reason(error)) from None


def _prepare(link: Link, node: redis.Redis) -> None:
    policy = node.info("memory").get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise ConfigError(
            f"the store evicts keys when it is full (maxmemory-policy {policy}) and would forget limits. "
            "Set maxmemory-policy noeviction"
        )
    if not link.is_cluster and node.info("cluster").get("cluster_enabled"):
        raise ConfigError("VERIFY_REDIS_URL names a node of a cluster; write redis+cluster://host:port")
    load_library(node)
    link.clocks.learn(node.connection_pool, node.time())


def _partitions(link: Link) -> int:
    owner: Any = link.owner(_PARTITIONS_KEY)
    owner.set(_PARTITIONS_KEY, link.partitions, nx=True)
    owner.expire(_PARTITIONS_KEY, _PARTITIONS_LIFE_S)
    return int(owner.get(_PARTITIONS_KEY))
