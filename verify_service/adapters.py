"""Adapters: how a kind of provider is found, configured and built. Each speaks one vendor's wire format, and decides,
retries and logs nothing.

A kind is an entry point of the group `verify_service.providers`; ours are found in the same way as anybody else's:

    [project.entry-points."verify_service.providers"]
    acme-sms = "acme_verify:ADAPTER"
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Annotated, Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Meta

from verify_service.errors import ConfigError
from verify_service.model import Callback, Clock, InboundText, Message, Receipt

GROUP = "verify_service.providers"
Entry = TypeVar("Entry")

# How a table names a secret; `AdapterContext.secret` reads it.
SECRET = "^(env|file):."  # noqa: S105 (how a file refers to one)
HOW_SECRETS_STAND = "write env:NAME or file:PATH, never in clear"
Secret = Annotated[str, Meta(pattern=SECRET, description=HOW_SECRETS_STAND)]

# What a vendor told and nobody could use: a receipt whose word for what became of the message is not known, which names
# no message, or whose id matches none; a text in no alphabet that can be read; an entry of a list in no form
# that is known.
Stray = Literal["word", "nameless", "unmatched", "text", "entry"]


class Straying(Protocol):
    """What an adapter calls with what it could not use, so many `times`, in words for the log that quote no person."""

    def __call__(self, why: Stray, words: str, times: int = 1, /) -> None: ...


class Provider(Protocol):
    """The port to a vendor. `send` may block; it is called from several threads at once."""

    def send(self, message: Message) -> Receipt:
        """Hands the message over. Raises Rejected, Unavailable or Uncertain, and nothing else; a receipt that says
        failed is taken for Rejected where it is permanent or opted out, and else for Unavailable."""
        ...

    def close(self) -> None:
        """Ends connections; no `send` follows."""
        ...


class Callbacks(Protocol):
    """What a vendor tells by calling us. Both raise Forged for what the vendor has not signed, ValueError for what
    cannot be read, and Unavailable or Uncertain where neither can be told now and the vendor is to call again."""

    def receipts(self, call: Callback) -> Sequence[Receipt]:
        """The receipts in one call, each with the `provider_id` that `send` had answered."""
        ...

    def inbound(self, call: Callback) -> Sequence[InboundText]:
        """The texts from phones in one call."""
        ...


@dataclass(frozen=True, kw_only=True)
class AdapterContext:
    """What an adapter is built with: the name of its table, and the ways to what it may need.

    `secret` reads `env:NAME` or `file:PATH` (raises ConfigError). `callbacks` is where the vendor reaches us:
    `<callbacks>/receipts` and `<callbacks>/inbound`; None where verify.toml has no `public_url`. A vendor that tells
    over a connection of its own is heard by `report` (a receipt with its `provider_id`) and `heard` (a text). Both
    answer once it is written down, and False where it cannot be: then the vendor is to tell it again. They may take
    seconds, and never raise. `stray` counts what the vendor told and nobody could use, by either way. `inbox` is the
    fake provider's, for it alone.
    """

    name: str
    secret: Callable[[str], str]
    clock: Clock
    callbacks: str | None = None
    report: Callable[[Receipt], bool] = lambda _receipt: True
    heard: Callable[[InboundText], bool] = lambda _text: True
    stray: Straying = lambda _why, _words, _times=1: None
    inbox: Any = None


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A kind of provider. `settings` is the msgspec struct of its table in verify.toml, without `kind`.

    `needs_public_url` says that receipts come only where verify.toml has a `public_url`; `names_sender` that who takes
    the messages decides from which address they go, where the route names no sender.
    """

    settings: type[Any]
    provider: Callable[[Any, AdapterContext], Provider]
    callbacks: Callable[[Any, AdapterContext], Callbacks] | None = None
    channels: frozenset[str] = frozenset({"sms"})
    fake: bool = False
    needs_public_url: bool = False
    names_sender: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of an adapter's settings: a key that it does not know is refused."""


def by_language(table: Mapping[str, Entry], locale: str) -> Entry | None:
    """The entry of a BCP 47 tag, or of the longest part of it that has one: `pt-BR`, then `pt`; then of `*`."""
    while locale and locale not in table:
        locale = locale.rpartition("-")[0]
    return table.get(locale or "*")


def find(kind: str) -> Adapter:
    """The adapter of a kind. Raises ConfigError, with the kinds there are."""
    found = entry_points(group=GROUP)
    chosen = [point for point in found if point.name == kind]
    if not chosen:
        kinds = ", ".join(sorted({point.name for point in found}))
        raise ConfigError(f"kind {kind!r} is none of {kinds}")
    if len({point.value for point in chosen}) > 1:
        raise ConfigError(f"kind {kind!r} is brought by several packages: {', '.join(p.value for p in chosen)}")
    try:
        adapter = chosen[0].load()
    except ImportError as error:
        raise ConfigError(f"kind {kind!r} needs a package that is not installed: {error.name}") from None
    if not isinstance(adapter, Adapter):
        raise ConfigError(f"kind {kind!r}: {chosen[0].value} is no Adapter")
    return adapter
