"""Pages of HTML: they load nothing from anywhere, and run under a Content Security Policy that allows exactly the
inline style and script of our own templates."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Final

from flask import Response

TEMPLATES: Final = Path(__file__).with_name("templates")


@cache
def _policy(*templates: str) -> str:
    """A Content Security Policy that allows the inline style and script of these templates and nothing else.

    The hashes are of the templates' source, not of the page: what data could bring in is never allowed.
    """
    hashes: dict[str, list[str]] = {"style": [], "script": []}
    for template in templates:
        source = (TEMPLATES / template).read_text(encoding="utf-8")
        for kind, text in re.findall(r"<(style|script)>(.*?)</\1>", source, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            hashes[kind].append(f"'sha256-{digest}'")
    closed = ("default-src", "base-uri", "form-action", "frame-ancestors")
    rules = [f"{kind} 'none'" for kind in closed] + ["img-src data:"]
    rules += [f"{kind}-src {' '.join(found)}" for kind, found in hashes.items() if found]
    if hashes["script"]:
        rules.append("connect-src 'self'")
    return "; ".join(rules)


def page(html: str, *templates: str) -> Response:
    """A page that was made of `base.html` and these templates, under the policy of their source."""
    response = Response(html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = _policy("base.html", *templates)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
