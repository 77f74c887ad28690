"""Where the hosted page may send a browser: what an operator writes in `return_urls`, and what an entry admits."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from verify_service.errors import ConfigError

LOOPBACK = ("http://localhost/", "http://127.0.0.1/", "http://[::1]/")
"""What is admitted where nobody has written anything: this machine, at every port."""
FORM = (
    "is an address such as https://app.example.com/signed-in: https (http on this machine alone), a host in ASCII, no "
    "user, no fragment, no `.` or `..` in its path, nothing but what RFC 3986 lets stand in a URL"
)
OURS = ("verification", "status", "state", "receipt")
_PORTS = {"https": 443, "http": 80}
_HERE = {"localhost", "127.0.0.1", "[::1]"}
_SIGN = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
    rf"(?P<path>(?:/{_SIGN}*)*)(?:\?(?P<query>(?:{_SIGN}|[/?])*))?"
)
# What a server may read as a step in the path, or as its end, though a browser does not.
_STEP = re.compile(r"/(?:\.|%2e){1,2}(?:/|\Z)|%2f|%5c|%[01][0-9a-f]|%7f", re.IGNORECASE)


class Place(NamedTuple):
    """A URL by what is compared; its port is the scheme's own where it names none, None of an entry that lets each."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: str | None = None

    @property
    def origin(self) -> str:
        """As a Content Security Policy names it."""
        return f"{self.scheme}://{self.host}:{'*' if self.port is None else self.port}"

    def admits(self, other: "Place") -> bool:
        """Whether the other has this scheme, host and port, and this path: the very same, or one below it where this
        ends with a slash."""
        same = (self.scheme, self.host) == (other.scheme, other.host) and self.port in (None, other.port)
        below = self.path.endswith("/") and other.path.startswith(self.path)
        return same and (below or other.path == self.path)


def place(url: str) -> Place:
    """A URL that a browser may be sent to. Raises ValueError, in words that go on from the name of the field."""
    found = _URL.fullmatch(url)
    if not found or _STEP.search(found["path"]):
        raise ValueError(FORM)
    scheme, host = found["scheme"], found["host"].lower()
    port = int(found["port"] or _PORTS[scheme])
    if (scheme == "http" and host not in _HERE) or not 0 < port < 65_536:
        raise ValueError(FORM)
    for name, _ in parse_qsl(found["query"] or "", keep_blank_values=True):
        if name in OURS:
            raise ValueError(f"has `{name}` in its query, which the page adds")
    return Place(scheme, host, port, found["path"] or "/", found["query"])


def allowed(key: str, url: str) -> Place:
    """An entry of `return_urls`. On this machine one without a port admits each (RFC 8252, section 7.3). Raises
    ConfigError that begins with the key."""
    try:
        found = place(url)
    except ValueError as error:
        raise ConfigError(f"{key}: {url!r} {error}") from None
    if found.query is not None:
        raise ConfigError(f"{key}: {url!r} has a query; leave it out, a return_url may have any")
    named = re.match(r"[a-z]+://[^/]*:[0-9]+(?:/|\Z)", url)
    return found if named or found.scheme == "https" else found._replace(port=None)


def back(url: str, **told: str | None) -> str:
    """The URL with what is told in its query, what is None left out."""
    added = urlencode({name: value for name, value in told.items() if value is not None})
    return f"{url}{'&' if '?' in url else '?'}{added}"
