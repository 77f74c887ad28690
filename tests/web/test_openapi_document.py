"""`openapi.yaml` keeps its own promises: it is valid, complete, closed, and its examples are true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

import verify_service
from verify_service.web.catalogue import PROBLEM_TYPES

TOP = Path(__file__).parents[2]
SPEC: dict[str, Any] = yaml.load((TOP / "openapi.yaml").read_bytes(), yaml.CSafeLoader)
METHODS = ("get", "put", "post", "delete", "patch")
ID = "ve_0000a3f25b6c4d8e9f10213243546576"


def resolve(node: Any) -> Any:
    """The node itself, or what its `$ref` points to when it is nothing but a reference."""
    while isinstance(node, dict) and "$ref" in node:
        target: Any = SPEC
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    document = {"allOf": [schema], "components": SPEC["components"]}
    return jsonschema_rs.Draft202012Validator(document, validate_formats=True)


def walk(node: Any, path: str = "#") -> Iterator[tuple[str, Any]]:
    yield path, node
    if isinstance(node, dict):
        for key, value in node.items():
            yield from walk(value, f"{path}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from walk(value, f"{path}/{index}")


def operations() -> list[Any]:
    return [
        pytest.param(path, item[method], id=f"{method.upper()} {path}")
        for path, item in SPEC["paths"].items()
        for method in METHODS
        if method in item
    ]


def examples() -> list[Any]:
    """Every object that has a schema and examples of it: media types, parameters, headers."""
    found = []
    for path, node in walk(SPEC):
        if not isinstance(node, dict) or "schema" not in node:
            continue
        for name, example in node.get("examples", {}).items():
            found.append(pytest.param(node["schema"], resolve(example)["value"], id=f"{path}/{name}"))
        if "example" in node:
            found.append(pytest.param(node["schema"], node["example"], id=path))
    return found


def messages() -> list[Any]:
    """Every request body and every response that has one."""
    found = []
    for path, item in SPEC["paths"].items():
        for method in METHODS:
            operation = item.get(method, {})
            bodies = {"request": operation.get("requestBody", {})} | operation.get("responses", {})
            for name, body in bodies.items():
                for media, content in resolve(body).get("content", {}).items():
                    found.append(pytest.param(content, id=f"{method.upper()} {path} {name} {media}"))
    return found


def test_no_name_stands_twice() -> None:
    """One reader of YAML takes the last of two, another one refuses the document."""
    tree = yaml.compose((TOP / "openapi.yaml").read_bytes(), yaml.CSafeLoader)
    nodes = [tree]
    while nodes:
        node = nodes.pop()
        if isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value]
            assert len(set(names)) == len(names), node.start_mark
            nodes += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            nodes += node.value


def test_the_document_is_valid_openapi() -> None:
    """Tools that read OpenAPI 3.1 accept the document."""
    from openapi_spec_validator import validate  # Here, as no other test waits for all that it imports.

    validate(SPEC)


def test_the_document_names_the_version_of_the_package() -> None:
    """A client can tell from the document which release it talks to."""
    assert SPEC["info"]["version"] == verify_service.__version__


@pytest.mark.parametrize(("schema", "example"), examples())
def test_an_example_fits_its_schema(schema: dict[str, Any], example: object) -> None:
    """Whoever copies an example copies something that works."""
    validator(schema).validate(example)


@pytest.mark.parametrize("content", messages())
def test_every_body_has_a_schema_and_an_example(content: dict[str, Any]) -> None:
    """No answer is left to the imagination."""
    assert content["schema"]
    assert content["examples"]


@pytest.mark.parametrize(("path", "operation"), operations())
def test_an_operation_is_complete(path: str, operation: dict[str, Any]) -> None:
    """An operation says what it does and lists the errors that its kind always has."""
    assert operation["operationId"]
    assert operation["summary"]
    assert operation["tags"][0] in {tag["name"] for tag in SPEC["tags"]}
    answers = set(operation["responses"])
    if operation.get("security", SPEC["security"]):
        assert {"401", "403", "429", "503"} <= answers
    if "requestBody" in operation:
        assert {"400", "408", "413", "415"} <= answers
    if path.startswith("/fake/") or "{" in path:
        assert "404" in answers


def test_operation_ids_are_unique() -> None:
    """Generated clients get one function per operation."""
    ids = [operation.values[1]["operationId"] for operation in operations()]
    assert len(ids) == len(set(ids))


def test_every_object_is_closed() -> None:
    """Requests refuse unknown fields and answers have no secret ones: each object says what it may have."""
    open_objects = [
        path
        for path, node in walk(SPEC)
        if isinstance(node, dict)
        and isinstance(node.get("properties"), dict)
        and ("type" in node or "$ref" in node)
        and not {"additionalProperties", "unevaluatedProperties"} & set(node)
    ]
    assert open_objects == []


def test_every_component_is_used() -> None:
    """The document carries no dead parts."""
    used = {node["$ref"] for _, node in walk(SPEC) if isinstance(node, dict) and "$ref" in node}
    kinds = ("parameters", "headers", "responses", "schemas", "examples")
    named = {f"#/components/{kind}/{name}" for kind in kinds for name in SPEC["components"][kind]}
    # 405 can come from every path and is described once, not on each operation; `Problem` is any of them, for clients.
    assert named - used == {"#/components/responses/MethodNotAllowed", "#/components/schemas/Problem"}


def test_problems_and_catalogue_agree() -> None:
    """Every problem of the document has a page and every page a problem, with one title and one status."""
    documented: dict[str, int] = {}
    for kind in SPEC["components"]["schemas"]["Problem"]["oneOf"]:
        node = resolve(kind)
        slug = node["properties"]["type"]["const"].removeprefix("/problems/")
        documented[slug] = node["properties"]["status"]["const"]
    assert documented == {problem.slug: problem.status for problem in PROBLEM_TYPES.values()}
    for example in SPEC["components"]["examples"].values():
        value = example["value"]
        if str(value.get("type", "")).startswith("/problems/"):
            problem = PROBLEM_TYPES[value["type"].removeprefix("/problems/")]
            assert (value["title"], value["status"]) == (problem.title, problem.status)


def test_every_choice_of_problems_is_told_apart_by_its_type() -> None:
    """Generated clients narrow by `type`: each union names it as its discriminator, and maps exactly its own kinds."""
    schemas = SPEC["components"]["schemas"]
    kinds = {f"#/components/schemas/{name}" for name, node in schemas.items() if "detail" in node.get("required", [])}
    unions = [
        node
        for _, node in walk(SPEC)
        if isinstance(node, dict) and kinds & {branch.get("$ref") for branch in node.get("oneOf", [])}
    ]
    assert len(unions) == 6
    for union in unions:
        own = {resolve(kind)["properties"]["type"]["const"]: kind["$ref"] for kind in union["oneOf"]}
        assert len(own) == len(union["oneOf"])
        assert union["discriminator"] == {"propertyName": "type", "mapping": own}
    assert set(schemas["Problem"]["discriminator"]["mapping"].values()) == kinds


@pytest.mark.parametrize("item", [pytest.param(content, id=name) for name, content in SPEC["paths"].items()])
def test_an_error_answers_with_its_own_status(item: dict[str, Any]) -> None:
    """A problem is listed under the status that it carries."""
    for method in METHODS:
        for status, response in item.get(method, {}).get("responses", {}).items():
            problems = resolve(response).get("content", {}).get("application/problem+json", {})
            for example in problems.get("examples", {}).values():
                assert resolve(example)["value"]["status"] == int(status)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"to": 14155550123},
        {"to": ""},
        {"to": "+14155550123", "phone": "x"},
        {"to": "+14155550123", "region": "us"},
        {"to": "+14155550123", "channel": "pigeon"},
        {"to": "+14155550123", "purpose": "Log In"},
        {"to": "+14155550123", "locale": "english please"},
        {"to": "+14155550123", "ip": "not an address"},
        {"to": "+14155550123", "device": "two\nlines"},
        {"to": "+14155550123", "user": "a/b"},
        {"to": "+14155550123", "binding": {"amount": 12}},
        {"to": "+14155550123", "binding": {str(n): "x" for n in range(17)}},
        {"to": "+14155550123", "binding": {"": "x"}},
        {"to": "+14155550123", "app_hash": "short"},
        {"to": "+14155550123", "origin": "https://login.example.com"},
    ],
)
def test_a_start_that_does_not_fit_is_refused(body: dict[str, Any]) -> None:
    """The schema of a start is as strict as the service."""
    assert not validator({"$ref": "#/components/schemas/StartRequest"}).is_valid(body)


@pytest.mark.parametrize(
    "body",
    [
        {"code": "492816"},
        {"id": ID},
        {"id": ID, "code": 492816},
        {"id": ID, "code": "492"},
        {"id": ID, "code": "4" * 65},
        {"id": ID, "to": "+14155550123", "code": "492816"},
        {"id": ID, "purpose": "login", "code": "492816"},
        {"id": "", "code": "492816"},
    ],
)
def test_a_check_that_does_not_fit_is_refused(body: dict[str, Any]) -> None:
    """A check names its verification in exactly one way, and its code is a string of some length."""
    schema = SPEC["paths"]["/check"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert not validator(schema).is_valid(body)
