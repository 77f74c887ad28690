"""The example login app for Express is the same login as the one in Flask: it passes the same tests."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.live import clean
from tests.support.login_flow import EXAMPLE, LoginFlow, login_service
from verify_service.testing import VerifyServer

MODULES = Path(sys.prefix) / "node" / "node_modules"


@contextmanager
def express_app(verify_url: str, api_key: str) -> Iterator[str]:
    """Where browsers find the app, which runs on what its lock names."""
    settings = {"LOGIN_VERIFY_URL": verify_url, "LOGIN_API_KEY": api_key, "LOGIN_PORT": "0"}
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(EXAMPLE, Path(folder) / "example", ignore=shutil.ignore_patterns("node_modules")))
        (copy / "node" / "node_modules").symlink_to(MODULES)
        command = ["node", str(copy / "node" / "app.js")]
        with subprocess.Popen(command, env=clean(settings), stdout=subprocess.PIPE, text=True) as app:
            assert app.stdout
            try:
                url = app.stdout.readline().strip()
                assert url.startswith("http://localhost:")
                yield url
            finally:
                app.terminate()


@pytest.fixture(scope="module")
def verify_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifyServer]:
    """A service with the routes and the policy of these tests."""
    running = login_service(tmp_path_factory.mktemp("login"))
    yield running.server
    assert running.stop() == 0


@pytest.fixture(scope="module")
def url(verify_server: VerifyServer) -> Iterator[str]:
    with express_app(verify_server.url, verify_server.api_key) as found:
        yield found


class TestExpress(LoginFlow):
    served = staticmethod(express_app)
