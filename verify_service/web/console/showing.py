"""What the console's pages have in common: the frame, the headers, and what templates may call."""

from typing import Any, Final, NamedTuple

from flask import Response, render_template
from markupsafe import Markup

from verify_service.duration import rfc3339
from verify_service.operators import Operator
from verify_service.web.console import forms, sessions
from verify_service.web.context import context
from verify_service.web.problems import ProblemDetails

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Browsers name no Origin of a form where it is `no-referrer`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "X-Robots-Tag": "noindex, nofollow",
}


class Entry(NamedTuple):
    """An entry of the navigation: the page's template, its path under `/console`, and its name."""

    page: str
    path: str
    name: str


PAGES: Final = (
    Entry("now", "/", "Now"),
    Entry("decisions", "/decisions", "Decisions"),
    Entry("lookup", "/lookup", "Look up"),
    Entry("blocks", "/blocks", "Blocks"),
    Entry("policy", "/policy", "Policy"),
    Entry("delivery", "/delivery", "Delivery"),
    Entry("audit", "/audit", "Audit"),
)
"""The pages in the order of the navigation."""


def show(page: str, who: Operator | None, *, status: int = 200, **values: Any) -> Response:
    """A page, by its template's name; `title` is among the values. Raises StoreUnavailable."""
    found = sessions.signed_in() if who else None
    html = render_template(
        f"console/{page}.html",
        page=page.partition("_")[0],
        who=who,
        nav=PAGES if who else (),
        token=sessions.form_token(found.token) if found else "",
        said=forms.said(),
        at=forms.at,
        time=time,
        now=context().clock.now(),
        **values,
    )
    response = Response(html, status, mimetype="text/html")
    response.headers.update(HEADERS)
    return response


def time(ms: int) -> Markup:
    """A moment as people read it, in UTC."""
    moment = rfc3339(ms)
    return Markup('<time datetime="{}">{}</time>').format(moment, f"{moment[:10]} {moment[11:19]}")


def refused(problem: ProblemDetails) -> Response:
    """The page of an error. It is shown without the store, which may be the one that fails."""
    errors = problem.members.get("errors", ())
    html = render_template(
        "console/refused.html",
        page="refused",
        who=None,
        nav=PAGES,
        token="",
        said="",
        at=forms.at,
        title="This did not work",
        problem=problem,
        errors=[each for each in errors if each["field"]],
    )
    response = Response(html, problem.status, mimetype="text/html")
    response.headers.update(HEADERS)
    return response
