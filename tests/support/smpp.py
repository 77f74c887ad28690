"""The SMPP adapter, bound to an SMSC of ours, and what it tells."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from tests.support.bench import ManualClock
from tests.support.peers.smsc import Smsc
from verify_service.adapters import AdapterContext
from verify_service.duration import decode_hook
from verify_service.model import InboundText, Message, Receipt
from verify_service.providers.smpp import SmppProvider, SmppSettings

CLOCK = ManualClock()

MESSAGE = Message(
    id="ve_00000000000000000000000000000001.1800000000000-0",
    verification_id="ve_00000000000000000000000000000001",
    tenant="default",
    to="+14155550123",
    sender="43721",
    channel="sms",
    body="123456 is your Verify code.",
    code="123456",
    encoding="GSM-7",
    segments=1,
    expires_at=CLOCK.now() + 600_000,
)


class Heard:
    """What the adapter tells the service, which takes it."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.texts: list[InboundText] = []
        self.strays: list[tuple[str, str]] = []

    def report(self, receipt: Receipt) -> bool:
        self.receipts.append(receipt)
        return True

    def hear(self, text: InboundText) -> bool:
        self.texts.append(text)
        return True


@contextmanager
def bound(smsc: Smsc, heard: Heard | None = None, **table: Any) -> Iterator[SmppProvider]:
    """A provider with this table in verify.toml, beside what it needs; `secret` gives its password."""
    heard = heard or Heard()
    settings = msgspec.convert(
        {"host": "127.0.0.1", "port": smsc.port, "system_id": "acme", "password": "env:SMPP", **table},
        SmppSettings,
        dec_hook=decode_hook,
    )
    around = AdapterContext(
        name="aggregator",
        secret=lambda _: "s3cret",
        clock=CLOCK,
        report=heard.report,
        heard=heard.hear,
        stray=lambda why, words, times=1: heard.strays.extend([(why, words)] * times),
    )
    provider = SmppProvider(settings, around)
    try:
        yield provider
    finally:
        provider.close()
