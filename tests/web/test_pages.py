"""The pages for people: complete, readable without the internet, and safe to open."""

from __future__ import annotations

import base64
import hashlib
import importlib
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from verify_service.web.catalogue import PROBLEM_TYPES
from verify_service.web.docs import docs, inbox_page, phrase, prose
from verify_service.web.docs.reference import Operation, operations

TOP = Path(__file__).parents[2]
module = importlib.import_module("verify_service.web.docs")  # `web` itself has the surface under this name
PAGES = ("/", "/docs", "/problems/", "/problems/rate-limited", "/fake/inbox")


class Links(HTMLParser):
    """Collects what a page points to, what it names, and what it would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.inline: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            elif name == "href" and tag == "a" and value:
                self.links.append(value)
            elif name in {"src", "href", "srcset", "action", "data"} and value != "data:,":
                self.loads.append(f"{tag} {name}={value}")
            elif name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    app = Flask(__name__)
    app.register_blueprint(docs)
    app.add_url_rule("/fake/inbox", view_func=inbox_page)
    for path in ("/healthz", "/readyz"):
        app.add_url_rule(path, path, view_func=Response)
    with app.test_client() as client:
        yield client


def policy(response: Response) -> dict[str, list[str]]:
    """The Content Security Policy as a map from directive to sources."""
    rules = response.headers["Content-Security-Policy"].split(";")
    return {name: sources for name, *sources in (rule.split() for rule in rules)}


def test_the_document_is_served_byte_for_byte(client: FlaskClient) -> None:
    """`/openapi.yaml` is the file at the top of the project."""
    answer = client.get("/openapi.yaml")
    assert answer.status_code == 200
    assert answer.mimetype == "application/yaml"
    assert answer.data == (TOP / "openapi.yaml").read_bytes()
    browser = client.get("/openapi.yaml", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert browser.mimetype == "text/plain"
    assert browser.data == answer.data
    assert browser.vary.as_set() == answer.vary.as_set() == {"accept"}


def test_the_reference_shows_every_operation(client: FlaskClient) -> None:
    """Whoever reads `/docs` has seen the whole API, each call with a command to paste."""
    html = client.get("/docs").text
    ids = Links(html).ids
    assert ids == list(dict.fromkeys(ids))
    for operation in operations():
        assert operation.id in ids
        assert f"$URL{operation.path.split('{')[0]}" in html


def test_the_reference_says_the_type_of_every_field(client: FlaskClient) -> None:
    """Of those that may be null as well, with the words and limits that they have elsewhere."""
    html = client.get("/docs").text
    assert ">any" not in html
    channel = html.split("<code>channel</code>")[1].split("</div>")[0]
    for words in ("string or null, optional", "How the code travels.", "<code>whatsapp</code>"):
        assert words in channel


def test_the_samples_are_shell_that_says_what_it_means() -> None:
    """A body reaches curl as one argument, whatever quotes it holds; only calls that need a key have it."""
    calls = {operation.id: operation for operation in operations()}
    quoted = module.curl(calls["check"], {"code": "it's"})
    assert quoted.endswith("""-d '{"code": "it'"'"'s"}'""")
    assert "Authorization" in quoted
    assert module.curl(calls["healthz"]) == 'curl "$URL/healthz"'
    assert "Accept: application/json" in module.curl(calls["list_inbox"])


def test_a_call_with_a_form_is_shown_as_one() -> None:
    """Of a surface that takes forms, and the API key as a password: each field is an argument of its own."""
    raw = {
        "security": [{"basic": ["verify"]}],
        "requestBody": {"content": {"application/x-www-form-urlencoded": {}}},
        "responses": {"201": {"description": "Started."}},
    }
    call = Operation("form", "POST", "/forms/start", raw, [])
    parts = ['curl -X POST "$URL/forms/start"', '-u "key:$KEY"', "--data-urlencode 'To=+1 415'"]
    assert module.curl(call, {"To": "+1 415"}) == " \\\n  ".join(parts)


@pytest.mark.parametrize("slug", PROBLEM_TYPES)
def test_a_problem_has_a_page_that_helps(client: FlaskClient, slug: str) -> None:
    """The `type` of every problem opens a page with its meaning, its remedy and an example."""
    answer = client.get(f"/problems/{slug}")
    problem = PROBLEM_TYPES[slug]
    assert answer.status_code == 200
    assert problem.title in answer.text
    assert phrase(problem.means) in answer.text
    assert phrase(problem.remedy) in answer.text
    assert f"&#34;type&#34;: &#34;/problems/{slug}&#34;" in answer.text


@pytest.mark.parametrize("slug", ["nothing", "..%2Fdocs", "<script>", "RATE-LIMITED", "x" * 5000])
def test_an_unknown_problem_has_no_page(client: FlaskClient, slug: str) -> None:
    """Only what is in the catalogue has a page."""
    assert client.get(f"/problems/{slug}").status_code == 404


def test_every_link_leads_somewhere(client: FlaskClient) -> None:
    """No page points to a page or a place in a page that is not there."""

    @cache
    def read(page: str) -> Links | None:
        answer = client.get(page)
        return Links(answer.text) if answer.status_code == 200 else None

    for page in (*PAGES, *(f"/problems/{slug}" for slug in PROBLEM_TYPES)):
        found = read(page)
        assert found, page
        for link in found.links:
            path, _, place = link.partition("#")
            target = read(path or page)
            assert target, (page, link)
            assert not place or place in target.ids, (page, link)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_loads_nothing(client: FlaskClient, page: str) -> None:
    """The pages work without the internet: no script, style, font or picture comes from anywhere."""
    found = Links(client.get(page).text)
    assert found.loads == []
    assert found.inline == []
    assert not re.search(r"@import|url\(", client.get(page).text)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_allows_only_its_own_style_and_script(client: FlaskClient, page: str) -> None:
    """The Content Security Policy names exactly the inline style and script that the page has, by hash."""
    answer = client.get(page)
    rules = policy(answer)
    for kind in ("style", "script"):
        blocks = re.findall(rf"<{kind}[^>]*>(.*?)</{kind}>", answer.text, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() for block in blocks]
        assert rules.get(f"{kind}-src", []) == [f"'sha256-{digest}'" for digest in hashes]
    for closed in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert rules[closed] == ["'none'"]
    assert rules.get("connect-src") == (["'self'"] if page == "/fake/inbox" else None)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.mimetype == "text/html"


def test_the_reference_needs_no_script(client: FlaskClient) -> None:
    """`/docs` and the problem pages are plain HTML; only the inbox has a script."""
    assert "<script" not in client.get("/docs").text
    assert "<script" not in client.get("/problems/blocked").text


def test_the_inbox_page_handles_messages_as_text_only(client: FlaskClient) -> None:
    """What a message holds cannot become markup, and the key stays in the tab."""
    answer = client.get("/fake/inbox")
    assert answer.vary.as_set() == {"accept"}
    for danger in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage"):
        assert danger not in answer.text
    assert "sessionStorage" in answer.text
    assert "textContent" in answer.text
    assert 'history.replaceState(null, "", location.pathname)' in answer.text


def test_words_are_escaped_before_they_become_html() -> None:
    """Backticks become code and blank lines paragraphs; markup in the words stays words."""
    assert phrase("a `<b>` & c") == "a <code>&lt;b&gt;</code> &amp; c"
    assert prose("one\n\n`two` <i>") == "<p>one</p><p><code>two</code> &lt;i&gt;</p>"


def test_a_page_is_rendered_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second reader costs no rendering."""
    first = client.get("/docs").data
    monkeypatch.setattr(module, "render_template", None)
    assert client.get("/docs").data == first
