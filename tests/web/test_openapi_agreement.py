"""`openapi.yaml` and the code say the same, both ways: routes, scopes, request bodies, problems."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from flask import Flask

from tests.support.bench import ManualClock
from tests.support.contract import METHODS, SPEC, LocalClient, judge, resolve
from verify_service import codes, config, errors
from verify_service.backtest.beside import launch
from verify_service.consents import Consents
from verify_service.data_subjects import DataSubjects
from verify_service.inbox import Inbox, InboxMessage, Rule
from verify_service.insight.explain import Explain
from verify_service.model import CheckStatus, Status, TimelineName
from verify_service.policy.live import LivePolicy
from verify_service.relief import Relief
from verify_service.routing import CHANNELS
from verify_service.store import Store
from verify_service.store.audit import Audit
from verify_service.store.backtests import Backtests
from verify_service.store.failures import FailedAuthentications
from verify_service.store.policies import Policies
from verify_service.web import create_app, problems
from verify_service.web.catalogue import PROBLEM_TYPES
from verify_service.web.context import WebContext
from verify_service.web.native import schemas
from verify_service.web.readiness import Readiness

# What the document may say of a field that decides nothing: words, and a default that the struct has as well.
WORDS = {"description", "example", "examples", "title", "default"}
# What a vendor's own document describes: the surfaces that speak as it does, by their prefix. Their tests hold them to
# its fields, and its SDKs call them in tests/peers.
VENDORS = {"/v2/": "Twilio Verify"}
# Pages for people, whose forms no program can send: what they do, the API does as well.
PEOPLES = ("/console",)
BODIES = {
    "StartRequest": schemas.StartBody,
    "Behaviour": schemas.BehaviourBody,
    "BehaviourRule": Rule,
    "Inbound": schemas.InboundBody,
    "ConsentRecord": schemas.ConsentBody,
    "Unlock": schemas.UnlockBody,
    "NewFactor": schemas.FactorBody,
    "FactorCode": schemas.FactorCodeBody,
    "UserCheck": schemas.UserCheckBody,
    "UserPageRequest": schemas.UserPageBody,
    "PolicyPush": schemas.PolicyBody,
    "BacktestRequest": schemas.BacktestBody,
}


@pytest.fixture
def app(store: Store) -> Flask:
    """The whole app, the fake provider's paths included."""
    clock = ManualClock()
    client = LocalClient(store, clock)
    tagger = codes.Tagger(codes.new_key())
    live = LivePolicy(Policies(store.link, tagger), tagger)
    return create_app(
        WebContext(
            config=config.load(None, None),
            store=store,
            service=client.service,
            factors=client.factors,
            keys=client.keys,
            live=live,
            clock=clock,
            failures=FailedAuthentications(store.link, tagger),
            readiness=Readiness(store, live),
            consents=Consents(store, config.load(None, None), client.keys, tagger, clock),
            data_subjects=DataSubjects(store, tagger, clock),
            explain=Explain(store, live, tagger, clock),
            relief=Relief(store, live, tagger, clock),
            backtests=Backtests(store.link, tagger, launch),
            audit=Audit(store.link, tagger),
            callbacks={},
            inbox=Inbox(store, client.keys, tagger),
            multiprocess=False,
        )
    )


def documented() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path without the names of its parameters, operation) of the document."""
    for path, item in SPEC["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), re.sub(r"\{[^}]*\}", "{}", path), item[method]


def constraints(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without words, with its parts in place of references, in one spelling: what it lets through."""
    schema = {**resolve({"$ref": schema["$ref"]}), **schema} if "$ref" in schema else schema
    found = {name: value for name, value in schema.items() if name not in WORDS | {"$ref"}}
    if {"type": "null"} in found.get("anyOf", ()):
        (other,) = [part for part in found.pop("anyOf") if part != {"type": "null"}]
        found |= constraints(other)
        found["type"] = [found.get("type", "string"), "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    if "enum" in found:
        found["type"] = ["string", "null"] if None in found["enum"] else "string"
    if "properties" in found:
        found["properties"] = {name: constraints(value) for name, value in found["properties"].items()}
    for name in ("items", "additionalProperties", "propertyNames"):
        if isinstance(found.get(name), dict):
            found[name] = constraints(found[name])
    if "pattern" in found:
        found["pattern"] = found["pattern"].replace(r"\Z", "$").replace("(?:", "(")
    if "enum" in found:
        found["enum"] = sorted(found["enum"], key=str)
    found["required"] = sorted(found.get("required", []))
    # What the code judges after the struct: an address by `ipaddress`, a channel by what it can route.
    if found.get("anyOf") == [{"format": "ipv4"}, {"format": "ipv6"}]:
        del found["anyOf"]
    if set(found.get("enum", ())) - {None} == set(CHANNELS):
        del found["enum"]
        found["maxLength"] = 32
    return found


def schema_of(body: type) -> dict[str, Any]:
    """The JSON schema of a struct, its parts in place."""
    (schema,), components = msgspec.json.schema_components([body], ref_template="{name}")

    def placed(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return placed(components[node["$ref"]])
            return {name: placed(value) for name, value in node.items()}
        return [placed(value) for value in node] if isinstance(node, list) else node

    found: dict[str, Any] = placed(schema)
    return found


def test_every_route_is_documented_and_every_operation_is_a_route(app: Flask) -> None:
    """Neither a secret path nor a promise without a path."""
    routes = {
        (method, re.sub(r"<[^>]*>", "{}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith((*VENDORS, *PEOPLES))
    }
    assert routes == {(method, path) for method, path, _ in documented()}


def test_every_problem_is_in_the_code_the_catalogue_and_the_document() -> None:
    """Each leaf of the exception tree has its page with the same status; the catalogue's others are HTTP's own."""

    def leaves(kind: type[errors.Problem]) -> Iterator[type[errors.Problem]]:
        for child in kind.__subclasses__():
            yield from leaves(child)
            yield child

    raised = {leaf.slug: leaf.status for leaf in leaves(errors.Problem)}
    listed = {slug: problem.status for slug, problem in PROBLEM_TYPES.items()}
    assert raised.items() <= listed.items()
    by_http = {"method-not-allowed", "payload-too-large", "unsupported-media-type"}
    later = {"idempotency-in-flight"}
    assert listed.keys() - raised.keys() == by_http | later
    assert SPEC["components"]["schemas"]["Problem"]["discriminator"]["mapping"].keys() == {
        f"/problems/{slug}" for slug in listed
    }


@pytest.mark.parametrize("name", BODIES)
def test_a_request_body_is_what_the_code_takes(name: str) -> None:
    """Fields, which are required, their types, patterns, lengths and bounds: one truth in two places."""
    ours, theirs = constraints(schema_of(BODIES[name])), constraints(SPEC["components"]["schemas"][name])
    assert ours["required"] == theirs["required"]
    assert ours["properties"].keys() == theirs["properties"].keys()
    assert ours["additionalProperties"] == theirs["additionalProperties"]
    for field, schema in theirs["properties"].items():
        assert ours["properties"][field] == schema, field


def test_the_two_forms_of_a_check_are_what_the_code_takes() -> None:
    """By id or by number: together they have the fields of the struct, each with its constraints."""
    ours = constraints(schema_of(schemas.CheckBody))
    by_id, by_number = (constraints(SPEC["components"]["schemas"][name]) for name in ("CheckById", "CheckByNumber"))
    assert by_id["properties"].keys() | by_number["properties"].keys() == ours["properties"].keys()
    assert (by_id["required"], by_number["required"]) == (["code", "id"], ["code", "to"])
    assert ours["required"] == ["code"]
    for form in (by_number, by_id):
        for field, schema in form["properties"].items():
            if field in form["required"]:
                ours["properties"][field]["type"] = "string"  # What the form requires, the struct only allows.
            assert ours["properties"][field] == schema, field


def test_the_clock_is_what_the_code_takes() -> None:
    """The one body that the document writes in place."""
    theirs = SPEC["paths"]["/fake/clock"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert constraints(schema_of(schemas.ClockBody)) == constraints(theirs)


def test_defaults_are_the_same() -> None:
    """What is left out means the same to the document and to the code."""
    theirs = SPEC["components"]["schemas"]["StartRequest"]["properties"]
    ours = msgspec.structs.fields(schemas.StartBody)
    defaults = {field.name: field.default for field in ours if field.default not in (None, msgspec.NODEFAULT)}
    assert {name: resolve(theirs[name])["default"] for name in defaults} == defaults


def test_the_words_of_answers_are_the_same() -> None:
    """Statuses, events and channels that the code knows are those of the document."""
    schemas = SPEC["components"]["schemas"]
    assert schemas["Verification"]["properties"]["status"]["enum"] == list(Status.__args__)  # type: ignore[attr-defined]
    assert set(schemas["Checked"]["properties"]["status"]["enum"]) == set(CheckStatus.__args__)  # type: ignore[attr-defined]
    assert schemas["TimelineEvent"]["properties"]["event"]["enum"] == list(TimelineName.__args__)  # type: ignore[attr-defined]
    assert schemas["Channel"]["enum"] == list(CHANNELS)
    names = {field.encode_name for field in msgspec.structs.fields(InboxMessage)}
    assert schemas["InboxMessage"]["properties"].keys() == names


def test_the_limits_in_words_are_those_of_the_code() -> None:
    """The body's limit stands in the description, in the catalogue and in the code."""
    assert f"at most {problems.MOST_BYTES} bytes" in SPEC["info"]["description"]
    assert f"larger than {problems.MOST_BYTES} bytes" in PROBLEM_TYPES["payload-too-large"].means


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (418, {"content-type": "application/json"}, {}),
        (200, {"content-type": "text/html"}, "approved"),
        (200, {"content-type": "application/json"}, {"id": "ve_" + "0" * 32, "status": "approved"}),
        (
            200,
            {"content-type": "application/json"},
            {"id": "ve_" + "0" * 32, "status": "approved", "approved": True, "checks_left": 5, "code": "123456"},
        ),
        (
            401,
            {"content-type": "application/problem+json"},
            {"type": "/problems/unauthorized", "title": "x", "status": 401, "detail": "x"},
        ),
    ],
)
def test_the_judge_of_the_contract_tests_refuses(status: int, headers: dict[str, str], body: object) -> None:
    """An undocumented status, another content type, a missing or a secret member, a missing header: all are seen."""
    with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
        judge("POST", "/check", status, headers, body)
