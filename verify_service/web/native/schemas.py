"""The bodies of the native API, as `openapi.yaml` has them."""

from typing import Annotated

import msgspec
from msgspec import Meta

from verify_service.asking import StartFields
from verify_service.authenticators import DIGITS, PERIOD, Algorithm, Kind
from verify_service.consents import Source
from verify_service.inbox import Rule
from verify_service.model import USER, HostedPage
from verify_service.policy.live import MOST_NOTE, NOTE
from verify_service.store.backtests import Hours
from verify_service.store.consents import State

# Python's `$` also matches before a final newline; `\Z` does not.
To = Annotated[str, Meta(min_length=1, max_length=254)]
Address = Annotated[str, Meta(min_length=1, max_length=32)]
Region = Annotated[str, Meta(pattern=r"^[A-Z]{2}\Z")]
Purpose = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}\Z")]
Locale = Annotated[str, Meta(max_length=35, pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*\Z")]
Ip = Annotated[str, Meta(min_length=1, max_length=45)]
Device = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,128}\Z")]
Binding = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=256)]], Meta(max_length=16)
]
Keys = Annotated[
    dict[
        Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,32}\Z")],
        Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,256}\Z")],
    ],
    Meta(max_length=5),
]
User = Annotated[str, Meta(min_length=1, max_length=256, pattern=USER)]
AppHash = Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/]{11}\Z")]
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
Origin = Annotated[str, Meta(min_length=1, max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*\Z")]
Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,500}\Z")]
Code = Annotated[str, Meta(min_length=4, max_length=64)]
Label = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f-\x9f:]{1,64}\Z")]


ReturnUrl = Annotated[str, Meta(min_length=1, max_length=1024)]
PageState = Annotated[str, Meta(max_length=512, pattern=r"^[^\x00-\x1f\x7f-\x9f]{0,512}\Z")]
Digits = Annotated[int, Meta(ge=DIGITS[0], le=DIGITS[1])]
Period = Annotated[int, Meta(ge=PERIOD[0], le=PERIOD[1])]


class PageBody(HostedPage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What POST /start says of a hosted page."""

    return_url: ReturnUrl
    state: PageState | None = None


class StartBody(StartFields, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /start."""

    to: To
    region: Region | None = None
    channel: Annotated[str, Meta(max_length=32)] | None = None
    purpose: Purpose | None = None
    locale: Locale | None = None
    ip: Ip | None = None
    device: Device | None = None
    binding: Binding | None = None
    app_hash: AppHash | None = None
    origin: Origin | None = None
    keys: Keys | None = None
    user: User | None = None
    page: PageBody | None = None


class CheckBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /check: by `id`, or by `to` with `region` and `purpose`."""

    code: Code
    id: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    to: To | None = None
    region: Region | None = None
    purpose: Purpose | None = None
    binding: Binding | None = None
    ip: Ip | None = None
    receipt: bool | None = None


class ContactBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PUT /users/{user}: where notices go, nowhere where `to` is null."""

    to: To | None
    region: Region | None = None
    channel: Annotated[str, Meta(max_length=32)] | None = None
    locale: Locale | None = None


class FactorBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /users/{user}/factors."""

    kind: Kind
    label: Label | None = None
    issuer: Label | None = None
    digits: Digits | None = None
    period: Period | None = None
    algorithm: Algorithm | None = None


class FactorCodeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /users/{user}/factors/{id}/verify."""

    code: Code


class UserCheckBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /users/{user}/check: with a code, or with `max_age` in seconds."""

    code: Code | None = None
    factor: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    receipt: bool | None = None
    binding: Binding | None = None
    max_age: Annotated[int, Meta(ge=1, le=86_400)] | None = None


class UserPageBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /users/{user}/page: with `enrol` the page sets up an app, else it asks for a code."""

    return_url: ReturnUrl
    state: PageState | None = None
    locale: Locale | None = None
    enrol: Kind | None = None
    label: Label | None = None
    issuer: Label | None = None
    digits: Digits | None = None
    period: Period | None = None
    algorithm: Algorithm | None = None
    to: To | None = None
    region: Region | None = None
    channel: Annotated[str, Meta(max_length=32)] | None = None
    purpose: Purpose | None = None
    ip: Ip | None = None
    device: Device | None = None
    binding: Binding | None = None
    app_hash: AppHash | None = None
    origin: Origin | None = None
    keys: Keys | None = None


class UnlockBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/unlock: a number, or a user of the caller's own tenant."""

    reason: Reason
    to: To | None = None
    user: User | None = None


class ConsentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PUT /consents/{number}."""

    state: State
    source: Source = "api"
    note: Reason | None = None


class BehaviourBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PUT /fake/behaviour."""

    rules: Annotated[tuple[Rule, ...], Meta(max_length=100)]


class ClockBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /fake/clock; seconds."""

    advance: Annotated[float, Meta(gt=0, le=31_536_000)]


class InboundBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The body of POST /fake/inbound: a text from a phone."""

    from_: Address
    to: Address
    body: Annotated[str, Meta(min_length=1, max_length=1600)]


class PolicyBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of PUT /admin/policy where it is JSON."""

    policy: Annotated[str, Meta(min_length=1)]
    note: Annotated[str, Meta(max_length=MOST_NOTE, pattern=NOTE)] = ""


class BacktestBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /admin/policy/backtest."""

    policy: Annotated[str, Meta(min_length=1)]
    hours: Hours = 1
