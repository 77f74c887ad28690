"""What a vendor knows of consent before we do: a message that it refuses because the person told it STOP."""

from verify_service.adapters import Provider
from verify_service.codes import Tagger
from verify_service.consents import Ledger
from verify_service.errors import Rejected, StoreUnavailable
from verify_service.model import Message, Receipt
from verify_service.telemetry import log

_log = log("dispatch")


class Heeding:
    """A provider whose refusals of opted-out numbers are written down: the next start is refused before it costs."""

    def __init__(self, provider: Provider, name: str, consents: Ledger, tagger: Tagger) -> None:
        self._provider = provider
        self._name = name
        self._consents = consents
        self._tagger = tagger

    def send(self, message: Message) -> Receipt:
        try:
            receipt = self._provider.send(message)
        except Rejected as error:
            if error.opted_out:
                self._opted_out(message, error.reason)
            raise
        if receipt.opted_out:
            self._opted_out(message, receipt.reason or "opted out")
        return receipt

    def close(self) -> None:
        self._provider.close()

    def _opted_out(self, message: Message, reason: str) -> None:
        try:
            self._consents.opted_out(message.tenant, self._tagger.number(message.to), self._name, reason)
        except StoreUnavailable as error:  # The vendor says so again, the next time.
            _log.warning("opt-out not written down", provider=self._name, reason=error.reason)
