"""The JSON Schema of the policy file, for editors."""

from typing import Any

import msgspec

from verify_service.duration import Duration
from verify_service.policy import sections
from verify_service.policy.kinds import KINDS

_STRUCTS = vars(sections) | {kind.__name__: kind for kind in KINDS.values()}
_LENGTH_OF_TIME = r"^\s*\d{1,6}\s*(second|minute|hour|day)s?\s*$"


def schema() -> dict[str, Any]:
    """The schema (2020-12). What keys promise together, only `policy check` says."""
    found = msgspec.json.schema(sections.Policy, schema_hook=_of_type)
    for name, struct in found["$defs"].items():
        properties = struct["properties"]
        if "kind" in properties:
            struct["required"].remove("kind")
            properties["kind"]["description"] = "May be left out where the name is the kind's."
        for field in msgspec.structs.fields(_STRUCTS[name]):
            default = None if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            if default and not isinstance(default, msgspec.Struct):
                properties[field.name]["default"] = _plain(default)
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A policy of verify_service",
        **found,
    }
    # Python's end of text is `$` there.
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole, order="sorted").replace(rb"\\Z", b"$"))
    return made


def text() -> str:
    """The schema as it is printed and shipped."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def _of_type(kind: type) -> dict[str, Any]:
    if kind is Duration:
        return {"type": "string", "pattern": _LENGTH_OF_TIME, "examples": ["30 seconds", "10 minutes", "1 day"]}
    raise NotImplementedError


def _plain(value: Any) -> Any:
    if isinstance(value, Duration):
        return value.text
    return [_plain(each) for each in value] if isinstance(value, tuple) else value
