"""Where a user's notices go, over HTTP; each answer held against `openapi.yaml`."""

import secrets
from typing import Any

import pytest

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from verify_service.store import Store


@pytest.fixture
def client(store: Store) -> LocalClient:
    return LocalClient(store, ManualClock())


@pytest.fixture
def user() -> str:
    """The path of a user that no other test has."""
    return f"/users/{secrets.token_hex(8)}"


def test_a_contact_is_set_masked_changed_and_taken_back(client: LocalClient, user: str) -> None:
    """A number as people write it; nobody reads it whole again. Null takes it back, and an erasure forgets it."""
    set_to = {"to": "(415) 555-0123", "region": "US", "locale": "en-US"}
    status, _, answer = client.request("PUT", user, set_to)
    assert (status, answer["contact"]) == (200, {"to": "•••23", "channel": "sms", "locale": "en-US"})
    assert (answer["factors"], answer["recovery_codes_left"]) == ([], 0)
    assert client.request("GET", user)[2] == answer
    assert client.request("PUT", user, {"to": "ann@example.org"})[2]["contact"] == {
        "to": "a•••@example.org",
        "channel": "email",
        "locale": None,
    }
    assert client.request("PUT", user, {"to": None})[2]["contact"] is None
    assert client.request("PUT", user, set_to)[0] == 200
    assert client.request("DELETE", user)[0] == 204
    assert client.request("GET", user)[2]["contact"] is None


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "to"),
        ({"to": "+14155550123", "channel": "voice"}, 400, "a notice goes by sms or email"),
        ({"to": "+14155550123", "channel": "email"}, 400, "email needs an email address"),
        ({"to": None, "locale": "en"}, 400, "is null, so notices go nowhere"),
        ({"to": "+14155550123", "locale": "?"}, 400, "locale"),
        ({"to": "+14155550123", "user": "x"}, 400, "user"),
        ({"to": 14155550123}, 400, "to"),
        ({"to": "hello"}, 422, "not-a-number"),
        ([], 400, "object"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    client: LocalClient, user: str, body: Any, status: int, said: str
) -> None:
    """A clear 4xx, and the contact stays as it was."""
    client.request("PUT", user, {"to": "+14155550123"})
    answered, _, answer = client.request("PUT", user, body)
    assert (answered, said in str(answer)) == (status, True)
    assert client.request("GET", user)[2]["contact"] == {"to": "•••23", "channel": "sms", "locale": None}
