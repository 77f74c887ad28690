"""POSTs each message as signed JSON to the operator's own URL (Standard Webhooks, standardwebhooks.com).

The `webhook-id` is the message's: a repetition carries the same one. The operator tells of receipts and of texts from
phones by signed POSTs of their own, under the same secret.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from verify_service.adapters import Adapter, AdapterContext, Secret, Settings, Straying
from verify_service.duration import Duration
from verify_service.errors import Rejected
from verify_service.model import Callback, InboundText, Message, Receipt
from verify_service.providers.http import Answer, Decoded, Endpoint, entries, failure, json
from verify_service.signing import Signer

# A 4xx rejects the number, but for these: they say that something is wrong with us, or with them.
_NOT_THE_NUMBER = frozenset({401, 403, 404, 405, 407, 408, 409, 421, 425, 429})


class WebhookSettings(Settings, frozen=True):
    """The operator's own URL; `timeout` for connecting and for the answer each."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+")]
    secret: Secret
    timeout: Duration = Duration("5 seconds")


class WebhookProvider:
    """A provider at an operator's URL."""

    def __init__(self, url: str, secret: str, timeout: float) -> None:
        """`timeout` in seconds, for connecting and for the answer each. Raises ConfigError for a bad secret."""
        self._signer = Signer(secret)
        self._endpoint = Endpoint(url, timeout, {"content-type": "application/json"})

    def send(self, message: Message) -> Receipt:
        expires_at = datetime.fromtimestamp(message.expires_at / 1000, UTC).replace(tzinfo=None)
        body = msgspec.json.encode(
            {
                "type": "message.send",
                "id": message.id,
                "verification_id": message.verification_id,
                "tenant": message.tenant,
                "to": message.to,
                "from": message.sender,
                "channel": message.channel,
                "subject": message.subject,
                "body": message.body,
                "locale": message.locale,
                "encoding": message.encoding,
                "segments": message.segments,
                "expires_at": f"{expires_at.isoformat(timespec='milliseconds')}Z",
            }
        )
        return _judge(self._endpoint.post(body, self._signer.headers(message.id, body)))

    def close(self) -> None:
        self._endpoint.close()


class WebhookCallbacks:
    """What the operator tells: a JSON list of receipts, or of texts, signed as our messages to them are."""

    def __init__(self, secret: str, stray: Straying = lambda _why, _words, _times=1: None) -> None:
        """`stray` is told of entries that cannot be read. Raises ConfigError for a bad secret."""
        self._signer = Signer(secret)
        self._stray = stray

    def receipts(self, call: Callback) -> Sequence[Receipt]:
        return [
            Receipt(
                provider_id=told.id,
                status=told.status,
                reason=told.reason,
                permanent=told.permanent,
                opted_out=told.opted_out,
                segments=told.segments,
                price=told.price,
                carrier=told.carrier,
            )
            for told in self._entries(call, _Told)
        ]

    def inbound(self, call: Callback) -> Sequence[InboundText]:
        return self._entries(call, InboundText)

    def _entries(self, call: Callback, kind: type[Decoded]) -> list[Decoded]:
        self._signer.verify(call.headers, call.body)
        return entries(json(call.body, list[msgspec.Raw]), kind, self._stray)


def _judge(answer: Answer) -> Receipt:
    try:
        told = json(answer.body, _Answer)
    except ValueError:
        told = _Answer()
    if answer.accepts:
        return Receipt(provider_id=told.id)
    if 400 <= answer.status < 500 and answer.status not in _NOT_THE_NUMBER:
        raise Rejected(f"HTTP {answer.status}", opted_out=told.opted_out, permanent=told.permanent)
    raise failure(answer.status)


class _Answer(msgspec.Struct):
    id: str | None = None
    permanent: bool = False
    opted_out: bool = False


class _Told(msgspec.Struct):
    """A receipt on the wire; the nouns of `Receipt`, but that `id` is the one that the operator answered with."""

    id: str
    status: Literal["delivered", "failed"]
    reason: Annotated[str, Meta(max_length=200)] | None = None
    permanent: bool = False
    opted_out: bool = False
    segments: Annotated[int, Meta(ge=0, le=1_000)] | None = None
    price: Annotated[float, Meta(ge=0, le=1_000)] | None = None
    carrier: Annotated[str, Meta(max_length=32)] | None = None


def _provider(settings: WebhookSettings, context: AdapterContext) -> WebhookProvider:
    return WebhookProvider(settings.url, context.secret(settings.secret), settings.timeout.seconds)


def _callbacks(settings: WebhookSettings, context: AdapterContext) -> WebhookCallbacks:
    return WebhookCallbacks(context.secret(settings.secret), context.stray)


ADAPTER = Adapter(
    settings=WebhookSettings,
    provider=_provider,
    callbacks=_callbacks,
    channels=frozenset({"sms", "rcs", "voice", "whatsapp", "email"}),
    names_sender=True,
)
