"""A policy's text with one more number on its allow-list, or one less: all else in it stays as its author wrote it."""

import json
import re
from typing import Any

import msgspec

from verify_service.errors import ConfigError

_TABLE = re.compile(r"^\[allow\][ \t]*(?:#[^\n]*)?\n?", re.MULTILINE)
_NUMBERS = re.compile(r"^[ \t]*numbers[ \t]*=[ \t]*\[", re.MULTILINE)
_NEXT = re.compile(r"^[ \t]*\[", re.MULTILINE)


def allowed(text: str) -> list[str]:
    """The numbers on a policy's allow-list. Raises ConfigError for what is no TOML."""
    return _numbers(_read(text))


def allowing(text: str, number: str, *, listed: bool) -> str:
    """The text whose allow-list names the number (E.164), or does not. Raises ConfigError where that cannot be done
    without writing the text anew."""
    before = _read(text)
    numbers = _numbers(before)
    if (number in numbers) == listed:
        return text
    wanted = [*numbers, number] if listed else [each for each in numbers if each != number]
    made = _added(text, number) if listed else re.sub(rf'"{re.escape(number)}"[ \t]*(?:,[ \t]*)?', "", text)
    after = _read(made)
    if sorted(_numbers(after)) != sorted(wanted) or _rest(before) != _rest(after):
        raise ConfigError("its allow-list is written in a way that only a person can change; push it anew")
    return made


def _added(text: str, number: str) -> str:
    table = _TABLE.search(text)
    if table is None:
        return f"{text.rstrip()}\n\n[allow]\nnumbers = [{json.dumps(number)}]\n"
    end = _NEXT.search(text, table.end())
    numbers = _NUMBERS.search(text, table.end(), end.start() if end else len(text))
    if numbers is None:
        return f"{text[: table.end()]}numbers = [{json.dumps(number)}]\n{text[table.end() :]}"
    return f"{text[: numbers.end()]}{json.dumps(number)}, {text[numbers.end() :]}"


def _numbers(policy: dict[str, Any]) -> list[str]:
    return list(policy.get("allow", {}).get("numbers", ()))


def _rest(policy: dict[str, Any]) -> dict[str, Any]:
    """All but the allow-list's numbers; a table without another key is as none."""
    allow = {name: value for name, value in policy.get("allow", {}).items() if name != "numbers"}
    return {name: value for name, value in {**policy, "allow": allow}.items() if value or name != "allow"}


def _read(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.toml.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigError(f"the policy in force is no TOML: {error}") from None
    return found
