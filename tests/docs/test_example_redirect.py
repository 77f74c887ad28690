"""The example that leaves the code to the hosted page, in a browser's place, against the live server."""

import importlib.util
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from flask.testing import FlaskClient

from verify_service.testing import VerifyClient, VerifyInbox, VerifyServer

pytestmark = pytest.mark.slow

APP = Path(__file__).parents[2] / "docs" / "example" / "redirect.py"
TO = "+14155550127"


@pytest.fixture
def visitor(verify_server: VerifyServer, verify_client: VerifyClient, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """A browser on the app, which is plain HTTP here, and so is its cookie."""
    monkeypatch.setenv("LOGIN_VERIFY_URL", verify_server.url)
    monkeypatch.setenv("LOGIN_API_KEY", verify_server.api_key)
    spec = importlib.util.spec_from_file_location("example_redirect", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.app.config["SESSION_COOKIE_SECURE"] = False
    verify_client.forget(TO)
    client: FlaskClient = module.app.test_client()
    return client


def typed(page: str, code: str) -> str:
    """Where the page leads after a code."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = urllib3.request("POST", page, body=f"code={code}", headers=headers, redirect=False)
    assert answer.status == 303
    return answer.headers["location"]


def test_a_visitor_signs_in_by_the_page(visitor: FlaskClient, verify_inbox: VerifyInbox) -> None:
    """With no address of anybody's written down before: under `make run` this works as it stands. The text names the
    page's host, for browsers that fill it in; and no address leads another browser in, nor this one a second time."""
    assert b"<form" in visitor.get("/").data
    page = visitor.post("/", data={"number": "(415) 555-0127"}).headers["Location"]
    assert b"one-time-code" in urllib3.request("GET", page).data
    code = verify_inbox.code(TO)
    assert verify_inbox.messages(TO)[0]["body"].endswith(f"\n@127.0.0.1 #{code}")
    back = urlsplit(typed(page, code))
    assert (back.netloc, back.path) == ("localhost", "/back")
    stranger = visitor.application.test_client()
    assert stranger.get(f"/back?{back.query}").status_code == 400
    assert visitor.get(f"/back?{back.query}", follow_redirects=True).data == f"Signed in as {TO}.".encode()
    assert visitor.get(f"/back?{back.query}").status_code == 400


def test_an_address_that_says_approved_signs_nobody_in(visitor: FlaskClient, verify_inbox: VerifyInbox) -> None:
    """The app asks the service; whatever else comes back leaves the visitor where they were."""
    page = visitor.post("/", data={"number": TO}).headers["Location"]
    assert verify_inbox.code(TO)
    with visitor.session_transaction() as session:
        state = session["asked"][0]
    forged = visitor.get(f"/back?status=approved&state={state}", follow_redirects=True)
    assert (forged.status_code, b"Signed in" in forged.data) == (200, False)
    assert urllib3.request("GET", page).status == 200


@pytest.mark.parametrize("number", ["", "12", "hello"])
def test_a_number_that_cannot_be_texted_is_told(visitor: FlaskClient, number: str) -> None:
    """In words, and the browser stays."""
    answer = visitor.post("/", data={"number": number})
    assert (answer.status_code, b"We cannot send a code" in answer.data) == (422, True)
