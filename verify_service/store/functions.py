"""Our server-side functions as one library. Its name carries its content's hash, so versions live side by side."""

import hashlib
import re
from importlib.resources import files

import redis

from verify_service.packing import Layout, lua_module
from verify_service.policy import kinds, specs
from verify_service.store import (
    alert_layouts,
    answers,
    console_layouts,
    count_layouts,
    entity_layouts,
    event_types,
    layouts,
    user_layouts,
)

FUNCTIONS = {
    "alerts": ("alert_turn", "alerts", "alerts_due", "alert_tried"),
    "backtests": ("begin_backtest", "tell_backtest", "cancel_backtest"),
    "audit": ("audit",),
    "blocks": ("blocks", "lift"),
    "cancel": ("cancel", "read"),
    "carry": ("carried",),
    "check": ("check",),
    "counting": ("fold", "counted"),
    "consents": ("heard", "unclear", "unread", "consent", "consent_of", "erase"),
    "decisions": ("refuse", "explain", "explain_pending", "unlock"),
    "deliveries": ("sent", "delivery", "receipt", "overdue", "unreachable", "stray"),
    "entities": ("make_entity", "begin_challenge", "try_challenge", "approve_challenge"),
    "factor_checks": ("user", "check_factor"),
    "health": ("pulse",),
    "hold": ("hold", "hold_check", "release", "claim_key", "refunded", "won", "mistyped"),
    "inbox": ("put", "take"),
    "keeping": ("take_users", "reseal", "moved"),
    "leases": ("inherit", "reread", "wanted"),
    "notices": ("notice",),
    "policy": ("push_policy",),
    "rehearse": ("rehearse",),
    "senders": ("reserve",),
    "services": ("keep_service",),
    "sessions": ("begin_session", "use_session", "end_session", "end_sessions"),
    "settle": ("settle", "bury"),
    "start": ("start",),
    "users": ("enrol", "remove_factor", "recovery_codes", "set_contact", "erase_user"),
    "webhooks": ("hooks", "hooked", "hooks_off", "hooks_replay"),
}
"""What Redis can be asked for, by the source that returns it: it has to be told before any of them runs."""
_READING = {"blocks", "consent_of", "counted", "explain", "explain_pending", "read", "rehearse", "user", "wanted"}
"""Those that the server itself keeps from writing."""
_SCRATCH = {"replay": ("replay",)}
"""What only a scratch store's library has."""
LAYOUTS: tuple[type[Layout], ...] = (
    *(*layouts.ALL, *user_layouts.ALL, *entity_layouts.ALL, *alert_layouts.ALL, *console_layouts.ALL),
    *(*count_layouts.ALL, *answers.ALL, *event_types.ALL),
    *(*specs.LAYOUTS, *kinds.LAYOUTS),
)
"""All that is declared."""
LUA = lua_module(LAYOUTS)
_GENERATED = {"layouts": LUA}
"""Sources that are made rather than written, by name."""
# What a source uses of the server's, kept as its own: a global is looked for in two tables.
_KEPT = "redis, struct, cmsgpack, ipairs, tonumber, unpack"
# Lines before the first source's: the library's name, two of constants, and what opens the source.
_HEAD = 4
_LINE = re.compile(r"user_function:(\d+)")


def _sources() -> dict[str, str]:
    """All sources by name: the loader first, what only a scratch store has last, so that both libraries have the others
    at the same lines."""
    folder = files("verify_service.store") / "lua"
    found = {path.name.removesuffix(".lua"): path.read_text("utf-8") for path in folder.iterdir() if path.is_file()}
    found |= {
        f"kinds/{path.name.removesuffix('.lua')}": path.read_text("utf-8") for path in (folder / "kinds").iterdir()
    }
    found |= _GENERATED
    return dict(sorted(found.items(), key=lambda source: (source[0] != "loader", source[0] in _SCRATCH, source[0])))


_SOURCES = _sources()


def library(*, scratch: bool = False) -> tuple[str, str]:
    """(version, text) of the library. In a scratch store it queues and tells nothing, and has `replay`."""
    functions = FUNCTIONS | (_SCRATCH if scratch else {})
    listed = [f"{{'{name}', '{source}', {_flag(name)}}}" for source, names in functions.items() for name in names]
    kinds = [f"'{name.removeprefix('kinds/')}'" for name in _SOURCES if name.startswith("kinds/")]
    body = f"local FUNCTIONS, KINDS, SOURCES = {{{', '.join(listed)}}}, {{{', '.join(kinds)}}}, {{}}\n"
    for name, text in _SOURCES.items():
        if scratch or name not in _SCRATCH:
            begin = "do" if name == "loader" else f"SOURCES['{name}'] = function(import) local {_KEPT} = {_KEPT}"
            body += f"{begin}\n{text}end\n"
    version = hashlib.sha256(body.encode()).hexdigest()[:12]
    constants = f"local VERSION, SCRATCH = '{version}', {str(scratch).lower()}"
    return version, f"#!lua name=verify_{version}\n{constants}\n{body}"


def _flag(name: str) -> str:
    return "'no-writes'" if name in _READING else "nil"


VERSION, LIBRARY = library()


def placed(error: str) -> str:
    """An error's text with the source and its line where Redis says the library's."""
    return _LINE.sub(lambda found: _place(int(found[1])), error)


def _place(line: int) -> str:
    line -= _HEAD
    for name, text in _SOURCES.items():
        size = text.count("\n")
        if line <= size + 1:
            return f"{name}.lua:{line}"
        line -= size + 2
    raise ValueError(f"the library has no line {line} more")


def load_library(node: redis.Redis) -> None:
    """Puts our functions on a primary; versions live side by side under their own names."""
    try:
        node.function_load(LIBRARY)
    except redis.ResponseError as error:
        if "already exists" not in str(error):
            raise
