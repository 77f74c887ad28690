"""What passes between the outbox and a dispatcher: messages, what became of them, what was told of them later."""

from collections.abc import Sequence
from typing import NamedTuple

from verify_service.model import TimelineEvent
from verify_service.store.shapes import MESSAGE, unpacked


class Entry(NamedTuple):
    """One message to send, as the start script queued it. Times in milliseconds; `to` is sealed.

    `tried` are the ways it has gone before, `provider/sender/channel` each. `kind` is empty for a code, or `reply`: the
    answer to a person's keyword (`text`: stop, start or help), which goes by `via` (`provider/sender`) and has no code.
    """

    partition: int
    entry: str
    id: str
    tenant: str
    number: str
    purpose: str
    channel: str
    kid: str
    nonce: str
    to: bytes
    expires_at: int
    country: str
    digits: int
    locale: str
    app_hash: str
    origin: str
    tried: tuple[str, ...] = ()
    kind: str = ""
    text: str = ""
    via: str = ""


class Sent(NamedTuple):
    """Who took a message: what the provider calls it, and by which way it went. `due` is when its receipt must be here,
    or else it goes another way; None where it is not waited for. `within` says the same in an operator's words."""

    provider: str
    provider_id: str
    way: str
    text: str = ""
    priced: bool = False
    due: int | None = None
    within: str = ""


class Settlement(NamedTuple):
    """What became of an entry. `late`: of one that may have been settled already; `mark` tells one of those when it is
    written down once more."""

    entry: Entry
    events: Sequence[TimelineEvent]
    channel: str = ""
    sent: Sent | None = None
    late: bool = False
    mark: str = ""


class Came(NamedTuple):
    """A receipt as the events tell it: by which way (`provider/sender/channel`) its message had gone, and what the
    provider charged beyond what was known when it took it, in micro-dollars. One that `corrects` says delivered of a
    message that had failed earlier in the day."""

    way: str
    delivered: bool
    permanent: bool
    price: int
    corrects: bool


class Overdue(NamedTuple):
    """A message whose receipt did not come in time: by which way it had gone, when (milliseconds), and whether its code
    was entered all the same."""

    way: str
    at: int
    entered: bool


def entry_of(partition: int, entry: bytes, flat: list[bytes]) -> Entry:
    """An entry as its stream has it: names and values in turns."""
    fields = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}
    message = unpacked(MESSAGE, fields["message"]) if "message" in fields else {}

    def text(name: str) -> str:
        return message.get(name) or fields.get(name, b"").decode()

    return Entry(
        partition=partition,
        entry=entry.decode(),
        id=text("id"),
        tenant=text("tenant"),
        number=text("number"),
        purpose=text("purpose"),
        channel=text("channel"),
        kid=text("kid"),
        nonce=text("nonce"),
        to=fields["to"],
        expires_at=int(fields.get("expires_at", 0)),
        country=text("country"),
        digits=int(text("digits") or 0),
        locale=text("locale"),
        app_hash=text("app_hash"),
        origin=text("origin"),
        tried=tuple(way for way in text("tried").split(",") if way),
        kind=text("kind"),
        text=text("text"),
        via=text("via"),
    )
