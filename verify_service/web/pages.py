"""The pages for people: the API reference, the explanation of each problem, and the fake provider's inbox.

All are rendered from `openapi.yaml` and the catalogue, load nothing from anywhere, and run under a Content
Security Policy that allows exactly the inline style (and, for the inbox, the script) of our own templates.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, abort, current_app, render_template, request
from markupsafe import Markup, escape

from verify_service.web.catalogue import PROBLEMS
from verify_service.web.reference import (
    OPENAPI,
    alternatives,
    curl,
    examples,
    field,
    fields,
    operations,
    problems_of,
    resolve,
    spec,
)

pages: Final = Blueprint("pages", __name__, template_folder="templates")

HOME: Final = {
    "service": "verify_service",
    "docs": "/docs",
    "openapi": "/openapi.yaml",
    "problems": "/problems/",
    "health": "/healthz",
    "ready": "/readyz",
}
INBOX: Final = {"inbox": "/fake/inbox"}  # where a fake provider is configured

_TEMPLATES: Final = Path(__file__).with_name("templates")


@pages.app_template_filter("prose")
def prose(text: str) -> Markup:
    """Paragraphs and `code` as HTML; everything else is escaped."""
    paragraphs = (part.strip() for part in text.split("\n\n"))
    return Markup("").join(Markup("<p>{}</p>").format(phrase(part)) for part in paragraphs if part)


@pages.app_template_filter("phrase")
def phrase(text: str) -> Markup:
    """`code` in one line as HTML; everything else is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped here)


@pages.app_template_filter("pretty")
def pretty(value: object) -> str:
    """An example as a person would write it: JSON indented, text as it is."""
    return value.rstrip() if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


@cache
def _policy(*templates: str) -> str:
    """A Content Security Policy that allows the inline style and script of these templates and nothing else.

    The hashes are of the templates' source, not of the page: what data could bring in is never allowed.
    """
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for template in templates:
        source = (_TEMPLATES / template).read_text(encoding="utf-8")
        for kind, text in re.findall(r"<(style|script)>(.*?)</\1>", source, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            hashes[kind].append(f"'sha256-{digest}'")
    closed = ("default-src", "base-uri", "form-action", "frame-ancestors")
    rules = [f"{kind} 'none'" for kind in closed] + ["img-src data:"]
    rules += [f"{kind}-src {' '.join(found)}" for kind, found in hashes.items() if found]
    if hashes["script"]:
        rules.append("connect-src 'self'")
    return "; ".join(rules)


def _page(html: str, *templates: str) -> Response:
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _policy("base.html", *templates)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@cache
def _render(template: str, slug: str = "", inbox: bool = False) -> str:
    """A page's HTML, made once per process: only the document, the catalogue and the arguments decide it."""
    words = {
        "spec": spec(),
        "operations": list(operations()),
        "problems": PROBLEMS,
        "problem": PROBLEMS.get(slug),
        "inbox": inbox,
        "resolve": resolve,
        "alternatives": alternatives,
        "fields": fields,
        "field": field,
        "examples": examples,
        "problems_of": problems_of,
        "curl": curl,
    }
    return render_template(template, **words)


@pages.get("/")
def home() -> Response:
    """What there is, for whoever opens the bare address: a page, or JSON for a client that asks for it."""
    inbox = "fake" in current_app.blueprints
    if request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html") == "text/html":
        answer = _page(_render("home.html", inbox=inbox))
    else:
        answer = Response(json.dumps(HOME | (INBOX if inbox else {})), mimetype="application/json")
    answer.vary.add("Accept")
    return answer


@pages.get("/openapi.yaml")
def openapi() -> Response:
    """The document itself, byte for byte; as text for a browser, which would save YAML in place of showing it."""
    for_people = request.accept_mimetypes.best_match(["application/yaml", "text/html"]) == "text/html"
    answer = Response(OPENAPI.read_bytes(), mimetype="text/plain" if for_people else "application/yaml")
    answer.vary.add("Accept")
    return answer


@pages.get("/docs")
def docs() -> Response:
    """The document for a person to read."""
    return _page(_render("docs.html"))


@pages.get("/problems/")
def problem_index() -> Response:
    """All problems at a glance."""
    return _page(_render("problems.html"))


@pages.get("/problems/<slug>")
def problem_page(slug: str) -> Response:
    """What one problem means and what to do about it; 404 for a slug that is not in the catalogue."""
    if slug not in PROBLEMS:
        abort(404)
    return _page(_render("problem.html", slug))


def inbox_page() -> Response:
    """The page that shows the fake provider's messages as they come.

    It needs no API key and holds no message: the person gives the key to the page, which keeps it for this
    tab of the browser and asks for the messages itself.
    """
    response = _page(_render("inbox.html"), "inbox.html")
    response.vary.add("Accept")  # the same address answers JSON to a client that asks for it
    return response
