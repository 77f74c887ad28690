"""The contract as a judge: `openapi.yaml` says whether an answer was promised, and a client asks it each time."""

import itertools
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema_rs
import msgspec
import urllib3
import yaml
from flask import Blueprint

from tests.support.apps import app_of
from tests.support.live import PATIENCE_S, changed, contents
from verify_service import codes
from verify_service import config as operator
from verify_service.adapters import Callbacks
from verify_service.approvals import Approvals, SigningKeys
from verify_service.backtest.beside import launch
from verify_service.codes import api_key_digest
from verify_service.consents import Consents
from verify_service.data_subjects import DataSubjects
from verify_service.factors import Factors
from verify_service.insight.explain import Explain
from verify_service.model import Clock
from verify_service.policy import file as policy_file
from verify_service.policy.live import LivePolicy
from verify_service.policy.rulebook import fixed
from verify_service.relief import Relief
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.audit import Audit
from verify_service.store.backtests import Backtests
from verify_service.store.connection import Link
from verify_service.store.failures import FailedAuthentications
from verify_service.store.policies import Policies
from verify_service.testing import RunningServer, VerifyClient, VerifyInbox, VerifyServer, start_server
from verify_service.web.catalogue import PROBLEM_TYPES
from verify_service.web.context import WebContext
from verify_service.web.readiness import Readiness

SPEC: dict[str, Any] = yaml.load((Path(__file__).parents[2] / "openapi.yaml").read_bytes(), yaml.CSafeLoader)
METHODS = ("get", "put", "post", "delete", "patch")
_TOLD = re.compile(
    rb"\}:(audit.*|dispatcher|ready|outbox|events|credits|health|costs:[0-9-]+|decision:.*|decided:.*|alerts.*|"
    rb"policy:refused|counts.*|newest:.*)\Z"
)
_numbers = itertools.count(2000)


def a_number() -> str:
    """A valid number that no other test of this process has."""
    return f"+1415555{next(_numbers):04d}"


def resolve(node: Any) -> Any:
    """The node itself, or what its `$ref` points to when it is nothing but a reference."""
    while isinstance(node, dict) and set(node) == {"$ref"}:
        target: Any = SPEC
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def template_of(path: str) -> str | None:
    """The document's name for a path: itself where it is there word by word, else the template that fits."""
    path = urlsplit(path).path
    if path in SPEC["paths"]:
        return path
    for template in SPEC["paths"]:
        if re.fullmatch(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template)), path):
            return str(template)
    return None


def response_of(method: str, path: str, status: int) -> Any:
    """What the document says of this answer. Raises AssertionError where it says nothing."""
    template = template_of(path)
    if template is None:
        assert status == 404, f"{method} {path}: {status} for a path that is not in the document"
        return resolve({"$ref": "#/components/responses/NotFound"})
    operation = SPEC["paths"][template].get(method.lower())
    if operation is None:
        assert status == 405, f"{method} {template}: {status} for a method that is not in the document"
        return resolve({"$ref": "#/components/responses/MethodNotAllowed"})
    assert str(status) in operation["responses"], f"{method} {template}: {status} is not in the document"
    return resolve(operation["responses"][str(status)])


@cache
def _validator(schema: str) -> jsonschema_rs.Validator:
    document = {"allOf": [yaml.safe_load(schema)], "components": SPEC["components"]}
    return jsonschema_rs.Draft202012Validator(document, validate_formats=True)


def fits(schema: Mapping[str, Any], value: object) -> None:
    """Raises jsonschema_rs.ValidationError where the value is not what the schema describes."""
    _validator(yaml.safe_dump(schema)).validate(value)


def judge(method: str, path: str, status: int, headers: Mapping[str, str], body: object) -> None:
    """Raises where an answer is not in the document: by status, content type, required headers or body.

    `headers` has its names in lower case; `body` is decoded JSON, or text.
    """
    said = f"{method} {path} {status}"
    response = response_of(method, path, status)
    for name, header in response.get("headers", {}).items():
        header = resolve(header)
        value = headers.get(name.lower())
        assert value is not None or not header.get("required"), f"{said}: the header {name} is missing"
        if value is not None:
            fits(header["schema"], int(value) if header["schema"]["type"] == "integer" else value)
    if "content" not in response:
        assert body == "", f"{said}: the document promises no body"
        return
    media = headers.get("content-type", "").partition(";")[0]
    assert media in response["content"], f"{said}: {media} is not a content type of the document"
    fits(response["content"][media]["schema"], yaml.safe_load(str(body)) if media == "application/yaml" else body)
    if media == "application/problem+json":
        assert isinstance(body, dict)
        assert body["status"] == status
        assert body["type"].removeprefix("/problems/") in PROBLEM_TYPES, f"{said}: {body['type']} has no page"
        assert ("retry_after" in body) == ("retry-after" in headers), f"{said}: Retry-After is in one place only"
        assert str(body.get("retry_after", "")) == headers.get("retry-after", "")


class ContractClient(VerifyClient):
    """A client that holds every answer against the document."""

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 40.0
    ) -> tuple[int, dict[str, str], Any]:
        answer = super().request(method, path, body, headers, timeout)
        judge(method, path, *answer)
        return answer

    def refused(self, method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        """The problem that the call is answered; header names with _ for -. Raises AssertionError for a success."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        status, _, problem = self.request(method, path, body, sent)
        assert status >= 400, f"{method} {path} was answered {status}"
        found: dict[str, Any] = problem
        return found


class LocalClient(ContractClient):
    """The same without a server: the app in this process, on a real store, under a policy and a clock of the test's."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        policy: str = "",
        callbacks: Mapping[str, Callbacks] | None = None,
        public_url: str | None = None,
        signing_keys: str | None = None,
        config_file: Path | None = None,
        mounts: Sequence[Blueprint] = (),
    ) -> None:
        key = f"vk_default_{secrets.token_urlsafe(32)}"
        super().__init__(VerifyServer("http://localhost", key, Path(), 0))
        config = operator.load(config_file, key)
        public_url = public_url or config.public_url
        config = msgspec.structs.replace(config, public_url=public_url, base_url=public_url)
        rules = policy_file.parse(policy or policy_file.default_text(), "test policy")
        tagger = codes.Tagger(codes.new_key())
        self.store, self.config, self.clock = store, config, clock
        self.keys = codes.KeyRing(f"k1:{codes.new_key()}")
        signing = SigningKeys(signing_keys) if signing_keys else None
        approvals = Approvals(self.keys, tagger, config.receipts, public_url, signing)
        self.service = Service(config, fixed(rules, tagger), self.keys, tagger, store.verifications, clock, approvals)
        self.factors = Factors(config, self.service.rules, self.keys, tagger, store.users, clock, approvals)
        failures = FailedAuthentications(store.link, tagger)
        live = LivePolicy(Policies(store.link, tagger), tagger)
        self.app = app_of(
            WebContext(
                config=config,
                store=store,
                service=self.service,
                factors=self.factors,
                keys=self.keys,
                live=live,
                clock=clock,
                failures=failures,
                readiness=Readiness(store, live),
                consents=Consents(store, config, self.keys, tagger, clock),
                data_subjects=DataSubjects(store, tagger, clock),
                explain=Explain(store, self.service.rules, tagger, clock),
                relief=Relief(store, self.service.rules, tagger, clock),
                backtests=Backtests(store.link, tagger, launch),
                audit=Audit(store.link, tagger),
                callbacks=callbacks or {},
                inbox=None,
                multiprocess=False,
            ),
            mounts,
        )
        self.address = "192.0.2.1"

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 40.0
    ) -> tuple[int, dict[str, str], Any]:
        sent = {"Authorization": f"Bearer {self._server.api_key}", **(headers or {})}
        answer = self.app.test_client().open(
            path, method=method, json=body, headers=sent, environ_overrides={"REMOTE_ADDR": self.address}
        )
        got = {name.lower(): value for name, value in answer.headers.items()}
        shown = msgspec.json.decode(answer.data) if "json" in got.get("content-type", "") else answer.text
        judge(method, path, answer.status_code, got, shown)
        return answer.status_code, got, shown


class Contract:
    """A live server with several tenants and test numbers, and a judged client for each key."""

    def __init__(self, running: RunningServer, keys: Mapping[str, str]) -> None:
        self.running = running
        self.url = running.server.url
        self.default = self.client(running.server.api_key)
        self.acme = self.client(keys["acme"])
        self.reader = self.client(keys["reader"])
        self.inbox = VerifyInbox(self.default)
        self._pool = urllib3.PoolManager(retries=False)

    @contextmanager
    def spending_nothing(self) -> Iterator[None]:
        """Nothing of what a start or a check could spend is spent: every key but the dispatcher's beat, its place in
        the events, its providers' health, and what is told of refusals (events, decision records, counts, alerts); and
        nothing is queued."""
        client: Any = Link((self.running.server.state_dir / "store-url").read_text()).client()
        with closing(client):
            before, queued = contents(client), client.xinfo_stream("vs:{0}:outbox")["entries-added"]
            yield
            assert {key for key in changed(client, before) if not _TOLD.search(key)} == set()
            assert client.xinfo_stream("vs:{0}:outbox")["entries-added"] == queued

    def send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """The status, headers and problem that bytes are answered, held against the document."""
        sent = {"Authorization": f"Bearer {self.running.server.api_key}", **(headers or {})}
        answer = self._pool.request(method, self.url + path, body=body, headers=sent, timeout=PATIENCE_S)
        got = {name.lower(): value for name, value in answer.headers.items()}
        problem: dict[str, Any] = msgspec.json.decode(answer.data)
        judge(method, path, answer.status, got, problem)
        return answer.status, got, problem

    def refused(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The problem, after which nothing has been counted, written or queued; JSON unless `headers` are given."""
        sent = {"Content-Type": "application/json"} if headers is None else headers
        with self.spending_nothing():
            status, _, problem = self.send(method, path, body, sent)
        assert status >= 400
        return problem

    def client(self, api_key: str) -> ContractClient:
        server = self.running.server
        return ContractClient(VerifyServer(server.url, api_key, server.state_dir, server.pid))


@contextmanager
def contract(
    folder: Path, more: str = "", env: Mapping[str, str] | None = None, *, fake: bool = True
) -> Iterator[Contract]:
    """A server of its own for a test module; `more` is added to its verify.toml, which has a fake provider."""
    keys = {name: f"vk_{name}_{secrets.token_urlsafe(32)}" for name in ("acme", "reader")}
    file = folder / "verify.toml"
    file.write_text(
        ('[providers.fake-a]\nkind = "fake"\n' if fake else "") + "[tenants.acme]\n"
        'brand = "Acme"\n'
        f'api_keys = [{{ digest = "{api_key_digest(keys["acme"])}", scopes = ["verify"] }},\n'
        f'            {{ digest = "{api_key_digest(keys["reader"])}", scopes = ["read"] }}]\n' + more
    )
    running = start_server(folder / "state", {"VERIFY_CONFIG": str(file), **(env or {})})
    try:
        yield Contract(running, keys)
    finally:
        running.stop()
