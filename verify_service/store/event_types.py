"""What the events stream tells: each type of event, declared once. Writing, reading and exports follow from it, and
docs/reference.md has the same list.

An entry of the stream is names and values in turns: `at`, `event` and `id`, and then the fields in their order here,
which earlier versions read by their place. A field that has a default is left out where there is nothing to say.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT
from msgspec.structs import fields as fields_of

from verify_service.packing import Layout
from verify_service.store.layouts import Facts

Time = Annotated[int, 1000]
"""Milliseconds since the epoch; in an export, seconds."""
Money = Annotated[int, 1_000_000]
"""Micro-dollars; in an export, dollars."""
Tags = Mapping[str, str]
"""Names and pseudonyms, as in `account=…,session=…`; in an export, an object."""


class Event(Layout, frozen=True, kw_only=True):
    """An event by its names."""

    events: ClassVar[Sequence[str]]
    packed: ClassVar[Mapping[str, Any]] = {}
    """What an export has of `facts`, which are texts, as something else."""
    at: Time
    event: str
    id: str

    @classmethod
    def names(cls) -> list[str]:
        """What an export has of it beside `at`, `event` and `id`."""
        parts = [part.encode_name for part in fields_of(cls)[3:]]
        return [*Facts.__struct_fields__, *parts[1:]] if cls.packed else parts

    @classmethod
    def kinds(cls) -> dict[str, Any]:
        """The type of each field."""
        return get_type_hints(cls, include_extras=True) | dict(cls.packed)

    @classmethod
    def lua(cls) -> str:
        """`event_fields[…]`, from a table to what the stream has beside `at`, `event` and `id`."""
        parts = [(part.encode_name, part.default is NODEFAULT) for part in fields_of(cls)[3:]]
        always = ", ".join(f"'{name}', t.{name} or ''" for name, needed in parts if needed)
        sometimes = "".join(
            f"  if (t.{name} or '') ~= '' then f[#f + 1], f[#f + 2] = '{name}', t.{name} end\n"
            for name, needed in parts
            if not needed
        )
        body = f"  local f = {{{always}}}\n{sometimes}  return f\n"
        return "".join(f"layouts.event_fields['{event}'] = function(t)\n{body}end\n" for event in cls.events)


class Start(Event, frozen=True, kw_only=True):
    """A start, admitted or `refused` by what is named there. `near`: whether its number's neighbours were in use;
    `repeats`: how many refused starts it stands for."""

    events = ("start",)
    packed: ClassVar[Mapping[str, Any]] = {"revision": int, "price": Money, "keys": Tags}
    facts: Facts
    observed: Sequence[str]
    unjudged: Sequence[str] = ()
    near: str = ""
    refused: str = ""
    decision: str = ""
    repeats: int = 0


class Ended(Event, frozen=True, kw_only=True):
    """A code was compared, or its verification taken back. `place` is the number without its last four digits."""

    events = ("approved", "wrong", "canceled")
    tenant: str
    channel: str = ""
    country: str = ""
    place: str = ""


class Sending(Event, frozen=True, kw_only=True):
    """What became of a message; the last four are a receipt's."""

    events = ("sent", "delivered", "failed", "failed-over")
    tenant: str
    provider: str
    reason: str
    channel: str
    country: str
    way: str = ""
    permanent: str = ""
    price: Money = 0
    carrier: str = ""


class Blocked(Event, frozen=True, kw_only=True):
    """A detector blocked a place."""

    events = ("blocked",)
    rule: str
    mode: str
    place: str
    till: Time


class Lifted(Event, frozen=True, kw_only=True):
    """An operator ended a block."""

    events = ("lifted",)
    rule: str
    mode: str
    place: str
    by: str
    reason: str


class Unlocked(Event, frozen=True, kw_only=True):
    """An operator had a number's counts forgotten."""

    events = ("unlocked",)
    number: str
    by: str
    reason: str


class UserUnlocked(Event, frozen=True, kw_only=True):
    """The same of a tenant's user, by its pseudonym."""

    events = ("user-unlocked",)
    tenant: str
    user: str
    by: str
    reason: str


class Shifted(Event, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A provider's weight changed."""

    events = ("shifted",)
    provider: str
    channel: str
    from_: str
    to: str
    reason: str


class Consent(Event, frozen=True, kw_only=True):
    """A person opted out or in."""

    events = ("consent",)
    tenant: str
    number: str
    state: str
    source: str


class Erased(Event, frozen=True, kw_only=True):
    """What is held of a person was forgotten."""

    events = ("erased",)
    tenant: str
    number: str
    by: str
    reason: str


class FactorEvent(Event, frozen=True, kw_only=True):
    """What happened to a tenant's user, by its pseudonym; `id` is the factor's, where it is one that did. `kind` is the
    factor's, or `recovery-code`."""

    events = (
        *("factor-enrolled", "factor-verified", "factor-approved", "factor-wrong", "factor-removed"),
        *("recovery-codes", "user-erased"),
    )
    tenant: str
    user: str
    kind: str = ""


class FactorsMoved(Event, frozen=True, kw_only=True):
    """Factors of a tenant's users came from a file, `count` of them, or all were given out into one."""

    events = ("factors-imported", "factors-exported")
    tenant: str
    by: str
    reason: str = ""
    count: int = 0


class ContactSet(Event, frozen=True, kw_only=True):
    """A user's notices go somewhere else now, by pseudonyms; nowhere where `number` is left out."""

    events = ("contact",)
    tenant: str
    user: str
    number: str = ""
    channel: str = ""


class Noticed(Event, frozen=True, kw_only=True):
    """A person is to be told something. `user` and `number` are pseudonyms, `notice` says what."""

    events = ("notice",)
    tenant: str
    user: str
    notice: str
    number: str
    channel: str
    country: str = ""


class WebhookOff(Event, frozen=True, kw_only=True):
    """A tenant's endpoint said that it is gone."""

    events = ("webhook-off",)
    tenant: str


ALL: tuple[type[Event], ...] = (
    *(Start, Ended, Sending, Blocked, Lifted, Unlocked, UserUnlocked),
    *(Shifted, Consent, Erased, FactorEvent, FactorsMoved, ContactSet, Noticed, WebhookOff),
)
# The release before this one carried by its events what no reader is told.
_HIDDEN = frozenset({"corrects", "credits", "undo"})
_BY_NAME = {event: kind for kind in ALL for event in kind.events}


@cache
def _kinds(event: str) -> Mapping[str, Any]:
    return _BY_NAME.get(event, Event).kinds()


def read(flat: Sequence[bytes]) -> dict[str, Any]:
    """An entry of the stream as an export has it: empty fields left out. What is not declared, as of a later version,
    is a text. Raises ValueError or msgspec.DecodeError."""
    said = {name: value for name, value in _named(flat) if value and name not in _HIDDEN}
    if not said.keys() >= {"at", "event", "id"}:
        raise ValueError("not an event")
    kinds = _kinds(said["event"])
    return {name: _exported(kinds.get(name), value) for name, value in said.items()}


def _named(flat: Sequence[bytes]) -> Iterator[tuple[str, str]]:
    for i in range(0, len(flat), 2):
        if flat[i] == b"facts":
            yield from msgspec.structs.asdict(Facts.open(flat[i + 1])).items()
        else:
            yield flat[i].decode(), flat[i + 1].decode()


def _exported(kind: Any, value: str) -> Any:
    if get_origin(kind) is Annotated:
        return int(value) / get_args(kind)[1]
    if get_origin(kind) is Sequence:
        return value.split(",")
    if kind == Tags:
        return dict(pair.split("=") for pair in value.split(","))
    return int(value) if kind is int else value
