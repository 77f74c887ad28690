"""Submits to an SMSC or an aggregator over SMPP 3.4, by a transceiver bind that is kept up (`smpp_bind`).

Texts in the GSM 7-bit alphabet go unpacked (data_coding 0), all others as UCS-2 (8). What is longer than a segment is
split, and the receipt is asked for with the last segment, whose id is the message's. The SMSC is told to drop what it
cannot deliver within the code's life.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta
from smpplib import consts

from verify_service.adapters import Adapter, AdapterContext, Secret, Settings, Stray
from verify_service.duration import Duration
from verify_service.errors import ConfigError, Rejected, Unavailable, Uncertain
from verify_service.model import InboundText, Message, Receipt
from verify_service.providers import smpp_receipt
from verify_service.providers.smpp_bind import Account, Answer, Bind
from verify_service.providers.smpp_pdu import Delivery
from verify_service.providers.smpp_text import decode, encode
from verify_service.providers.tls import trusting

# Types of number (SMPP 3.4, 5.2.5).
_NATIONAL = 2

Octet = Annotated[int, Meta(ge=0, le=255)]

# What a status says of the message; any other refusal says that it was not sent.
_REJECTED = frozenset({consts.SMPP_ESME_RINVDSTADR, consts.SMPP_ESME_RINVDSTTON, consts.SMPP_ESME_RINVDSTNPI})
_UNCERTAIN = frozenset({consts.SMPP_ESME_RSYSERR, consts.SMPP_ESME_RUNKNOWNERR})

_HAS_HEADER = 0x40

_INTERNATIONAL, _NATIONAL_NETWORK, _ALPHANUMERIC = (1, 1), (3, 0), (5, 0)


class SmppSettings(Settings, frozen=True, kw_only=True):
    """The account with the aggregator, and how its SMSC differs from others; see docs/providers/smpp.md."""

    host: Annotated[str, Meta(min_length=1)]
    port: Annotated[int, Meta(ge=1, le=65_535)] = 2775
    tls: bool = False
    tls_ca: str | None = None
    system_id: Annotated[str, Meta(min_length=1, max_length=15)]
    password: Secret
    system_type: Annotated[str, Meta(max_length=12)] = ""
    source_ton: Octet | None = None
    source_npi: Octet | None = None
    alphabet: Literal["gsm-7", "latin-1"] = "gsm-7"
    long_messages: Literal["udh", "sar"] = "udh"
    message_ids: Literal["same", "hex-then-decimal", "decimal-then-hex"] = "same"
    validity: bool = True
    permanent_errors: tuple[str, ...] = ()
    opted_out_errors: tuple[str, ...] = ()
    window: Annotated[int, Meta(ge=1, le=1_000)] = 10
    timeout: Duration = Duration("5 seconds")
    enquire_every: Duration = Duration("30 seconds")


class SmppProvider:
    """A provider at the other end of a bind."""

    def __init__(self, settings: SmppSettings, context: AdapterContext) -> None:
        """Binds in the background. Raises ConfigError for a password or certificate that cannot be used."""
        self._settings = settings
        self._context = context
        password = context.secret(settings.password)
        if len(password) > 8:
            raise ConfigError("an SMPP password has at most 8 characters")
        account = Account(
            host=settings.host,
            port=settings.port,
            tls=trusting(settings.tls_ca) if settings.tls else None,
            system_id=settings.system_id,
            password=password,
            system_type=settings.system_type,
            window=settings.window,
            timeout=settings.timeout.seconds,
            enquire_every=settings.enquire_every.seconds,
        )
        self._bind = Bind(account, self._hear)

    def send(self, message: Message) -> Receipt:
        answers = self._bind.submit(self._parts(message))
        _judge(answers)
        return Receipt(provider_id=self._receipted_id(answers[-1].message_id) or None)

    def close(self) -> None:
        self._bind.close()

    def _parts(self, message: Message) -> Sequence[Mapping[str, Any]]:
        """The fields of each submit_sm."""
        settings = self._settings
        ton, npi = _kind_of(message.sender)
        coding, parts = encode(message.body, settings.alphabet, settings.long_messages)
        common = {
            "source_addr_ton": ton if settings.source_ton is None else settings.source_ton,
            "source_addr_npi": npi if settings.source_npi is None else settings.source_npi,
            "source_addr": message.sender.removeprefix("+"),
            "dest_addr_ton": _INTERNATIONAL[0],
            "dest_addr_npi": _INTERNATIONAL[1],
            "destination_addr": message.to.removeprefix("+"),
            "data_coding": coding,
            "validity_period": self._validity(message.expires_at) if settings.validity else None,
        }
        last = len(parts) - 1
        return [common | part | {"registered_delivery": int(index == last)} for index, part in enumerate(parts)]

    def _validity(self, expires_at: int) -> str:
        """What is left of the code's life as SMPP writes a length of time (7.1.1): YYMMDDhhmmsstnnR."""
        left = min(max(1, (expires_at - self._context.clock.now()) // 1000), 86_399)
        return f"000000{left // 3600:02}{left // 60 % 60:02}{left % 60:02}000R"

    def _receipted_id(self, message_id: str) -> str:
        """An id from an answer as the receipt will have it: some SMSCs answer in one base and report in the other."""
        try:
            match self._settings.message_ids:
                case "hex-then-decimal":
                    message_id = str(int(message_id, 16))
                case "decimal-then-hex":
                    message_id = f"{int(message_id):x}"
        except ValueError:
            pass
        return smpp_receipt.canonical(message_id)

    def _hear(self, delivery: Delivery) -> bool:
        if smpp_receipt.is_receipt(delivery):
            receipt = self._receipt(delivery)
            return receipt is None or self._context.report(receipt)
        if not smpp_receipt.is_from_phone(delivery):
            return True
        has_header = bool(delivery.esm_class & _HAS_HEADER)
        digits = delivery.source_ton in (0, 1) and delivery.source.isdecimal()
        body = decode(delivery.text, delivery.data_coding, has_header, self._settings.alphabet)
        if body is None or "\ufffd" in body:
            self._context.stray("text", f"data_coding {delivery.data_coding}")
        return self._context.heard(
            InboundText(
                id=secrets.token_hex(16),  # The SMSC gives a text none.
                from_=f"+{delivery.source}" if digits else delivery.source,
                to=delivery.destination,
                body=body or "",
                national=delivery.source_ton == _NATIONAL,
            )
        )

    def _receipt(self, delivery: Delivery) -> Receipt | None:
        """The final word on a message; None for what is on its way, names no message, or is no word that is known."""
        told = smpp_receipt.read(delivery)
        if told.fate == "on its way":
            return None
        if told.fate == "unknown" or not told.message_id:
            why: Stray = "nameless" if told.fate != "unknown" else "word"
            self._context.stray(why, smpp_receipt.shown(told.word))
            return None
        if told.fate == "delivered":
            return Receipt(provider_id=told.message_id, status="delivered")
        return Receipt(
            provider_id=told.message_id,
            status="failed",
            reason=f"{told.word} {told.error}".strip(),
            permanent=told.error in self._settings.permanent_errors,
            opted_out=told.error in self._settings.opted_out_errors,
        )


def _judge(answers: Sequence[Answer]) -> None:
    """Raises what the refusals say. Of a message in parts, some of which were taken, something may arrive."""
    refusals = [answer for answer in answers if answer.status]
    if not refusals:
        return
    first = refusals[0]
    if first.status in _UNCERTAIN or len(refusals) < len(answers):
        raise Uncertain(first.status_name)
    if first.status in _REJECTED:
        raise Rejected(first.status_name, permanent=first.status == consts.SMPP_ESME_RINVDSTADR)
    raise Unavailable(first.status_name)


def _kind_of(address: str) -> tuple[int, int]:
    """Type of number and numbering plan of a sender: a number, a short code, or letters."""
    digits = address.removeprefix("+")
    if not digits.isdecimal():
        return _ALPHANUMERIC
    return _NATIONAL_NETWORK if digits == address and len(digits) <= 8 else _INTERNATIONAL


ADAPTER = Adapter(settings=SmppSettings, provider=SmppProvider)
