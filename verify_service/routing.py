"""Senders and routes of `verify.toml`: which providers may carry a channel to a country, and from which address."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from verify_service.adapters import Adapter
from verify_service.duration import Duration
from verify_service.errors import ConfigError
from verify_service.hints import nearest
from verify_service.phone import REGIONS

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
Channel = Literal["sms", "rcs", "voice", "whatsapp", "email"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)
# Where no message arrives from a sender with letters in it.
NUMERIC_ONLY = frozenset({"US", "CA"})
# A sender that its vendor names by an id, as a pool or a messaging service: longer than any name on a phone.
_VENDORS_ID = re.compile(r"[A-Za-z]\S{11,}")
_ADDRESSES = {
    "short-code": (re.compile(r"[0-9]{3,8}"), "is digits alone, such as 43721"),
    **dict.fromkeys(
        ("toll-free", "10dlc", "long-code"),
        (re.compile(r"\+[1-9][0-9 ()./-]{5,20}"), "is a number in E.164, such as +18885550100"),
    ),
}


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; a key that it does not know is refused."""


class SenderConfig(Section, frozen=True, kw_only=True):
    """An address that messages come from. `per_second` is its throughput in segments (calls, on voice), shared by all
    dispatchers; `countries` where it may be used. `tenants` are those whose consent a STOP to it withdraws (all, where
    none is named); `replies` says whether we answer STOP, HELP and START, which some vendors do themselves."""

    type: Literal["short-code", "toll-free", "10dlc", "long-code", "alphanumeric", "rcs", "whatsapp", "email"]
    address: Annotated[str, Meta(min_length=1, max_length=64)]
    per_second: Annotated[float, Meta(gt=0, le=100_000)] | None = None
    countries: tuple[str, ...] = ("*",)
    tenants: tuple[Name, ...] = ()
    replies: bool = True

    def serves(self, country: str) -> bool:
        """Whether it may be used there; where carriers refuse letters, an alphanumeric one may not."""
        if self.type == "alphanumeric" and country in NUMERIC_ONLY:
            return False
        return "*" in self.countries or country in self.countries


class Via(Section, frozen=True):
    provider: Name
    sender: Name | None = None
    weight: Annotated[int, Meta(ge=0, le=1000)] = 100


class Route(Section, frozen=True, kw_only=True):
    """Which providers may carry a channel to a set of countries; the weights share the first tries among them.

    A provider that has not answered after `answer_within` goes on, and the next in line is tried beside it. Where no
    receipt says that a message was delivered within `receipt_within`, the next in line, and then the channels of
    `fallback`, get it.
    """

    countries: Annotated[tuple[str, ...], Meta(min_length=1)] = ("*",)
    channel: Channel = "sms"
    via: Annotated[tuple[Via, ...], Meta(min_length=1)]
    answer_within: Duration = Duration("1 second")
    receipt_within: Duration | None = None
    fallback: tuple[Channel, ...] = ()

    def serves(self, country: str, channel: str) -> bool:
        return channel == self.channel and ("*" in self.countries or country in self.countries)


def judge(
    routes: Sequence[Route],
    senders: Mapping[str, SenderConfig],
    providers: Mapping[str, tuple[str, Adapter]],
    public_url: str | None,
) -> None:
    """Cross-checks them, with the kind and adapter of each provider. Raises ConfigError, naming key, fault and fix."""
    for name, sender in senders.items():
        form, words = _ADDRESSES.get(sender.type, (None, ""))
        if form and not form.fullmatch(sender.address) and not _VENDORS_ID.fullmatch(sender.address):
            raise ConfigError(f"senders.{name}.address: {sender.address!r}: the address of a {sender.type} {words}")
        _countries(f"senders.{name}.countries", sender.countries)
    for index, route in enumerate(routes):
        _countries(f"routes[{index}].countries", route.countries)
        for via in route.via:
            _way(f"routes[{index}]", route, via, senders, providers)
        for key, fault in _faults(index, route, routes, senders):
            raise ConfigError(f"routes[{index}]{key}: {fault}")
        calling = [via.provider for via in route.via if providers[via.provider][1].needs_public_url]
        if route.receipt_within and calling and not public_url:
            raise ConfigError(
                f"routes[{index}].receipt_within: {calling[0]} calls us with receipts, and there is no public_url, "
                "so each message would be sent again; set it at the top of the file"
            )


def _countries(key: str, countries: Sequence[str]) -> None:
    for country in countries:
        if country != "*" and country not in REGIONS:
            meant = "; did you mean 'GB'?" if country == "UK" else nearest(country.upper(), REGIONS)
            raise ConfigError(f"{key}: {country!r} is not an ISO 3166 code or *{meant}")


def _way(
    where: str,
    route: Route,
    via: Via,
    senders: Mapping[str, SenderConfig],
    providers: Mapping[str, tuple[str, Adapter]],
) -> None:
    if via.provider not in providers:
        raise ConfigError(f"{where}: there is no [providers.{via.provider}]{nearest(via.provider, providers)}")
    kind, adapter = providers[via.provider]
    if route.channel not in adapter.channels:
        raise ConfigError(f"{where}: {via.provider} (kind {kind}) does not carry {route.channel}")
    if via.sender is not None and via.sender not in senders:
        raise ConfigError(f"{where}: there is no [senders.{via.sender}]{nearest(via.sender, senders)}")
    sender = senders[via.sender] if via.sender else None
    named = " and ".join(sorted(NUMERIC_ONLY & {*route.countries, *(sender.countries if sender else ())}))
    if sender and sender.type == "alphanumeric" and named:
        raise ConfigError(
            f"{where}: the sender {via.sender} is alphanumeric, and carriers in "
            f"{named} refuse those; use a short code, toll-free or 10DLC number there"
        )
    if sender is None and named and route.channel == "sms" and not adapter.names_sender:
        raise ConfigError(
            f"{where}: {via.provider} has no sender, so messages would come from the brand, and carriers in {named} "
            "refuse names; give it a short code, toll-free or 10DLC number"
        )


def _faults(
    index: int, route: Route, routes: Sequence[Route], senders: Mapping[str, SenderConfig]
) -> Iterator[tuple[str, str]]:
    """What is wrong with a route beside the others: the key, and the fault with its fix."""
    if "email" in route.fallback or (route.channel == "email" and route.fallback):
        yield ".fallback", "an email address has no phone, and a number no email"
    if route.channel == "email" and "*" not in route.countries:
        yield ".countries", "an email address has no country; leave them out"
    if not any(via.weight for via in route.via):
        yield "", "every weight is 0, so nothing would be sent"
    for channel in route.fallback:
        if channel == route.channel:
            yield ".fallback", f"{channel} is the route's own channel; name another, or a second way in `via`"
        if not any(other.channel == channel and _meet(route, other) for other in routes):
            yield ".fallback", f"there is no route by {channel} to {', '.join(route.countries)}; write one"
    for country in route.countries:
        for nth, earlier in enumerate(routes[:index]):
            # One whose senders do not serve the country leaves it to the next.
            if earlier.channel == route.channel and country in earlier.countries and _always(earlier, country, senders):
                yield (
                    ".countries",
                    f"routes[{nth}] carries {route.channel} to {country} already, so this one is never taken; "
                    "put its ways into that route's `via`",
                )


def _meet(one: Route, other: Route) -> bool:
    return "*" in (*one.countries, *other.countries) or bool({*one.countries} & {*other.countries})


def _always(route: Route, country: str, senders: Mapping[str, SenderConfig]) -> bool:
    """Whether it has a way to the country, to each country where that is `*`."""
    used = [senders[via.sender] if via.sender else None for via in route.via]
    if country == "*":
        return any(each is None or ("*" in each.countries and each.type != "alphanumeric") for each in used)
    return any(each is None or each.serves(country) for each in used)
