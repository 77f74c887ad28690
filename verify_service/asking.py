"""What callers say of a start or a check, read: whom they mean, by which channel, and which request is the same."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from verify_service import recipient
from verify_service.codes import Tagger
from verify_service.config import Config
from verify_service.errors import InvalidRequest
from verify_service.model import HostedPage, Number, Start, StartOptions
from verify_service.routing import CHANNELS
from verify_service.store.shapes import Idempotency

# What an Idempotency-Key has always stood for. What a start may say since then counts where it is said alone, so that a
# repetition is the same request to the version before and to the one after.
_ALWAYS = frozenset(("number", "channel", "purpose", "locale", "ip", "device", "binding", "app_hash", "origin"))


def idempotency(tagger: Tagger, key: str | None, body: Callable[[], bytes], *where: str) -> Idempotency | None:
    """What a store knows an Idempotency-Key by: the key under `where` it was sent, and the request; None of no key."""
    if key is None:
        return None
    fingerprint = tagger.fingerprint("body", body().decode())
    return Idempotency(tagger.fingerprint("idempotency", *where, key), fingerprint)


class Target(NamedTuple):
    """What a check is about, where the caller does not say the id."""

    to: str
    region: str | None
    purpose: str


class StartFields(StartOptions, frozen=True, kw_only=True):
    """The fields of a start as the caller wrote them; the border subclasses this with its constraints."""

    to: str
    region: str | None = None
    channel: str | None = None
    purpose: str | None = None
    page: HostedPage | None = None


def start_of(fields: StartFields, config: Config, now: int) -> Start:
    """A validated start from what the caller wrote. Raises InvalidNumber, InvalidRequest."""
    if fields.channel is not None and fields.channel not in CHANNELS:
        known = ", ".join(CHANNELS)
        raise InvalidRequest("channel", f"no route carries {fields.channel}; this service has {known}")
    number = recipient_of(fields.to, fields.region, config, now)
    return Start(
        number=number,
        channel=recipient.channel(number, fields.channel),
        purpose="login" if fields.purpose is None else fields.purpose,
        page=fields.page,
        **{name: getattr(fields, name) or None for name in StartOptions.__struct_fields__},
    )


def recipient_of(to: str, region: str | None, config: Config, now: int) -> Number:
    """Whom a caller means. A number of films is only a test number, and else none. Raises as `recipient.parse`."""
    number = recipient.parse(to, region, drama=True)
    if number.line_type == "unknown" and not config.test_number(number.e164, now):
        return recipient.parse(to, region)
    return number


def fingerprint(ask: Start) -> bytes:
    """What a start asks for, the same bytes whenever it asks for the same."""
    said = {name: getattr(ask, name) for name in Start.__struct_fields__}
    said |= {name: dict(sorted(said[name].items())) if said[name] else None for name in ("binding", "keys")}
    said["number"] = recipient.known(ask.number)
    return msgspec.json.encode({name: what for name, what in said.items() if what is not None or name in _ALWAYS})
