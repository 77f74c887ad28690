"""The address of a page: all that it works with is sealed in its token, and nothing of it in the store."""

import re
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.errors import InvalidRequest, NotFound
from verify_service.model import HostedPage, Start, StartOptions
from verify_service.return_urls import back, place

MOST_BYTES = 4096
"""Of a token's content. A binding may be longer, an address should not."""
LIFE_MS = 900_000
"""How long a user's page is good for: long enough to install an app."""
_VERIFICATION, _USER = "page", "user page"
_encode = msgspec.json.Encoder(order="deterministic").encode

S = TypeVar("S", bound=StartOptions)


class Person(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whose second factors a page works with, until when (milliseconds), and the phone or mailbox that the caller named
    for codes, '' where it named none, with their purpose."""

    user: str
    until: int
    to: str = ""
    purpose: str = "login"


class Link(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says: whose verification it is, where it leads in the end, and what its start said, so that a resend
    and a check say the same. Tokens of other versions are read too: it grows, and nothing in it changes its meaning.

    A page of a user has a `person`. Its `id` is the factor that it enrols; of one that asks, the verification of the
    code that was sent, or '' before that."""

    tenant: str
    id: str
    channel: str
    page: HostedPage
    options: StartOptions
    person: Person | None = None


_decode = msgspec.json.Decoder(Link).decode


def judged(config: Config, tenant: str, ask: Start) -> Start:
    """The start, with our own host as the origin where the caller names none, so that the browser fills in the code on
    our page. Raises InvalidRequest for what it says of a page, before anything is spent."""
    if ask.page is None:
        return ask
    judge(config, _link(tenant, "", ask, ask.page), "page", "page.return_url")
    return with_origin(config, ask)


def judge(config: Config, link: Link, field: str, url_field: str) -> None:
    """Raises InvalidRequest, naming the field, for a page that cannot be."""
    if config.base_url is None:
        raise InvalidRequest(field, "needs the address of this service: its operator has not set public_url")
    try:
        _judge(config, link)
    except ValueError as error:
        raise InvalidRequest(url_field, str(error)) from None
    if len(_encode(link)) > MOST_BYTES:
        raise InvalidRequest(field, f"and what goes with it come to more than {MOST_BYTES} bytes; shorten the binding")


def with_origin(config: Config, said: S) -> S:
    """What is said of a start, with our own host as its origin where there is none."""
    host = urlsplit(config.base_url or "").hostname or ""
    if said.origin or not re.fullmatch(r"[a-z0-9.-]+", host):
        return said
    return msgspec.structs.replace(said, origin=host)


def address(config: Config, keys: KeyRing, tenant: str, verification_id: str, ask: Start) -> str | None:
    """The page of a start that asked for one: the same for the same start, as long as the newest key is the same."""
    if ask.page is None:
        return None
    return f"{config.base_url}/v/{token(keys, _link(tenant, verification_id, ask, ask.page))}"


def address_of_user(config: Config, keys: KeyRing, link: Link) -> str:
    """The page of a link with a person."""
    return f"{config.base_url}/v/users/{token_of_user(keys, link)}"


def token(keys: KeyRing, link: Link) -> str:
    """What the address of a verification's page ends with."""
    return keys.token(_encode(link), _VERIFICATION)


def token_of_user(keys: KeyRing, link: Link) -> str:
    """What the address of a user's page ends with."""
    return keys.token(_encode(link), _USER)


def read(config: Config, keys: KeyRing, token: str) -> Link:
    """Raises NotFound for whatever this service has not made, and for a page that leads where it may not any more."""
    return _read(config, keys, token, _VERIFICATION)


def read_of_user(config: Config, keys: KeyRing, token: str) -> tuple[Link, Person]:
    """The same of a user's page."""
    found = _read(config, keys, token, _USER)
    if found.person is None:
        raise NotFound("There is no page here.")
    return found, found.person


def onward(link: Link, status: str, receipt: str | None = None) -> str:
    """Where the browser goes in the end."""
    verification = link.id if link.id.startswith("ve_") else None
    told = {"verification": verification, "status": status, "state": link.page.state, "receipt": receipt}
    return back(link.page.return_url, **told)


def _read(config: Config, keys: KeyRing, token: str, context: str) -> Link:
    try:
        found = _decode(keys.opened(token, context))
        _judge(config, found)
    except (ValueError, msgspec.MsgspecError):
        raise NotFound("There is no page here.") from None
    return found


def _judge(config: Config, link: Link) -> None:
    """Raises ValueError, in words that go on from the name of the field, for where a tenant's page may not lead."""
    asked = place(link.page.return_url)
    if not any(allowed.admits(asked) for allowed in config.return_urls.get(link.tenant, ())):
        raise ValueError("is none that the operator has listed in return_urls of this tenant")


def _link(tenant: str, verification_id: str, ask: Start, page: HostedPage) -> Link:
    options = StartOptions(**{name: getattr(ask, name) for name in StartOptions.__struct_fields__})
    return Link(tenant=tenant, id=verification_id, channel=ask.channel, page=page, options=options)
