"""The example login app in Flask, with a browser's calls, beside the live service."""

from collections.abc import Iterator

import pytest

from tests.support.login_flow import LoginFlow
from tests.support.logins import flask_app, login_service
from verify_service.testing import VerifyServer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def verify_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifyServer]:
    """A service with the routes and the policy of these tests."""
    running = login_service(tmp_path_factory.mktemp("login"))
    yield running.server
    assert running.stop() == 0


@pytest.fixture(scope="module")
def url(verify_server: VerifyServer) -> Iterator[str]:
    with flask_app(verify_server.url, verify_server.api_key) as found:
        yield found


class TestFlask(LoginFlow):
    served = staticmethod(flask_app)
