"""POSTs each message as signed JSON to the operator's own URL (Standard Webhooks, standardwebhooks.com).

Headers `webhook-id` (the message's id: a repetition carries the same one), `webhook-timestamp` (seconds) and
`webhook-signature: v1,<base64 HMAC-SHA256 of id.timestamp.body>`; the secret is `whsec_` and base64.
"""

import base64
import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from standardwebhooks import Webhook

from verify_service.adapters import Adapter, Settings, Surroundings
from verify_service.duration import Duration
from verify_service.errors import ConfigError, Rejected
from verify_service.model import Message, Receipt
from verify_service.providers.http import Answer, Endpoint, failure, json

# A 4xx rejects the number, but for these: they say that something is wrong with us, or with them.
_NOT_THE_NUMBER = frozenset({401, 403, 404, 405, 407, 408, 409, 421, 425, 429})


class WebhookSettings(Settings, frozen=True):
    """The operator's own URL; `timeout` for connecting and for the answer each."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+")]
    secret: Annotated[str, Meta(pattern=r"^(env|file):.")]
    timeout: Duration = Duration("5 seconds")


class WebhookProvider:
    """A provider at an operator's URL."""

    def __init__(self, url: str, secret: str, timeout: float) -> None:
        """`timeout` in seconds, for connecting and for the answer each. Raises ConfigError for a bad secret."""
        self._signer = Webhook(_key(secret))
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
        sent_at = datetime.fromtimestamp(int(time.time()), UTC)
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": self._signer.sign(message.id, sent_at, body.decode()),
        }
        return _judge(self._endpoint.post(body, headers))

    def close(self) -> None:
        self._endpoint.close()


def _key(secret: str) -> bytes:
    """The bytes behind `whsec_`. The library takes nearly anything for a secret, also one that is guessed at once."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ConfigError("a webhook's secret is whsec_ and base64 of 24 to 64 random bytes")
    return key


def _judge(answer: Answer) -> Receipt:
    if answer.accepts:
        try:
            provider_id = json(answer.body, _Answer).id
        except ValueError:
            provider_id = None
        return Receipt(provider_id=provider_id)
    if 400 <= answer.status < 500 and answer.status not in _NOT_THE_NUMBER:
        raise Rejected(f"HTTP {answer.status}")
    raise failure(answer.status)


class _Answer(msgspec.Struct):
    id: str | None = None


def _provider(settings: WebhookSettings, around: Surroundings) -> WebhookProvider:
    return WebhookProvider(settings.url, around.secret(settings.secret), settings.timeout.seconds)


ADAPTER = Adapter(
    settings=WebhookSettings, provider=_provider, channels=frozenset({"sms", "voice", "whatsapp", "email"})
)
