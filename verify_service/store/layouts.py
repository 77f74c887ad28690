"""The layouts that cross between Python, Lua and Redis, each declared once. packing.py makes both sides of it.

What only passes between the two sides of one version may change with it. What the store keeps grows at its end alone:
other versions read it too. Times are milliseconds since the epoch.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from verify_service.packing import After, Array, Byte, Double, Late, Layout, Line, Packed


class Record(Packed, frozen=True):
    """A verification, with its timeline. `refunds` is what an approval gives back, `mistyped` is '1' where its first
    wrong code was taken for a slip, `outbox` names the entry of its newest message. `country` and `place`, its number
    without the last four digits, are what its end is counted by."""

    grown: ClassVar[int] = 2
    created_at: Double
    expires_at: After
    resend_at: After
    sends: Byte
    wrong: Byte
    checks_max: Byte
    sends_max: Byte
    tenant: str
    number: str
    purpose: str
    channel: str
    status: str
    binding: str
    nonce: str
    kid: str
    digest: str
    outbox: Late = ""
    refunds: str = ""
    mistyped: str = ""
    test: str = ""
    timeline: str = ""
    country: str = ""
    place: str = ""


class TimelineLine(Line, frozen=True):
    """What happened to a verification, `after` its beginning."""

    between: ClassVar[str] = "\t"
    end: ClassVar[str] = "\n"
    after: str
    event: str
    provider: str = ""
    reason: str = ""


class Refund(Line, frozen=True):
    """A hit that an approval gives back: its key behind `limit:`, the partition of that, the nonce and the time of its
    start."""

    between: ClassVar[str] = ","
    end: ClassVar[str] = ";"
    partition: str
    hit: str
    nonce: str
    at: str


class Approved(Line, frozen=True):
    """What a receipt says of an approval beside its verification: when it was, of what, whether a test number's; and
    the kid of the key that signs it."""

    between: ClassVar[str] = "\t"
    end: ClassVar[str] = "\n"
    at: str
    purpose: str
    test: str
    signer: str


class Content(Array, frozen=True):
    """What a message needs beside its verification. `brand` is the name in it, '' for the tenant's."""

    number: str = ""
    country: str = ""
    digits: str = ""
    locale: str = ""
    app_hash: str = ""
    origin: str = ""
    brand: str = ""


class Facts(Array, frozen=True):
    """What is known of a start, as its event has it: pseudonyms, and the range without its last three digits. `keys`
    are the caller's own, as in `account=<pseudonym>,session=<pseudonym>`; `user` is the pseudonym of the tenant's
    user."""

    tenant: str = ""
    purpose: str = ""
    channel: str = ""
    number: str = ""
    country: str = ""
    line_type: str = ""
    range: str = ""
    revision: str = ""
    price: str = ""
    ip: str = ""
    network: str = ""
    device: str = ""
    keys: str = ""
    user: str = ""


class Context(Array, frozen=True):
    """What was known of a start before its script ran, as a decision record keeps it: the policy's revision, the static
    verdicts as JSON, the names of what only watched and would have refused, those of what was not judged, and the
    verdicts of other partitions as the server's msgpack takes them."""

    revision: int = 0
    statics: str = ""
    observed: Sequence[str] = ()
    unjudged: Sequence[str] = ()
    judged: Sequence[msgspec.Raw] = ()


class Settings(Array, frozen=True):
    """The policy's code settings, and how long what is kept."""

    life: int
    checks: int
    sends: int
    cooldown: Sequence[int]
    renew: bool
    keep_ms: int
    keep_events: str
    replay_ms: int


class StartAsk(Array, frozen=True):
    """A start as its script takes it; a verification that is pending keeps its own id and nonce. `message` is what its
    outbox entry says beside these, names and values in turns. `ring` are the kids
    of all keys that can make its code again, `refunds` what an approval gives back of other partitions; `former` are
    tags that the number had in earlier versions, whose opt-outs are in force. `test` says what a
    test number counts: `1` nothing, `own` in limits of its own, `real` with everybody's; of any other it is ''. With
    `only` it is a resend of that verification or nothing."""

    id: str
    request: str
    tenant: str
    number: str
    purpose: str
    channel: str
    nonce: str
    kid: str
    digest: str
    binding: str
    message: Sequence[msgspec.Raw | str]
    facts: msgspec.Raw
    test: str
    decision: str
    ring: Sequence[str]
    context: Context
    former: Sequence[str] = ()
    unjudged: str = ""
    near: str = ""
    refunds: str = ""
    only: str = ""
    country: str = ""
    place: str = ""


class Full(Array, frozen=True):
    """The limit of another partition that refuses a check, and for how long."""

    name: str
    wait: int


class CheckAsk(Array, frozen=True):
    """A check as its script takes it: a proof for each key. `signer` is the kid of the key that will sign a receipt of
    an approval, '' where none is wanted; `named` where the receipt names the recipient. With a `purpose`, a
    verification of another one is none, and the answer says whose it is."""

    tenant: str
    request: str
    proofs: Mapping[str, str]
    replay_ms: int
    decision: str
    revision: int
    signer: str = ""
    named: bool = False
    purpose: str = ""
    elsewhere: Full | None = None


class Delivery(Array, frozen=True):
    """A message that a provider took. `way` is `provider/sender/channel`, `text` names its template and language;
    `priced` where the provider has said already what it costs. `traceparent` is of the span that sent it, '' where that
    is not traced."""

    id: str
    entry: str
    tenant: str
    number: str
    channel: str
    country: str
    way: str = ""
    text: str = ""
    at: int = 0
    priced: bool = False
    traceparent: str = ""


class Waiting(Array, frozen=True):
    """A message that goes another way unless its receipt comes. `entry` has the names and values of its entry in turns,
    but for the sealed number."""

    tag: str
    provider: str
    way: str
    within: str
    delivery: Delivery
    entry: Sequence[str]


class Due(Array, frozen=True):
    """When a message's receipt must be here, or else it waits no longer; `life` is of what is kept of it."""

    at: int
    tag: str
    provider: str
    way: str
    within: str
    life: int


class Happened(Array, frozen=True):
    """What happened to a send."""

    at: int
    event: str
    provider: str
    reason: str


class Outcome(Array, frozen=True):
    """What became of an outbox entry, which it settles; but not where a `mark` tells it from all others: that is known
    before the entry is settled, or came after that. Where its receipt is waited for, `due` says till when."""

    mark: str
    delivery: Delivery
    events: Sequence[Happened]
    due: Due | None = None


class Refusal(Array, frozen=True):
    """A start that was refused before its script: `refused` is the kind, `by` the limit or rule, `wait` in ms."""

    id: str
    tenant: str
    refused: str
    by: str
    wait: int
    context: Context
    facts: msgspec.Raw
    unjudged: str = ""
    near: str = ""


class Answered(Array, frozen=True):
    """What stands under an Idempotency-Key: the tag of the body, until when, and the answer."""

    fingerprint: str
    till: int
    answer: Sequence[msgspec.Raw] | None = None


class Item(Array, frozen=True):
    """An event on its way to a tenant's endpoint, or one that was given up."""

    keeps_tail: ClassVar[bool] = True
    position: str
    fields: dict[str, str]
    tries: int
    why: str = ""
    at: str = "0"


class Wanted(Array, frozen=True):
    """What a tenant's endpoint is told of, and how many events it can take now."""

    tenant: str
    events: Sequence[str]
    room: int


ALL: tuple[type[Layout], ...] = (
    *(Record, TimelineLine, Refund, Content, Facts, Context, Settings, StartAsk, Full, CheckAsk, Approved, Delivery),
    *(Waiting, Due, Happened, Outcome, Refusal, Answered, Item, Wanted),
)
