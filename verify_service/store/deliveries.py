"""Receipts: whose message each is about, and what follows from it."""

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from verify_service import tracing
from verify_service.model import Receipt
from verify_service.store import partitions
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.layouts import Delivery
from verify_service.store.strays import Strays, strays_key
from verify_service.store.unreadable import passed_over
from verify_service.telemetry import RECEIPTS, STRAYS, carrier_label, log

# A receipt may come when the code is long dead, and still says what the number is worth.
KEEP_MS = 86_400_000
NOTICE = "no_"
"""What the ids of notices begin with. They lie in the partition of their user, and not of their number."""
# As many as the store can apply without keeping starts and checks waiting.
PAGE = 200

_pack = msgspec.msgpack.Encoder().encode
T = TypeVar("T")
_log = log("receipts")


class Named(NamedTuple):
    """A delivery that a provider has given an id, and how long its verification has to live yet."""

    provider: str
    provider_id: str
    delivery: Delivery
    life_ms: int


class Deliveries:
    """The deliveries of a store. All methods raise StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)
        self.strays = Strays(link)
        self._heed: Callable[[str, str, str, str, int], None] = lambda *_: None

    def heed_opt_outs(self, heed: Callable[[str, str, str, str, int], None]) -> None:
        """From now on `heed(tenant, number, provider, reason, sent_at)` is told of each receipt that says that the
        person opted out, before it is applied: then the message goes no other way. It may raise StoreUnavailable."""
        self._heed = heed

    def naming(self, sent: Sequence[Named]) -> list[tuple[Call, list[Named]]]:
        """The calls that write down whose messages the providers' ids name, each with those that it is about; they
        answer early receipts, for `early`."""
        homes: dict[int, list[tuple[str, Named]]] = {}
        for each in sent:
            tag = tag_of(each.provider, each.provider_id)
            homes.setdefault(self._home(tag), []).append((tag, each))
        calls = []
        for home, own in homes.items():
            keys = [key for tag, _ in own for key in self._keys(tag)]
            args = [part for _, each in own for part in (each.delivery.pack(), each.life_ms + KEEP_MS)]
            calls.append((Call(home, "sent", keys, args), [each for _, each in own]))
        return calls

    def early(self, named: Sequence[Named], answer: Sequence[bytes | None]) -> None:
        """Applies the receipts that a call of `naming` answered, where there were any."""
        for each, packed in zip(named, answer, strict=True):
            if packed and (receipt := _read(_open_receipt, packed)):
                self._apply(each.delivery.at, each.provider, [(each.delivery, receipt)])

    def received(self, now: int, provider: str, receipt: Receipt) -> str | None:
        """Applies a receipt: to the timeline, the events, what waits for it, and what is known of the number.

        Answers the verification's id; None where the provider's id of the message is not known (yet): then the receipt
        is kept for a minute. Late, duplicate and out-of-order ones do no harm: what was delivered stays so, and nothing
        is said twice. Two round trips at the most.
        """
        return self.all_received(now, provider, [receipt])[0]

    def all_received(self, now: int, provider: str, receipts: Sequence[Receipt]) -> list[str | None]:
        """The same for many, in their order, in two round trips for each `PAGE`."""
        found: list[str | None] = []
        for begin in range(0, len(receipts), PAGE):
            found += self._page_received(now, provider, receipts[begin : begin + PAGE])
        return found

    def _page_received(self, now: int, provider: str, receipts: Sequence[Receipt]) -> list[str | None]:
        named = [receipt for receipt in receipts if receipt.provider_id is not None]
        tags = [tag_of(provider, receipt.provider_id or "") for receipt in named]
        asked = [
            Call(
                self._home(tag),
                "delivery",
                [*self._keys(tag), strays_key(self._home(tag), now)],
                [receipt.status, _pack(receipt), f"{provider}:unmatched"],
            )
            for tag, receipt in zip(tags, named, strict=True)
        ]
        answers = iter(self._link.pipeline(asked) if asked else ())
        known: list[tuple[Delivery, Receipt]] = []
        found: list[str | None] = []
        for receipt in receipts:
            about = next(answers) if receipt.provider_id is not None else None
            delivery = _read(Delivery.open, about) if about else None
            found.append(delivery.id if delivery else None)
            if receipt.provider_id is None or receipt.status == "accepted":
                continue
            if delivery:
                known.append((delivery, receipt))
            else:
                RECEIPTS.labels(provider, "unknown", "", "", "", "").inc()
                STRAYS.labels(provider, "unmatched").inc()
        self._apply(now, provider, known)
        return found

    def reachable(self, number: str, channels: Sequence[str]) -> None:
        """Forgets that no message arrives at a number (its tag): the person has just been heard from."""
        home = partitions.of_tag(number, self._link.partitions)
        self._link.command(home, ["DEL", *unreachable_keys(number, channels, self._link.partitions)])

    def unreachable(self, now: int, number: str, channel: str) -> None:
        """Notes that no message by a channel arrives at a number (its tag): none is sent for an hour, then a day."""
        home = partitions.of_tag(number, self._link.partitions)
        keys = unreachable_keys(number, [channel], self._link.partitions)
        self._link.call(Call(home, "unreachable", keys, [now]))

    def _apply(self, now: int, provider: str, known: Sequence[tuple[Delivery, Receipt]]) -> None:
        for delivery, receipt in known:
            if receipt.opted_out:
                self._heed(delivery.tenant, delivery.number, provider, receipt.reason or "opted out", delivery.at)
        began = time.time_ns()
        calls = [self._call(now, provider, delivery, receipt) for delivery, receipt in known]
        answers = self._link.pipeline(calls) if calls else []
        for (delivery, receipt), told in zip(known, answers, strict=True):
            where = (delivery.country, carrier_label(receipt.carrier), delivery.channel, delivery.text)
            RECEIPTS.labels(provider, receipt.status if told else "repeated", *where).inc()
            if receipt.permanent and told and delivery.id.startswith(NOTICE):
                self.unreachable(now, delivery.number, delivery.channel)
            with tracing.continued(
                "receipt",
                delivery.traceparent,
                "CONSUMER",
                began,
                verify_verification=delivery.id,
                verify_provider=provider,
                verify_receipt=receipt.status,
            ):
                if receipt.status == "failed" and told:
                    _log.warning("not delivered", provider=provider, verification=delivery.id, reason=receipt.reason)

    def _call(self, now: int, provider: str, delivery: Delivery, receipt: Receipt) -> Call:
        home = partitions.of_id(delivery.id, self._link.partitions)
        tag = tag_of(provider, receipt.provider_id or "")
        args: list[Argument] = [
            now,
            self._keep_events,
            delivery.pack(),
            provider,
            receipt.status,
            receipt.reason or "",
            "1" if receipt.permanent else "",
            receipt.carrier or "",
            round(receipt.price * 1_000_000) if receipt.price and not delivery.priced else "",
        ]
        return Call(home, "receipt", [f"{prefix(home)}fate:{tag}"], args)

    def _home(self, tag: str) -> int:
        return partitions.of_tag(tag, self._link.partitions)

    def _keys(self, tag: str) -> list[str]:
        base = prefix(self._home(tag))
        return [f"{base}delivery:{tag}", f"{base}early:{tag}"]


_open_receipt = msgspec.msgpack.Decoder(Receipt).decode


def _read(read: Callable[[bytes], T], packed: bytes) -> T | None:
    """What an earlier version wrote, or a later one: what it lacks is as by default, what it has more passed over."""
    try:
        return read(packed)
    except (msgspec.DecodeError, ValueError) as error:
        passed_over("receipt", type(error).__name__)
        return None


def tag_of(provider: str, provider_id: str) -> str:
    """What a send is called in the store; a vendor's id says nothing of a person, so it needs no secret."""
    return hashlib.sha256(f"{provider}\n{provider_id}".encode()).hexdigest()[:32]


def unreachable_keys(number: str, channels: Sequence[str], count: int) -> list[str]:
    """The keys that say that a number (its tag) cannot be reached."""
    base = prefix(partitions.of_tag(number, count))
    return [f"{base}unreachable:{number}:{channel}" for channel in channels]
