"""Our server-side functions as one library. Its name carries its content's hash, so versions live side by side."""

import hashlib
from importlib.resources import files

import redis

_SOURCES = (
    *("common", "charts", "blocks", "detector", "deliveries", "start", "check", "cancel"),
    *("hold", "decisions", "settle", "senders", "health", "inbox", "policy", "consents", "webhooks"),
)


def library(*more: str, rehearsal: bool = False) -> tuple[str, str]:
    """(version, text) of the library with `more` sources. In a rehearsal it queues and tells nothing."""
    folder = files("verify_service.store") / "lua"
    body = "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in (*_SOURCES, *more))
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
