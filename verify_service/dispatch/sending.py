"""Sends a message by one path: what it says, when its sender may send it, and what comes of asking the provider."""

from verify_service import phone
from verify_service.adapters import Provider
from verify_service.codes import KeyRing, Tagger
from verify_service.config import Config
from verify_service.consents import Ledger
from verify_service.dispatch.job import site
from verify_service.dispatch.kinds import kind_of
from verify_service.dispatch.planner import DeliveryPath
from verify_service.errors import DeliveryError, Rejected, StoreUnavailable, Unavailable, Uncertain
from verify_service.model import Message, Receipt
from verify_service.store.entries import Entry
from verify_service.store.layouts import Content
from verify_service.store.senders import Senders
from verify_service.telemetry import SENDER_FULL, log

# What a provider is told as it stands in the entry; the locale is the text's.
_PASSED_ON = tuple(name for name in Content.__struct_fields__ if name in Message.__struct_fields__ and name != "locale")


def unseal(entry: Entry, keys: KeyRing) -> tuple[str, str]:
    """An entry's number, and the code in it, '' where it has none.

    Raises KeyError where the entry's key is not in the ring, ValueError for a number that was sealed for another entry.
    """
    to = keys.unseal_to(entry.to, entry.tenant, entry.content.number)
    return to, kind_of(entry).code(entry, keys)


def compose(entry: Entry, to: str, code: str, config: Config, now: int, path: DeliveryPath) -> Message:
    """The message as it goes by this path."""
    tenant = config.tenants.get(entry.tenant)
    brand = entry.content.brand or (tenant.brand if tenant else "Verify")
    text = kind_of(entry).text(entry, code, brand, path.channel, config, now)
    return Message(
        id=f"{entry.id}.{entry.entry}",
        verification_id=entry.id,
        tenant=entry.tenant,
        to=phone.dialled(to, path.channel),
        # Of letters an SMS's sender has eleven at the most.
        sender=config.senders[path.sender].address if path.sender else brand if path.channel == "email" else brand[:11],
        channel=path.channel,
        body=text.body,
        code=code,
        encoding=text.encoding,
        segments=text.segments,
        expires_at=entry.expires_at,
        locale=text.locale,
        subject=text.subject,
        **{name: getattr(entry.content, name) for name in _PASSED_ON},
    )


def text_name(entry: Entry, config: Config, locale: str) -> str:
    """What a message's text is called where it is counted, with its language."""
    return f"{kind_of(entry).called(entry, config)} {locale}"


# While there is another path, nobody waits longer; a code that arrives with less of its life left is of no use; and
# what has no code is of use for a minute.
LINE_MS = 1_000
USEFUL_MS = 3_000
MINUTE_MS = 60_000


class SenderPacing:
    """The lines in front of the senders, as long as they are worth joining."""

    def __init__(self, senders: Senders, config: Config) -> None:
        self._senders = senders
        self._config = config

    def take(self, path: DeliveryPath, message: Message, now: int, *, patient: bool) -> float | None:
        """Takes a turn: seconds until then; None where it would be too late. `patient`: there is no other path.

        A call is one, however long; a text counts its segments. Raises StoreUnavailable.
        """
        if not path.sender or (per_second := self._config.senders[path.sender].per_second) is None:
            return 0.0
        cost = 1 if path.channel == "voice" else message.segments
        wait = self._senders.reserve(path.sender, per_second, cost, self.most_ms(message, now, patient=patient))
        if wait is None:
            SENDER_FULL.labels(path.sender).inc()
        return wait

    def most_ms(self, message: Message, now: int, *, patient: bool) -> int:
        """How long it is worth waiting."""
        life = message.expires_at - now - USEFUL_MS if message.expires_at else MINUTE_MS
        return life if patient else min(life, LINE_MS)


_log = log("dispatch")


class Broken(DeliveryError):
    """The message could not be composed, or an adapter broke over it. The same would come of every further try, so this
    path is tried once; and it says nothing of how the provider does."""


def send(provider: Provider, name: str, message: Message) -> Receipt:
    """The receipt of a message that was taken. Raises DeliveryError, and nothing else.

    Whatever else an adapter raises is the message's fault or the adapter's (Broken); but an error of the system, such
    as a connection that breaks, is the provider's.
    """
    try:
        receipt = provider.send(message)
    except DeliveryError:
        raise
    except (OSError, StoreUnavailable) as error:  # The fake provider's inbox is in the store.
        raise Uncertain(f"connection broke ({type(error).__name__})") from None
    except Exception as error:
        _log.error("adapter failed", provider=name, error=site(error))
        raise Broken(f"adapter failed ({type(error).__name__})") from None
    if receipt.status == "failed":  # A vendor that makes a message and fails it in one answer has refused it.
        reason = receipt.reason or "failed at once"
        if receipt.permanent or receipt.opted_out:
            raise Rejected(reason, opted_out=receipt.opted_out, permanent=receipt.permanent)
        raise Unavailable(reason)
    return receipt


class OptOutRecorder:
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
