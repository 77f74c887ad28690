"""The address of a page: all that it works with is sealed in its token, and nothing of it in the store."""

import re
from urllib.parse import urlsplit

import msgspec

from verify_service.codes import KeyRing
from verify_service.config import Config
from verify_service.errors import InvalidRequest, NotFound
from verify_service.model import HostedPage, Start, StartOptions
from verify_service.return_urls import place

MOST_BYTES = 4096
"""Of a token's content. A binding may be longer, an address should not."""
_CONTEXT = "page"
_encode = msgspec.json.Encoder(order="deterministic").encode


class Link(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says: whose verification it is, where it leads in the end, and what its start said, so that a resend
    and a check say the same. Tokens of other versions are read too: it grows, and nothing in it changes its meaning."""

    tenant: str
    id: str
    channel: str
    page: HostedPage
    options: StartOptions


_decode = msgspec.json.Decoder(Link).decode


def judged(config: Config, tenant: str, ask: Start) -> Start:
    """The start, with our own host as the origin where the caller names none, so that the browser fills in the code on
    our page. Raises InvalidRequest for what it says of a page, before anything is spent."""
    if ask.page is None:
        return ask
    if config.base_url is None:
        raise InvalidRequest("page", "needs the address of this service: its operator has not set public_url")
    try:
        _judge(config, tenant, ask.page)
    except ValueError as error:
        raise InvalidRequest("page.return_url", str(error)) from None
    if len(_content(tenant, "", ask, ask.page)) > MOST_BYTES:
        raise InvalidRequest("page", f"and what goes with it come to more than {MOST_BYTES} bytes; shorten the binding")
    host = urlsplit(config.base_url).hostname or ""
    return ask if ask.origin or not re.fullmatch(r"[a-z0-9.-]+", host) else msgspec.structs.replace(ask, origin=host)


def address(config: Config, keys: KeyRing, tenant: str, verification_id: str, ask: Start) -> str | None:
    """The page of a start that asked for one: the same for the same start, as long as the newest key is the same."""
    if ask.page is None:
        return None
    return f"{config.base_url}/v/{keys.token(_content(tenant, verification_id, ask, ask.page), _CONTEXT)}"


def read(config: Config, keys: KeyRing, token: str) -> Link:
    """Raises NotFound for whatever this service has not made, and for a page that leads where it may not any more."""
    try:
        found = _decode(keys.opened(token, _CONTEXT))
        _judge(config, found.tenant, found.page)
    except (ValueError, msgspec.MsgspecError):
        raise NotFound("There is no page here.") from None
    return found


def _judge(config: Config, tenant: str, page: HostedPage) -> None:
    """Raises ValueError, in words that go on from the name of the field, for where a tenant's page may not lead."""
    asked = place(page.return_url)
    if not any(allowed.admits(asked) for allowed in config.return_urls.get(tenant, ())):
        raise ValueError("is none that the operator has listed in return_urls of this tenant")


def _content(tenant: str, verification_id: str, ask: Start, page: HostedPage) -> bytes:
    options = StartOptions(**{name: getattr(ask, name) for name in StartOptions.__struct_fields__})
    return _encode(Link(tenant=tenant, id=verification_id, channel=ask.channel, page=page, options=options))
