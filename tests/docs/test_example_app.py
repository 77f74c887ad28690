"""The example login app in Flask, with a browser's calls, beside the live service."""

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.login_flow import EXAMPLE, LoginFlow, login_service
from verify_service.testing import VerifyServer

pytestmark = pytest.mark.slow


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def flask_app(verify_url: str, api_key: str) -> Iterator[str]:
    """Where browsers find the app, which runs in a thread of this process."""
    spec = importlib.util.spec_from_file_location("example_app", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    app = module.create_app(verify_url, api_key, "a secret of the tests")
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


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
