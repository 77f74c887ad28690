"""A further way of calling the service is one declaration and its views: its callers, its bodies, its errors."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec
import pytest
from flask import Request, Response

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from verify_service.asking import StartFields
from verify_service.config import Principal
from verify_service.errors import Unauthorized
from verify_service.store import Store
from verify_service.web import auth, bodies
from verify_service.web.context import context
from verify_service.web.problems import ProblemDetails
from verify_service.web.surface import Surface

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

TO = "+14155552671"


def basic(request: Request) -> Principal:
    given = request.authorization
    if given is None or not given.password:
        raise Unauthorized("Send the API key as a password.")
    return auth.principal(given.password, request.remote_addr)


def in_a_line(problem: ProblemDetails) -> Response:
    return Response(f"{problem.slug}: {problem.detail}", problem.status, mimetype="text/plain")


@pytest.fixture
def client(store: Store) -> LocalClient:
    """With a surface of forms by Basic authentication, whose errors are a line of text."""
    forms = Surface("forms", __name__, url_prefix="/forms", authenticate=basic, refuse=in_a_line)

    @forms.post("/start")
    @forms.guarded("verify")
    def start(tenant: str) -> Response:
        service = context().service
        fields = msgspec.convert(dict(parse_qsl(bodies.raw(1000).decode())), StartFields)
        return Response(service.start(tenant, service.parse_start(fields)).id, 201)

    @forms.post("/broken")
    def broken() -> Response:
        raise IndexError("nobody foresaw this")

    made = LocalClient(store, ManualClock(), mounts=[forms])
    made.app.config["PROPAGATE_EXCEPTIONS"] = False
    return made


def posted(client: LocalClient, path: str, form: Mapping[str, str], key: str | None = None) -> "TestResponse":
    login = {} if key is None else {"Authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}
    return client.app.test_client().post(path, data=form, headers=login)


def test_a_surface_starts_by_its_own_callers_and_bodies(client: LocalClient) -> None:
    """Its start is the service's: the native API goes on with it."""
    made = posted(client, "/forms/start", {"to": TO}, client._server.api_key)
    assert made.status_code == 201
    assert client.request("GET", f"/verifications/{made.text}")[2]["to"] == TO


def test_a_surface_writes_its_own_errors(client: LocalClient) -> None:
    """Refusals, those of HTTP, and what nobody foresaw, also for a path under its prefix that there is none of; what
    HTTP has to say of an error is said here too. Elsewhere errors are what they were."""
    posted(client, "/forms/start", {"to": TO}, client._server.api_key)
    again = posted(client, "/forms/start", {"to": TO}, client._server.api_key)
    assert (again.status_code, again.text[:13], again.headers["Retry-After"]) == (429, "rate-limited:", "30")
    assert posted(client, "/forms/start", {}).text == "unauthorized: Send the API key as a password."
    assert posted(client, "/forms/start", {"to": "x" * 1000}, client._server.api_key).text == (
        "payload-too-large: A body here may have 1000 bytes at most."
    )
    absent = posted(client, "/forms/none", {})
    assert (absent.status_code, absent.text[:10]) == (404, "not-found:")
    wrong = client.app.test_client().get("/forms/start")
    assert (wrong.status_code, wrong.mimetype, wrong.headers["Allow"]) == (405, "text/plain", "POST")
    broken = posted(client, "/forms/broken", {})
    assert (broken.status_code, broken.text) == (500, "None: This is a fault of the service.")
    for path in ("/formsx", "/start"):
        assert posted(client, path, {}).mimetype == "application/problem+json"


def test_a_refusal_whose_body_was_read_keeps_the_connection(client: LocalClient) -> None:
    """Only a body that is left lying there ends it."""
    posted(client, "/forms/start", {"to": TO}, client._server.api_key)
    assert "Connection" not in posted(client, "/forms/start", {"to": TO}, client._server.api_key).headers
    assert "Connection" not in posted(client, "/forms/start", {"to": TO}).headers
    assert posted(client, "/forms/start", {"to": "x" * 20_000}).headers["Connection"] == "close"
