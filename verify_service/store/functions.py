"""Our server-side functions as one library. Its name carries its content's hash, so versions live side by side."""

import hashlib
import re
from importlib.resources import files

import redis

# In this order: each may use what stands before it.
_SOURCES = (
    *("writing", "common", "counts", "limits", "charts", "blocks", "detector", "judges", "trials", "deliveries"),
    *("start", "hold", "check", "cancel", "decisions", "settle", "leases", "senders", "health"),
    *("inbox", "policy", "rehearse", "consents", "webhooks"),
)
_NAMES = re.compile(r"^local (function )?(\w+(?:, \w+)*)( =)?", re.MULTILINE)


def library(*more: str, rehearsal: bool = False) -> tuple[str, str]:
    """(version, text) of the library with `more` sources. In a rehearsal it queues and tells nothing."""
    folder = files("verify_service.store") / "lua"
    sources = [(folder / f"{name}.lua").read_text("utf-8") for name in (*_SOURCES, *more)]
    body = "\n".join(_block(source, "\n".join(sources[place + 1 :])) for place, source in enumerate(sources))
    version = hashlib.sha256(body.encode()).hexdigest()[:12]
    constants = f"local VERSION = '{version}'\nlocal REHEARSAL = {'true' if rehearsal else 'false'}"
    return version, f"#!lua name=verify_{version}\n{constants}\n{body}"


def _block(source: str, later: str) -> str:
    """A source as a block: what no later one uses ends with it. Lua has room for 200 names at a time."""
    used, outside = set(re.findall(r"\w+", later)), list[str]()

    def declared(match: re.Match[str]) -> str:
        function, names, value = match.groups()
        if used.isdisjoint(names.split(", ")):
            return match[0]
        outside.extend(names.split(", "))
        return f"function {names}" if function else f"{names} =" if value else ""

    block = _NAMES.sub(declared, source)
    names = f"local {', '.join(outside)}\n" if outside else ""
    return f"{names}do\n{block}\nend"


VERSION, LIBRARY = library()


def load_library(node: redis.Redis) -> None:
    """Puts our functions on a primary; versions live side by side under their own names."""
    try:
        node.function_load(LIBRARY)
    except redis.ResponseError as error:
        if "already exists" not in str(error):
            raise
