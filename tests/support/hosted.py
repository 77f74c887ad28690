"""Hosted pages in a test: a caller who asks for them, and a browser that does as it is told."""

import dataclasses
import html
import re
import secrets
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urljoin, urlsplit

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient, a_number, judge, template_of
from verify_service import codes
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.layouts import Record
from verify_service.web.context import EXTENSION

BASE = "https://verify.example.com/otp"
BACK = "https://app.example.com/signed-in?from=us"
TOML = """
public_url = "https://verify.example.com/otp"
[tenants.default]
brand = "A <b>& Co"
return_urls = ["https://app.example.com/signed-in", "http://localhost/"]
[providers.fake-a]
kind = "fake"
[[routes]]
countries = ["US"]
fallback = ["voice", "whatsapp"]
via = [{ provider = "fake-a" }]
[[routes]]
countries = ["US"]
channel = "voice"
via = [{ provider = "fake-a" }]
[[routes]]
channel = "whatsapp"
via = [{ provider = "fake-a" }]
[[routes]]
channel = "email"
via = [{ provider = "fake-a" }]
[[routes]]
countries = ["DE"]
via = [{ provider = "fake-a" }]
"""


class Seen(NamedTuple):
    """An answer of the page."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def words(self) -> str:
        """What is to be read, without markup."""
        return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", self.text)))

    @property
    def led_to(self) -> tuple[str, dict[str, str]]:
        """Where it redirects to, without the query, and that."""
        assert self.status == 303
        where = urlsplit(self.headers["location"])
        told = {name: values[0] for name, values in parse_qs(where.query).items()}
        self.receipt(told)
        return where._replace(query="").geturl(), told

    @staticmethod
    def receipt(told: dict[str, str]) -> None:
        """Takes the receipt out; there is one with an approval, and with nothing else."""
        assert ("receipt" in told) == (told.get("status") == "approved")
        told.pop("receipt", None)


class Browser:
    """A browser on a page, which does as it is told: a redirect to the page is followed, one that leads away is not."""

    def __init__(self, client: LocalClient, started: dict[str, Any]) -> None:
        self.client = client
        self.id = started["id"]
        self.url = started["page"]
        self.path = self.url.removeprefix(BASE)
        self.query = ""

    def open(self, query: str = "", **headers: str) -> Seen:
        self.query = query
        return self._ask("GET", self.path + query, headers=headers)

    def post(self, form: Any, **headers: str) -> Seen:
        """A form goes to the address of its page."""
        return self._ask("POST", self.path + self.query, data=form, headers=headers)

    def follow(self, address: str) -> Seen:
        """A link or redirect to another page of ours."""
        where = urljoin(f"{BASE}{self.path}", address)
        assert where.startswith(f"{BASE}/v/")
        path, _, query = where.removeprefix(BASE).partition("?")
        self.path = path
        return self.open(f"?{query}" if query else "")

    def submit(self, **form: str) -> Seen:
        """The page that a form leads to, or the answer that leads away from here or has no other page."""
        answer = self.post(form)
        if answer.status != 303 or urlsplit(answer.headers["location"]).scheme:
            return answer
        return self.follow(answer.headers["location"])

    def _ask(self, method: str, path: str, **request: Any) -> Seen:
        names = {name.replace("_", "-"): value for name, value in request.pop("headers").items()}
        answer = self.client.app.test_client().open(path, method=method, headers=names, **request)
        got = {name.lower(): value for name, value in answer.headers.items()}
        if template_of(path):  # What lies beside it is a page, too.
            judge(method, path, answer.status_code, got, answer.text)
        return Seen(answer.status_code, got, answer.text)


class Desk:
    """The caller's side: starts with a page, and what the store knows."""

    def __init__(self, store: Store, folder: Path, policy: str = "") -> None:
        (folder / "verify.toml").write_text(TOML)
        self.store = store
        self.clock = ManualClock()
        self.clock.advance(604_800 * secrets.randbelow(3000))
        toml = folder / "verify.toml"
        self.client = LocalClient(store, self.clock, policy, signing_keys=codes.new_ring(), config_file=toml)

    def start(self, to: str | None = None, **fields: Any) -> Browser:
        page = {"return_url": BACK, "state": "s&1"}
        return Browser(self.client, self.client.start(to or a_number(), **{"page": page, **fields}))

    def code(self, browser: Browser) -> str:
        part = self.store.verifications.partition(browser.id[3:])
        record = Record.open(self.store.link.command(part, ["GET", f"vs:{{{part}}}:verification:{browser.id}"]))
        keys: codes.KeyRing = context_of(self.client).keys
        return keys.code(record.kid, record.nonce, record.tenant, record.purpose, 6)

    def status(self, browser: Browser) -> dict[str, Any]:
        return self.client.status(browser.id)

    def rotate(self, keys: str) -> None:
        """Lets the web role have these master keys."""
        was, ring = context_of(self.client), codes.KeyRing(keys)
        old: Any = was.service
        common = (old._tagger, self.store.verifications, self.clock, old.approvals)
        service = Service(was.config, old.rules, ring, *common)
        self.client.app.extensions[EXTENSION] = dataclasses.replace(was, keys=ring, service=service)


def context_of(client: LocalClient) -> Any:
    return client.app.extensions[EXTENSION]
