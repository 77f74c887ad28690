"""What passes between the outbox and a dispatcher: messages, what became of them, what was told of them later."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from verify_service.model import TimelineEvent
from verify_service.packing import text
from verify_service.store.layouts import Content


class Entry(NamedTuple):
    """One message to send, as the start script queued it. Times in milliseconds; `to` is sealed.

    `tried` are the ways it has gone before, `provider/sender/channel` each. `kind` is empty for a code. A `reply` is
    the answer to a person's keyword (`text`: stop, start or help), which goes by `via` (`provider/sender`) alone; a
    `notice` tells a person what `text` names. `traceparent` is of the start's span, '' where that is not traced.
    """

    partition: int
    entry: str
    id: str
    tenant: str
    purpose: str
    channel: str
    kid: str
    nonce: str
    to: bytes
    expires_at: int
    content: Content
    tried: tuple[str, ...] = ()
    kind: str = ""
    text: str = ""
    via: str = ""
    traceparent: str = ""


class Unreadable(NamedTuple):
    """An entry that this version cannot read: why, and whose message it is, '' where not even that can be told."""

    partition: int
    entry: str
    id: str
    reason: str


class Sent(NamedTuple):
    """Who took a message: what the provider calls it, and by which way it went. `due` is when its receipt must be here,
    or else it goes another way; None where it is not waited for. `within` says the same in an operator's words.
    `traceparent` is of the span that sent it, '' where that is not traced."""

    provider: str
    provider_id: str
    way: str
    text: str = ""
    priced: bool = False
    due: int | None = None
    within: str = ""
    traceparent: str = ""


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


def queued(tenant: str, channel: str, content: Content, **more: str) -> list[str | bytes]:
    """What every message has in the outbox, names and values in turns; its id, its end and its sealed number are added
    where they are known."""
    said = {"tenant": tenant, "channel": channel, **more}
    return ["message", content.pack(), *(part for pair in said.items() for part in pair)]


def of_start(
    tenant: str, channel: str, content: Content, purpose: str, traceparent: str = ""
) -> list[msgspec.Raw | str]:
    """The same of a start, as its layout takes it; `traceparent` where that is traced."""
    parts = queued(tenant, channel, content, purpose=purpose, **({"traceparent": traceparent} if traceparent else {}))
    return [part if isinstance(part, str) else text(part) for part in parts]


_ID = re.compile(rb"(ve|re|no)_[0-9a-f]{32}")


def read_entry(partition: int, entry: bytes, flat: list[bytes]) -> Entry | Unreadable:
    """An entry as its stream has it: names and values in turns."""
    try:
        return _entry(partition, entry, flat)
    except KeyError as error:
        reason = f"the message has no {error.args[0]}"
    except (ValueError, msgspec.DecodeError) as error:
        # Without its words, which may quote what stands there.
        reason = f"the message cannot be read: {type(error).__name__}"
    named = (value for name, value in zip(flat[::2], flat[1::2], strict=False) if name == b"id")
    verification = next((value.decode() for value in named if _ID.fullmatch(value)), "")
    return Unreadable(partition, entry.decode(), verification, reason)


def _entry(partition: int, entry: bytes, flat: list[bytes]) -> Entry:
    """Raises KeyError for what every message needs and this one lacks, ValueError and msgspec.DecodeError for what is
    not what it should be."""
    fields = {flat[i].decode(): flat[i + 1] for i in range(0, len(flat), 2)}

    def said(name: str) -> str:
        return fields.get(name, b"").decode()

    if "message" in fields:
        content = Content.open(fields["message"])
    else:
        # An answer that an earlier version queued has each in a field of its own.
        content = Content(**{name: said(name) for name in Content.__struct_fields__})
    int(content.digits or 0)
    for name in ("id", "tenant", "channel", "to", *(() if said("kind") else ("kid", "nonce"))):
        fields[name]
    return Entry(
        partition=partition,
        entry=entry.decode(),
        id=said("id"),
        tenant=said("tenant"),
        purpose=said("purpose"),
        channel=said("channel"),
        kid=said("kid"),
        nonce=said("nonce"),
        to=fields["to"],
        expires_at=int(fields.get("expires_at", 0)),
        content=content,
        tried=tuple(way for way in said("tried").split(",") if way),
        kind=said("kind"),
        text=said("text"),
        via=said("via"),
        traceparent=said("traceparent"),
    )
