"""What one policy says otherwise than another, key by key."""

from collections.abc import Iterator
from typing import Any

import msgspec

_Plain = dict[str, Any]


def changes(old: str, new: str) -> Iterator[str]:
    """A line for each key that is new, gone or changed; limits and rules go by name, whatever their order. Of a text
    that is no TOML nothing is said."""
    try:
        before, after = _flat(msgspec.toml.decode(old)), _flat(msgspec.toml.decode(new))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return
    for key in dict.fromkeys((*before, *after)):
        was, now = before.get(key), after.get(key)
        if was == now:
            continue
        if isinstance(was, list) and isinstance(now, list) and {*map(repr, was)} != {*map(repr, now)}:
            # By their text: a list may hold tens of thousands.
            listed, listed_now = {*map(repr, was)}, {*map(repr, now)}
            more = [f"+ {_text(each)}" for each in now if repr(each) not in listed]
            less = [f"- {_text(each)}" for each in was if repr(each) not in listed_now]
            yield f"{key}: {', '.join([*less, *more])}"
        elif was is None:
            yield f"{key}: {_text(now)} is new"
        elif now is None:
            yield f"{key}: {_text(was)} is gone"
        else:
            yield f"{key}: {_text(was)} is now {_text(now)}"


def _flat(plain: _Plain) -> _Plain:
    """Values by the path of their key."""
    found: _Plain = {}
    for table, value in plain.items():
        if isinstance(value, list) and all(isinstance(each, dict) for each in value):
            for each in value:
                name = each.get("name", "?")
                found |= {f"{table} {name}, {key}": one for key, one in each.items() if key != "name"}
        elif isinstance(value, dict):
            found |= {f"{table}.{key}": one for key, one in value.items()}
        else:
            found[table] = value
    return found


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
