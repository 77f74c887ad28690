"""POSTs each message as signed JSON to the operator's own URL (Standard Webhooks, standardwebhooks.com).

Headers `webhook-id` (the message's id: a repetition carries the same one), `webhook-timestamp` (seconds) and
`webhook-signature: v1,<base64 HMAC-SHA256 of id.timestamp.body>`; the secret is `whsec_` and base64.
"""

import base64
import time
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import urllib3
from msgspec import Meta
from standardwebhooks import Webhook

from verify_service.adapters import Adapter, Settings, Surroundings
from verify_service.duration import Duration
from verify_service.errors import ConfigError, Rejected, Unavailable, Uncertain
from verify_service.model import Message, Receipt

# What a status says of the message. Any other 2xx accepts, any other 4xx rejects, any other 5xx leaves it open.
_UNAVAILABLE = frozenset({401, 403, 404, 405, 407, 408, 421, 425, 429, 503})
_UNCERTAIN = frozenset({409, 500, 502, 504})
_MOST_BYTES = 16_384


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
        self._timeout = timeout
        # One host, so its own pool: a PoolManager would look it up anew for every message.
        self._target = urllib3.util.parse_url(url).request_uri
        self._pool = urllib3.connection_from_url(
            url,
            maxsize=64,
            retries=False,
            timeout=urllib3.Timeout(connect=timeout, read=timeout),
            headers={"content-type": "application/json", "user-agent": "verify_service"},
        )

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
                "body": message.body,
                "encoding": message.encoding,
                "segments": message.segments,
                "expires_at": f"{expires_at.isoformat(timespec='milliseconds')}Z",
            }
        )
        sent_at = datetime.fromtimestamp(int(time.time()), UTC)
        headers = {
            **self._pool.headers,
            "webhook-id": message.id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
            "webhook-signature": self._signer.sign(message.id, sent_at, body.decode()),
        }
        try:
            answer = self._pool.urlopen(
                "POST", self._target, body=body, headers=headers, redirect=False, preload_content=False
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError):
            raise Unavailable("no connection") from None
        except urllib3.exceptions.ReadTimeoutError:
            raise Uncertain("no answer in time") from None
        except urllib3.exceptions.SSLError:
            raise Unavailable("TLS failed") from None
        except urllib3.exceptions.HTTPError as error:
            raise Uncertain(f"connection broke ({type(error).__name__})") from None
        return _judge(answer.status, _body(answer, time.monotonic() + self._timeout))

    def close(self) -> None:
        self._pool.close()


def _key(secret: str) -> bytes:
    """The bytes behind `whsec_`. The library takes nearly anything for a secret, also one that is guessed at once."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ConfigError("a webhook's secret is whsec_ and base64 of 24 to 64 random bytes")
    return key


def _body(answer: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """As much of the body as comes in time and an id can need: what the answer means, its status has said already."""
    data = b""
    try:
        while len(data) < _MOST_BYTES and time.monotonic() < until:
            part = answer.read1(_MOST_BYTES)
            if not part:
                answer.release_conn()
                return data
            data += part
    except (urllib3.exceptions.HTTPError, OSError):
        pass
    answer.close()
    return data


def _judge(status: int, data: bytes) -> Receipt:
    if 200 <= status < 300:
        try:
            provider_id = msgspec.json.decode(data, type=_Answer).id
        except msgspec.DecodeError:
            provider_id = None
        return Receipt(provider_id=provider_id)
    reason = f"HTTP {status}"
    if status in _UNAVAILABLE or 300 <= status < 400:
        raise Unavailable(reason)
    if status in _UNCERTAIN or status >= 500:
        raise Uncertain(reason)
    raise Rejected(reason)


class _Answer(msgspec.Struct):
    id: str | None = None


def _provider(settings: WebhookSettings, around: Surroundings) -> WebhookProvider:
    return WebhookProvider(settings.url, around.secret(settings.secret), settings.timeout.seconds)


ADAPTER = Adapter(
    settings=WebhookSettings, provider=_provider, channels=frozenset({"sms", "voice", "whatsapp", "email"})
)
