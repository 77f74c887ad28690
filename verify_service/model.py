"""The nouns that travel between the parts. Frozen, typed; times are milliseconds since the epoch (UTC)."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec

Status = Literal["pending", "approved", "exhausted", "canceled", "expired"]
Lane = Literal["real", "none", "own"]
"""What a start counts: with everybody's, nothing, or in limits of test numbers alone."""
CheckStatus = Literal["approved", "pending", "exhausted"]
USER = r"^[^\x00-\x1f\x7f-\x9f/]{1,256}\Z"
"""How a tenant may name a user: no control character, and nothing that divides a path."""
NoticeName = Literal["factor_added", "recovery_codes_used", "wrong_codes"]
"""What a person may be told of beside codes: a new factor, the last recovery code used, many wrong codes."""
TimelineName = Literal[
    "started",
    "queued",
    "sent",
    "delivered",
    "failed",
    "failed-over",
    "wrong",
    "approved",
    "exhausted",
    "canceled",
    "expired",
]


class Clock(Protocol):
    """Where time comes from; every script gets it as an argument."""

    def now(self) -> int:
        """Milliseconds since the epoch, UTC."""
        ...


class Frozen(msgspec.Struct, frozen=True):
    """Base of the nouns: immutable, compared by value."""


class Actor(Frozen, frozen=True):
    """Who does what an operator may do, and from where: an internet address, or of a command the login name and host.
    An `application` does it for its users, and often."""

    name: str
    address: str = ""
    application: bool = False


class Tenant(Frozen, frozen=True):
    """One customer of the service. `brand` is the name in the message."""

    name: str
    brand: str


class Number(Frozen, frozen=True):
    """Whom a code may be sent to: a phone number. `e164` starts with '+'; `line_type` is phonenumbers' name in
    kebab-case. An email address in its place has the line type `email`, and neither country nor prefix."""

    e164: str
    country: str
    prefix: str
    line_type: str

    @property
    def is_email(self) -> bool:
        return self.line_type == "email"

    @property
    def range(self) -> str:
        """What an export may show: E.164 without its last three digits; of an email address its domain, with the @."""
        return self.e164[self.e164.rindex("@") :] if self.is_email else self.e164[:-3]

    @property
    def place(self) -> str:
        """What counts over time are told by: E.164 without its last four digits; '' of an email address."""
        return "" if self.is_email else self.e164[:-4]


class StartOptions(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """What a caller may say of a start. What `Content` in store/layouts.py has under the same name goes with the
    message, and what `Message` has under it, to the provider."""

    locale: str | None = None
    ip: str | None = None
    device: str | None = None
    binding: dict[str, str] | None = None
    app_hash: str | None = None
    origin: str | None = None
    keys: dict[str, str] | None = None
    user: str | None = None


class HostedPage(Frozen, frozen=True, kw_only=True):
    """What a caller says of a page of ours: where it sends the browser in the end, and what it is to say there."""

    return_url: str
    state: str | None = None


class Start(StartOptions, frozen=True):
    """A caller's wish for a code, already validated."""

    number: Number
    channel: str
    purpose: str
    page: HostedPage | None = None


class TimelineEvent(Frozen, frozen=True):
    """One line of a verification's own history."""

    at: int
    event: TimelineName
    provider: str | None = None
    reason: str | None = None


class Verification(Frozen, frozen=True):
    """A verification as its tenant may see it; never the code. `to` is None once it has ended."""

    id: str
    status: Status
    to: str | None
    channel: str
    purpose: str
    created_at: int
    expires_at: int
    resend_at: int
    checks_left: int
    sends_left: int
    test: bool = False
    timeline: tuple[TimelineEvent, ...] = ()


class Check(Frozen, frozen=True):
    """The outcome of one check. An approval whose caller wanted it so has a receipt: the approval, signed. `to` is
    known where the check named its number, or its verification and purpose."""

    id: str
    status: CheckStatus
    checks_left: int
    receipt: str | None = None
    channel: str = ""
    created_at: int = 0
    to: str | None = None

    @property
    def approved(self) -> bool:
        return self.status == "approved"


class ReceiptWish(NamedTuple):
    """That a receipt is wanted of a check that approves: the kid of the key that signs it, and whether it names the
    recipient."""

    signer: str
    named: bool


class Revision(Frozen, frozen=True):
    """One policy that was pushed: its number, from 1 on, when (milliseconds), by whom, why, and its TOML text."""

    revision: int
    at: int
    by: str
    note: str
    text: str


class Message(Frozen, frozen=True):
    """What a provider is asked to send. `id` is one send; a repetition carries the same id and the same code.

    `body` is the text as it goes out; on `voice`, the words to be spoken, digit by digit. `sender` is the address it
    comes from, `locale` the language of the body as a BCP 47 tag, `subject` a line for channels that have one.
    """

    id: str
    verification_id: str
    tenant: str
    to: str
    sender: str
    channel: str
    body: str
    code: str
    encoding: Literal["GSM-7", "UCS-2"]
    segments: int
    expires_at: int
    country: str = ""
    locale: str = "en"
    subject: str = ""


class Receipt(Frozen, frozen=True):
    """A provider's word on a message: accepted, or already final. `provider_id` is the provider's own id of it.

    `reason` is short, with the vendor's own error code, free of numbers and codes. `permanent` says of a failure that
    this number will never get one by this channel, `opted_out` that its owner told the vendor STOP. What a vendor tells
    beside it: `segments` billed, `price` in US dollars, `carrier` as MCC and MNC.
    """

    provider_id: str | None = None
    status: Literal["accepted", "delivered", "failed"] = "accepted"
    reason: str | None = None
    permanent: bool = False
    segments: int | None = None
    price: float | None = None
    carrier: str | None = None
    opted_out: bool = False


class InboundText(Frozen, frozen=True, rename={"from_": "from"}):
    """A text that a person wrote: `from_` as the vendor spells it, `to` the address they wrote to, `id` the vendor's.

    `answered` says that the vendor has answered it already, as some do to STOP, HELP and START. `national` says that
    `from_` is as it is dialled in the country of `to`.
    """

    id: str
    from_: str
    to: str
    body: str
    answered: bool = False
    national: bool = False


class Callback(Frozen, frozen=True):
    """A request of a vendor's. `url` is the public one, query included; names of `headers` are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
