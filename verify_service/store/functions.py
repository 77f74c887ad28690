"""Our server-side functions as one library. Its name carries its content's hash, so versions live side by side."""

import hashlib
from importlib.resources import files

import redis

# In this order: each may use what stands before it. Of the latter nobody uses anything, so their names end with them:
# Lua has room for 200 at a time.
_SHARED = (
    *("common", "limits", "charts", "blocks", "detector", "trials", "deliveries"),
    *("start", "hold", "check", "cancel"),
)
_ALONE = ("decisions", "settle", "senders", "health", "inbox", "policy", "consents", "webhooks")


def library(*more: str, rehearsal: bool = False) -> tuple[str, str]:
    """(version, text) of the library with `more` sources. In a rehearsal it queues and tells nothing."""

    def source(name: str) -> str:
        return (files("verify_service.store") / "lua" / f"{name}.lua").read_text("utf-8")

    alone = (f"do\n{source(name)}\nend" for name in _ALONE)
    body = "\n".join((*map(source, _SHARED), *alone, *map(source, more)))
    version = hashlib.sha256(body.encode()).hexdigest()[:12]
    constants = f"local VERSION = '{version}'\nlocal REHEARSAL = {'true' if rehearsal else 'false'}"
    return version, f"#!lua name=verify_{version}\n{constants}\n{body}"


VERSION, LIBRARY = library()


def load_library(node: redis.Redis) -> None:
    """Puts our functions on a primary; versions live side by side under their own names."""
    try:
        node.function_load(LIBRARY)
    except redis.ResponseError as error:
        if "already exists" not in str(error):
            raise
