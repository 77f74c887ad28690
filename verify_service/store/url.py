"""VERIFY_REDIS_URL: its grammar, and the options of every connection."""

import re
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from redis.backoff import NoBackoff
from redis.retry import Retry

from verify_service.errors import ConfigError

PATIENCE = 1.0
CONNECT_PATIENCE = 0.5

COMMON: dict[str, Any] = {
    "socket_timeout": PATIENCE,
    "socket_connect_timeout": CONNECT_PATIENCE,
    "retry": Retry(NoBackoff(), 0),
    "protocol": 2,
    "max_connections": 2048,
}


def shown(url: str) -> str:
    """The URL for a log: without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def parse(url: str) -> tuple[str, Any, dict[str, Any], dict[str, str]]:
    """(kind, hosts or url, connection options, our own query options); kind is single, sentinel or cluster.

    Raises ConfigError.
    """
    try:
        parts = urlsplit(url.replace("valkey", "redis", 1) if url.startswith("valkey") else url)
    except ValueError:
        raise ConfigError("VERIFY_REDIS_URL: an IPv6 address stands in brackets, as in redis://[::1]:6379") from None
    scheme, _, kind = parts.scheme.partition("+")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if scheme not in ("redis", "rediss", "unix") or kind not in ("", "sentinel", "cluster"):
        raise ConfigError(
            "VERIFY_REDIS_URL: write redis://, rediss://, unix://, redis+sentinel://h1,h2/name or redis+cluster://h1,h2"
        )
    if not query.get("replicas", "0").isdigit():
        raise ConfigError("VERIFY_REDIS_URL: replicas is how many replicas must confirm a write, such as replicas=1")
    options = dict(COMMON)
    if not kind:
        if (scheme == "unix" and not parts.path) or (scheme != "unix" and not re.fullmatch(r"/?\d*", parts.path)):
            raise ConfigError(
                "VERIFY_REDIS_URL: after redis://host:port/ comes the number of a database, after unix:// a path"
            )
        kept = "&".join(part for part in parts.query.split("&") if part and not part.startswith("replicas="))
        return "single", f"{scheme}://{parts.netloc}{parts.path}?{kept}", options, query
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    if password:
        options |= {"username": unquote(user) or None, "password": unquote(password)}
    if scheme == "rediss":
        options["ssl"] = True
    default_port = 26379 if kind == "sentinel" else 6379
    nodes = []
    for host in hosts.split(","):
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s]+)(?::(\d{1,5}))?", host)
        if not match or int(match[2] or 0) > 65_535:
            raise ConfigError(
                "VERIFY_REDIS_URL: after the @ come hosts, each host or host:port, with commas between them; "
                "in a password write % / ? # @ as %25 %2F %3F %23 %40"
            )
        nodes.append((match[1].strip("[]"), int(match[2] or default_port)))
    for name in query.keys() - ({"replicas", "db"} if kind == "sentinel" else {"replicas"}):
        raise ConfigError(f"VERIFY_REDIS_URL: {name} is no option of {parts.scheme}://")
    query["name"] = parts.path.strip("/")
    if kind == "sentinel" and not query["name"]:
        raise ConfigError("VERIFY_REDIS_URL: redis+sentinel:// ends with the name of the primary, /name")
    if kind == "sentinel" and "db" in query:
        if not query["db"].isdigit():
            raise ConfigError("VERIFY_REDIS_URL: db is the number of a database, such as db=1")
        options["db"] = int(query["db"])
    return kind, nodes, options, query
