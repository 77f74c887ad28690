"""`openapi.yaml` read for people: its operations, and their bodies and answers in rows and words."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

OPENAPI: Final = Path(__file__).with_name("openapi.yaml")
_METHODS: Final = ("get", "post", "put", "delete")
_NULL: Final = {"type": "null"}
_PROBLEM_JSON: Final = "application/problem+json"
_FORM: Final = "application/x-www-form-urlencoded"
_BOUNDS: Final = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A row of a table: one parameter, or one member of an object. `a[].b` is the `b` of each item of `a`."""

    name: str
    type: str
    required: bool
    limits: str
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path; `raw` is its part of the document, `parameters` includes those of its path."""

    id: str
    method: str
    path: str
    raw: dict[str, Any]
    parameters: list[dict[str, Any]]

    @property
    def open(self) -> bool:
        """Whether it can be called without an API key."""
        security = self.raw.get("security", [{"bearer": []}])
        return not security or {} in security

    @property
    def media(self) -> str:
        """The form that its body has, first of all; empty where it has none."""
        content: dict[str, Any] = self.raw.get("requestBody", {}).get("content", {})
        return next(iter(content), "")

    @property
    def scope(self) -> str:
        """The scope that a key needs; empty where none is needed."""
        for requirement in self.raw.get("security", spec()["security"]):
            for scopes in requirement.values():
                return ", ".join(scopes)
        return ""


@cache
def spec() -> dict[str, Any]:
    """The document."""
    loaded: dict[str, Any] = yaml.safe_load(OPENAPI.read_bytes())
    return loaded


def resolve(node: dict[str, Any]) -> dict[str, Any]:
    """The node, its reference followed. What stands beside `$ref` wins; members and requirements add up.
    An `anyOf` of something and null is that something, with a second type."""
    if _NULL in node.get("anyOf", ()):
        (other,) = (resolve(branch) for branch in node["anyOf"] if branch != _NULL)
        return other | {"type": [other["type"], "null"]}
    if "$ref" not in node:
        return node
    target: Any = spec()
    for part in node["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    base = resolve(target)
    merged = base | {key: value for key, value in node.items() if key != "$ref"}
    for key in ("properties", "required"):
        if key in base and key in node:
            merged[key] = base[key] | node[key] if key == "properties" else base[key] + node[key]
    return merged


def alternatives(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The schemas of which one applies: the branches of a `oneOf`, or the schema itself."""
    schema = resolve(schema)
    return [resolve(branch) for branch in schema.get("oneOf", [schema])]


def fields(schema: dict[str, Any], prefix: str = "") -> Iterator[Field]:
    """The members of an object schema, nested ones after their parent."""
    schema = resolve(schema)
    for name, member in schema.get("properties", {}).items():
        member = resolve(member)
        yield field(f"{prefix}{name}", member, name in schema.get("required", []))
        inner = resolve(member.get("items", {}))
        if inner.get("properties"):
            yield from fields(inner, f"{prefix}{name}[].")
        elif member.get("properties"):
            yield from fields(member, f"{prefix}{name}.")


def field(name: str, schema: dict[str, Any], required: bool, description: str | None = None) -> Field:
    """One row: the schema's type and limits in words."""
    schema = resolve(schema)
    return Field(name, _type(schema), required, _limits(schema), description or schema.get("description", ""))


def _type(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_type(resolve(schema['items']))}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"map to {_type(resolve(schema['additionalProperties']))}"
    words = " or ".join(kind) if isinstance(kind, list) else kind
    return f"{words}, {schema['format']}" if "format" in schema else str(words)


def _limits(schema: dict[str, Any]) -> str:
    """What values may be, in words and `code`. A pattern says the length too, and a format says it all."""
    said = []
    if "enum" in schema:
        said.append("one of " + " ".join(f"`{value}`" for value in schema["enum"]))
    if "pattern" in schema:
        said += [] if "format" in schema else [f"`{schema['pattern']}`"]
    else:
        said += [words.format(schema[key]) for key, words in _BOUNDS.items() if key in schema]
    if "default" in schema:
        said.append(f"default `{schema['default']}`")
    return "; ".join(said)


def operations() -> Iterator[Operation]:
    """Every operation, in the order of the document."""
    for path, item in spec()["paths"].items():
        for method in _METHODS:
            if method in item:
                raw = item[method]
                parameters = [resolve(p) for p in item.get("parameters", []) + raw.get("parameters", [])]
                yield Operation(raw["operationId"], method.upper(), path, raw, parameters)


def curl(operation: Operation, body: object = None) -> str:
    """A command that can be pasted into a shell where `URL` and `KEY` are set."""
    path = operation.path
    for parameter in operation.parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    method = "" if operation.method == "GET" else f"-X {operation.method} "
    parts = [f'curl {method}"$URL{path}"']
    if operation.scope:
        by_name = any("basic" in each for each in operation.raw.get("security", spec()["security"]))
        parts.append('-u "key:$KEY"' if by_name else '-H "Authorization: Bearer $KEY"')
    kinds = list(resolve(next(iter(operation.raw["responses"].values()))).get("content", {}))
    if len(kinds) > 1:
        parts.append(f"-H 'Accept: {kinds[0]}'")
    if isinstance(body, dict) and operation.media == _FORM:
        parts += [f"--data-urlencode {shlex.quote(f'{name}={value}')}" for name, value in body.items()]
    elif body is not None:
        parts.append("-H 'Content-Type: application/json'")
        parts.append("-d " + shlex.quote(json.dumps(body, ensure_ascii=False)))
    return " \\\n  ".join(parts)


def problems_of(response: dict[str, Any]) -> list[str]:
    """The slugs that a response can carry, each once."""
    content = resolve(response).get("content", {}).get(_PROBLEM_JSON)
    kinds = alternatives(content["schema"]) if content else []
    return list(dict.fromkeys(kind["properties"]["type"]["const"].rpartition("/")[2] for kind in kinds))


def examples(content: dict[str, Any]) -> list[tuple[str, Any]]:
    """The examples of a body, each with its summary."""
    named = [(name, resolve(example)) for name, example in content.get("examples", {}).items()]
    return [(example.get("summary", name), example["value"]) for name, example in named]
