"""Calls from Twilio: whether one is signed, and whether it can be read in one way only.

Written after https://www.twilio.com/docs/usage/security. What is signed is the URL, and for a form each name and its
value, by name, with nothing between them. So a signature alone does not say where a value ends.
"""

import base64
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import SplitResult, urlsplit

from verify_service.errors import Forged
from verify_service.model import Callback
from verify_service.providers import http

# A number, or a name, which has a letter.
_PARTY = re.compile(r"(?:[a-z]+:)?(?:\+?[0-9]{1,15}|(?=.*[A-Za-z])[0-9A-Za-z &+_.-]{1,64})")
# The fields that are read, each in its form.
_FORMS = {
    "MessageSid": re.compile(r"[0-9A-Za-z-]{1,34}"),
    "CallSid": re.compile(r"[0-9A-Za-z-]{1,34}"),
    "MessageStatus": re.compile(r"[a-z-]{1,32}"),
    "CallStatus": re.compile(r"[a-z-]{1,32}"),
    "ErrorCode": re.compile(r"[0-9]{0,8}"),
    "ForwardedFrom": _PARTY,
    "From": _PARTY,
    "To": _PARTY,
    "Body": re.compile(r".*", re.DOTALL),
    "OptOutType": re.compile(r"[A-Z]{0,16}"),
}
_NAME = re.compile("[A-Z][0-9A-Za-z_]*")
# A phone, named as who a call is from.
_FROM = re.compile(r"From(?:[a-z]+:)?\+?[0-9]")
_ESCAPED = re.compile("%[0-9A-Fa-f]{2}")


def read(call: Callback, token: bytes) -> Mapping[str, str]:
    """The fields of a call that is signed with the account's auth token.

    Raises Forged where it is not, and ValueError where it cannot be read, or could be read as another call.
    """
    posted = http.form(call) if call.method == "POST" else []
    signed = "".join(name + value for name, value in sorted(set(posted)))
    theirs = call.headers.get("x-twilio-signature", "")
    if not any(http.same(_sign(token, url + signed), theirs) for url in _spellings(call.url)):
        raise Forged("no signature of Twilio's")
    fields = posted if call.method == "POST" else http.pairs(call)
    known = [(name, value) for name, value in fields if name in _FORMS]
    if len(dict(known)) < len(known) or not all(_FORMS[name].fullmatch(value) for name, value in known):
        raise ValueError("a field twice, or not in its form")
    if call.method == "POST" and not all(_NAME.fullmatch(name) for name, _ in fields):
        raise ValueError("a field that is none of Twilio's")
    _refuse_other_cuts(urlsplit(call.url).query, fields if call.method == "POST" else [])
    return dict(fields)


def _refuse_other_cuts(query: str, posted: Sequence[tuple[str, str]]) -> None:
    """Raises ValueError where what was signed names a phone as `From` elsewhere than in that field (or in
    `ForwardedFrom`, which calls have, and which is in its form).

    Who writes `STOPFrom+1…` from a phone of their own gets a signature that fits a STOP from that other number too,
    with what is left over in some further field. No cut hides the phone that wrote it: names begin with a capital
    letter, and no phone number does.
    """
    signed = query + "".join(name + value for name, value in sorted(set(posted)))
    own = sum(name in ("ForwardedFrom", "From") and bool(_FROM.search(name + value)) for name, value in posted)
    if len(_FROM.findall(signed)) > own:
        raise ValueError("it could be cut otherwise")


def _sign(token: bytes, text: str) -> str:
    return base64.b64encode(hmac.digest(token, text.encode(), "sha1")).decode()


def _spellings(url: str) -> Iterator[str]:
    """The URL as it is, without or with its scheme's own port, since Twilio signs either; and each of these with the
    query in the ways in which the same is escaped, for what stands between us may have spelt it anew."""
    parts: SplitResult = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].removesuffix(f":{parts.port}")
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    yield url
    for query in dict.fromkeys(_escapings(parts.query)):
        yield parts._replace(query=query).geturl()
        yield parts._replace(netloc=host, query=query).geturl()
        yield parts._replace(netloc=f"{host}:{port}", query=query).geturl()


def _escapings(query: str) -> Iterator[str]:
    for spaced in (query, query.replace("+", "%20"), query.replace("%20", "+")):
        yield spaced
        yield _ESCAPED.sub(lambda found: found[0].upper(), spaced)
        yield _ESCAPED.sub(lambda found: found[0].lower(), spaced)
