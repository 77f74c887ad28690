"""The pages for people: the API reference, the explanation of each problem, and the fake provider's inbox.

All are rendered from `openapi.yaml` and the catalogue, load nothing from anywhere, and run under a Content
Security Policy that allows exactly the inline style (and, for the inbox, the script) of our own templates.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Final

from flask import Response, abort, current_app, render_template, request
from markupsafe import Markup, escape

from verify_service.web.catalogue import PROBLEM_TYPES
from verify_service.web.docs.reference import (
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
from verify_service.web.html import TEMPLATES, page
from verify_service.web.problems import problem_json
from verify_service.web.surface import Surface

docs: Final = Surface("docs", __name__, refuse=problem_json, template_folder=TEMPLATES)

HOME: Final = {
    "service": "verify_service",
    "docs": "/docs",
    "openapi": "/openapi.yaml",
    "problems": "/problems/",
    "health": "/healthz",
    "ready": "/readyz",
}
INBOX: Final = {"inbox": "/fake/inbox"}  # where a fake provider is configured


@docs.app_template_filter("prose")
def prose(text: str) -> Markup:
    """Paragraphs and `code` as HTML; everything else is escaped."""
    paragraphs = (part.strip() for part in text.split("\n\n"))
    return Markup("").join(Markup("<p>{}</p>").format(phrase(part)) for part in paragraphs if part)


@docs.app_template_filter("phrase")
def phrase(text: str) -> Markup:
    """`code` in one line as HTML; everything else is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped here)


@docs.app_template_filter("pretty")
def pretty(value: object) -> str:
    """An example as a person would write it: JSON indented, text as it is."""
    return value.rstrip() if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


@cache
def _render(template: str, slug: str = "", inbox: bool = False) -> str:
    """A page's HTML, made once per process: only the document, the catalogue and the arguments decide it."""
    words = {
        "spec": spec(),
        "operations": list(operations()),
        "problems": PROBLEM_TYPES,
        "problem": PROBLEM_TYPES.get(slug),
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


@docs.get("/")
def home() -> Response:
    """What there is, for whoever opens the bare address: a page, or JSON for a client that asks for it."""
    inbox = "fake" in current_app.blueprints
    if request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html") == "text/html":
        answer = page(_render("home.html", inbox=inbox))
    else:
        answer = Response(json.dumps(HOME | (INBOX if inbox else {})), mimetype="application/json")
    answer.vary.add("Accept")
    return answer


@docs.get("/openapi.yaml")
def openapi() -> Response:
    """The document itself, byte for byte; as text for a browser, which would save YAML in place of showing it."""
    for_people = request.accept_mimetypes.best_match(["application/yaml", "text/html"]) == "text/html"
    answer = Response(OPENAPI.read_bytes(), mimetype="text/plain" if for_people else "application/yaml")
    answer.vary.add("Accept")
    return answer


@docs.get("/docs")
def reference() -> Response:
    """The document for a person to read."""
    return page(_render("docs.html"))


@docs.get("/problems/")
def problem_index() -> Response:
    """All problems at a glance."""
    return page(_render("problems.html"))


@docs.get("/problems/<slug>")
def problem_page(slug: str) -> Response:
    """What one problem means and what to do about it; 404 for a slug that is not in the catalogue."""
    if slug not in PROBLEM_TYPES:
        abort(404)
    return page(_render("problem.html", slug))


def inbox_page() -> Response:
    """The page that shows the fake provider's messages as they come.

    It needs no API key and holds no message: the person gives the key to the page, which keeps it for this
    tab of the browser and asks for the messages itself.
    """
    response = page(_render("inbox.html"), "inbox.html")
    response.vary.add("Accept")  # the same address answers JSON to a client that asks for it
    return response
