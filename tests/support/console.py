"""The console in a test: an operator's browser without script, on the app in this process and a real store."""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from verify_service.codes import api_key_digest, new_api_key
from verify_service.store import Store

KEYS = {scope: new_api_key("operator") for scope in ("admin", "read")}
OPERATORS = "".join(
    f'[[operators]]\nname = "{name}"\ndigest = "{api_key_digest(KEYS[scope])}"\nscopes = ["{scope}"]\n'
    for name, scope in (("Ada", "admin"), ("Rex", "read"))
)
TOML = f'[tenants.default]\nbrand = "A <b>& Co"\n[providers.fake-a]\nkind = "fake"\n{OPERATORS}'
"""Ada may do everything, Rex may look."""
ORIGIN = "http://localhost"


class Seen(NamedTuple):
    """A page as it was answered, and its address after all redirects."""

    status: int
    headers: Mapping[str, str]
    text: str
    path: str

    @property
    def words(self) -> str:
        """What is to be read, without markup."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.text))).strip()

    @property
    def token(self) -> str:
        """What its forms carry, '' where it has none."""
        found = re.search(r'name="token" value="([^"]*)"', self.text)
        return found[1] if found else ""


class Browser:
    """Follows redirects, keeps its cookies, and sends forms as the page that it has seen last would."""

    def __init__(self, client: LocalClient, address: str = "192.0.2.1") -> None:
        self.client = client
        self._http = client.app.test_client()
        self._address = address
        self.seen = Seen(0, {}, "", "/console/")

    def sign_in(self, scope: str = "admin") -> "Browser":
        """As the operator who has that scope."""
        self.open("/console/")
        assert self.send("/console/sign-in", key=KEYS[scope]).path == "/console/", self.seen.words
        return self

    def raw(self, path: str) -> Any:
        """The answer itself, no redirect followed."""
        return self._http.get(path, environ_overrides={"REMOTE_ADDR": self._address}, base_url=ORIGIN)

    def open(self, path: str, **headers: str) -> Seen:
        return self._ask("GET", path, headers)

    def send(self, path: str, *, headers: Mapping[str, str] | None = None, **form: str) -> Seen:
        """A form of the page that was seen last; its token goes along unless the form has another."""
        said = {"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN, **(headers or {})}
        return self._ask("POST", path, said, {"token": self.seen.token, **form})

    @property
    def cookie(self) -> str:
        """Its session's, as `name=value`, '' where it has none."""
        found = self._http.get_cookie("verify-console") or self._http.get_cookie("__Host-verify-console")
        return f"{found.key}={found.value}" if found else ""

    def take(self, cookie: str) -> None:
        """Has this cookie from now on."""
        name, _, value = cookie.partition("=")
        self._http.set_cookie(name, value)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], form: Any = None) -> Seen:
        where = {"REMOTE_ADDR": self._address}
        answer = self._http.open(
            path, method=method, data=form, headers=dict(headers), environ_overrides=where, base_url=ORIGIN
        )
        got = {name.lower(): value for name, value in answer.headers.items()}
        if answer.status_code == 303:
            return self._ask("GET", urljoin(path, got["location"]), {})
        self.seen = Seen(answer.status_code, got, answer.text, path)
        return self.seen


class Desk:
    """The app with operators, on a store of the test's, under a clock of its own; `client` is a tenant's caller."""

    def __init__(self, store: Store, folder: Path, policy: str = "", toml: str = TOML) -> None:
        (folder / "verify.toml").write_text(toml)
        self.store = store
        self.folder = folder
        self.clock = ManualClock()
        self.client = LocalClient(store, self.clock, policy, config_file=folder / "verify.toml")

    def browser(self, scope: str | None = "admin", address: str = "192.0.2.1") -> Browser:
        """Signed in as who has the scope; nobody yet, where it is None."""
        made = Browser(self.client, address)
        return made.sign_in(scope) if scope else made
