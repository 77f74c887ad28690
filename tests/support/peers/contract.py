"""What every adapter promises, whoever its vendor is: `test_contract.py` holds each kind to it against a peer, a local
server that speaks the vendor's wire format as strictly as the vendor does.

A new kind brings its peer, adds it to `PEERS` in `peers.py`, and is tested.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import msgspec

from verify_service.adapters import AdapterContext, Callbacks, Provider, find
from verify_service.duration import Duration, decode_hook
from verify_service.errors import DeliveryError, Rejected, Unavailable, Uncertain
from verify_service.model import Callback, InboundText, Message, Receipt

PUBLIC_URL = "https://verify.example.org/providers/it"
CODE = "493817"
BODY = f"{CODE} is your Café & Söhne code: 100% yours + nobody else's.\nIt expires in 10 minutes."
UCS_2 = f"{CODE} — код «Кафе» ☕\nНикому его не сообщайте."
# Much for a busy machine; and little, where a timeout is what is tested.
PATIENT_MS = 20_000
QUICK_MS = 1_000
# What each peer can be told to do, and what `send` then says. A peer may know more ways.
REFUSALS: Mapping[str, type[DeliveryError]] = {
    "down": Unavailable,  # nobody listens
    "denies": Unavailable,  # our credentials are wrong
    "throttles": Unavailable,  # we are too fast for it
    "rejects": Rejected,  # the number is no number
    "silent": Uncertain,  # takes the message and answers nothing
    "breaks": Uncertain,  # takes the message and is gone
}

Outcome = Literal["on its way", "delivered", "failed", "failed for good"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)


@dataclass(frozen=True)
class Taken:
    """A message as the vendor understood it."""

    to: str
    sender: str
    text: str
    channel: str = "sms"


@dataclass
class ManualClock:
    ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def now(self) -> int:
        return self.ms


class Peer(AbstractContextManager["Peer"], ABC):
    """A vendor at work, until the context ends. `wrong` is what it found wrong in our requests; `how` is what it was
    told to do in place of taking messages."""

    kind: ClassVar[str]
    channels: ClassVar[Sequence[str]] = ("sms",)
    sender: ClassVar[str] = "+14155550100"
    to: ClassVar[str] = "+4915112345678"
    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = REFUSALS
    says_never: ClassVar[frozenset[str]] = frozenset()  # the refusals that are about the number, and nothing of ours
    takes_time: ClassVar[frozenset[str]] = frozenset({"silent"})  # the refusals that end with a timeout
    secrets: ClassVar[Mapping[str, str]] = {}
    calls_back: ClassVar[bool] = True
    outcomes: ClassVar[Sequence[Outcome]] = OUTCOMES
    reasons: ClassVar[Mapping[str, str | None]] = {"failed": None, "failed for good": None}
    known: ClassVar[Mapping[str, Any]] = {}  # what each of its receipts tells beside

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.wrong: list[str] = []
        self.how: str | None = None
        self.clock = ManualClock()

    def turn(self, how: str | None) -> None:
        """Makes it do as `refusals` says, or take messages again; who went down stays down."""
        self.how = how

    # What it is configured with.

    @abstractmethod
    def table(self) -> dict[str, Any]:
        """Its table in verify.toml, without `kind`; secrets as `env:NAME`, of `secrets`."""

    def surroundings(self) -> AdapterContext:
        def secret(reference: str) -> str:
            return self.secrets[reference.removeprefix("env:")]

        return AdapterContext(name="it", secret=secret, clock=self.clock, callbacks=PUBLIC_URL)

    def settings(self, timeout_ms: int = PATIENT_MS, **changed: Any) -> Any:
        """Its table as the adapter reads it; a key that is changed to None is left out."""
        table = {name: value for name, value in {**self.table(), **changed}.items() if value is not None}
        timeout = Duration("1 second")
        timeout.ms = timeout_ms
        found = msgspec.convert(table, find(self.kind).settings, dec_hook=decode_hook)
        return msgspec.structs.replace(found, timeout=timeout)

    def provider(self, timeout_ms: int = PATIENT_MS, **changed: Any) -> Provider:
        return find(self.kind).provider(self.settings(timeout_ms, **changed), self.surroundings())

    def callbacks(self, **changed: Any) -> Callbacks:
        made = find(self.kind).callbacks
        assert made is not None
        return made(self.settings(**changed), self.surroundings())

    def message(self, to: str | None = None, text: str = BODY, channel: str = "sms", **changed: Any) -> Message:
        made = Message(
            id=f"ve_{'0' * 32}.1800000000000-0",
            verification_id=f"ve_{'0' * 32}",
            tenant="default",
            to=to or self.to,
            sender=self.sender,
            channel=channel,
            body=text,
            code=CODE,
            encoding="UCS-2" if text == UCS_2 else "GSM-7",
            segments=1,
            expires_at=self.clock.now() + 600_000,
            country="DE",
            locale="en",
        )
        return msgspec.structs.replace(made, **changed)

    def expected(self, message: Message) -> Taken:
        """The message as the peer should have understood it."""
        return Taken(message.to, message.sender, message.body, message.channel)

    # What it tells by calling us, for those that do.

    def receipt(self, provider_id: str, outcome: Outcome) -> Callback:
        """One receipt, signed."""
        raise NotImplementedError

    def told(self, provider_id: str, outcome: Outcome) -> Receipt:
        """What an adapter makes of `receipt`."""
        match outcome:
            case "on its way":
                return Receipt(provider_id, **self.known)
            case "delivered":
                return Receipt(provider_id, "delivered", **self.known)
            case _:
                reason = self.reasons[outcome]
                return Receipt(provider_id, "failed", reason, outcome == "failed for good", **self.known)

    def text(self, text: InboundText) -> Callback:
        """A text from a phone, signed."""
        raise NotImplementedError

    def forgeries(self, call: Callback) -> Mapping[str, Callback]:
        """The call as it would come from somebody else, or have been changed on its way."""
        raise NotImplementedError

    def unreadable(self) -> Mapping[str, Callback]:
        """Calls that are signed as the vendor's are, and say nothing that can be understood."""
        raise NotImplementedError
