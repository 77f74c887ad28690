"""Our server-side functions as one library. Its name carries its content's hash, so versions live side by side."""

import hashlib
from importlib.resources import files

import redis

_SOURCES = ("common", "start", "check", "cancel", "hold", "settle", "inbox")


def _library() -> tuple[str, str]:
    folder = files("verify_service.store") / "lua"
    body = "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in _SOURCES)
    version = hashlib.sha256(body.encode()).hexdigest()[:12]
    return version, f"#!lua name=verify_{version}\nlocal VERSION = '{version}'\n{body}"


VERSION, LIBRARY = _library()


def load_library(node: redis.Redis) -> None:
    """Puts our functions on a primary; versions live side by side under their own names."""
    try:
        node.function_load(LIBRARY)
    except redis.ResponseError as error:
        if "already exists" not in str(error):
            raise
