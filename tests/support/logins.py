"""The example login apps as they are served, the service beside them, and a visitor."""

import importlib.util
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from urllib.parse import urlencode, urljoin

import urllib3
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.live import clean
from verify_service.policy.file import default_text
from verify_service.testing import RunningServer, start_server

EXAMPLE = Path(__file__).parents[2] / "docs" / "example"
SENTENCES: dict[str, str] = json.loads((EXAMPLE / "sentences.json").read_text("utf-8"))
BLOCKED = "+13105550187"
ABROAD = "+447400123456"
# No route calls numbers outside the US; and one number is on the block-list.
TOML = """
[providers.fake-a]
kind = "fake"
[[routes]]
via = [{ provider = "fake-a" }]
[[routes]]
channel = "voice"
countries = ["US"]
via = [{ provider = "fake-a" }]
"""
POLICY = default_text().replace("[block]\nnumbers = []", f'[block]\nnumbers = ["{BLOCKED}"]')


def login_service(folder: Path) -> RunningServer:
    """The service beside which the apps are tried."""
    (folder / "verify.toml").write_text(TOML)
    (folder / "policy.toml").write_text(POLICY)
    files = {"VERIFY_CONFIG": str(folder / "verify.toml"), "VERIFY_POLICY": str(folder / "policy.toml")}
    return start_server(folder / "state", files, workers=1)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def flask_app(verify_url: str, api_key: str) -> Iterator[str]:
    """Where browsers find the app in Flask, which runs in a thread of this process."""
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
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def express_app(verify_url: str, api_key: str) -> Iterator[str]:
    """Where browsers find the app for Express, which runs on what its lock names: `make test-peers` installs that."""
    settings = {"LOGIN_VERIFY_URL": verify_url, "LOGIN_API_KEY": api_key, "LOGIN_PORT": "0"}
    with TemporaryDirectory() as folder:
        copy = Path(copytree(EXAMPLE, Path(folder) / "example"))
        (copy / "node" / "node_modules").symlink_to(Path(sys.prefix) / "node" / "node_modules")
        command = ["node", str(copy / "node" / "app.js")]
        with subprocess.Popen(command, env=clean(settings), stdout=subprocess.PIPE, text=True) as app:
            assert app.stdout
            try:
                url = app.stdout.readline().strip()
                assert url.startswith("http://localhost:")
                yield url
            finally:
                app.terminate()


class Visitor:
    """A person's browser without scripts: keeps the cookie, follows redirects, sends the hidden fields of its page."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(retries=False)
        self.cookies: dict[str, str] = {}
        self.status = 0
        self.text = ""
        self.headers: Mapping[str, str] = {}
        self.open("/")

    def open(self, path: str, headers: Mapping[str, str] | None = None) -> None:
        self._ask("GET", path, None, headers)

    def submit(self, path: str, **fields: str) -> None:
        hidden = dict(re.findall(r'name="(csrf|once)" value="([^"]+)"', self.text))
        self.post(path, list((hidden | fields).items()))

    def post(self, path: str, fields: list[tuple[str, str]], headers: Mapping[str, str] | None = None) -> None:
        self._ask("POST", path, urlencode(fields), headers)

    def told(self, sentence: str, **facts: object) -> bool:
        """Whether the page says one of the sentences; what is not in `facts` may be anything."""
        pieces = re.split(r"\{(\w+)\}", SENTENCES[sentence])
        parts = [
            (re.escape(str(facts[piece])) if piece in facts else "[^<]+") if odd else re.escape(piece)
            for odd, piece in ((nth % 2, piece) for nth, piece in enumerate(pieces))
        ]
        return re.search(f'<p role="alert">{"".join(parts)}</p>', self.text) is not None

    def _ask(self, method: str, path: str, body: str | None, headers: Mapping[str, str] | None) -> None:
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self._pool.request(method, self._url + path, body=body, headers=sent, redirect=False)
        for cookie in answer.headers.getlist("set-cookie"):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if answer.status == 303:
            return self.open(urljoin(self._url + path, answer.headers["location"]).removeprefix(self._url))
        self.status, self.text, self.headers = answer.status, answer.data.decode(), answer.headers
        return None
