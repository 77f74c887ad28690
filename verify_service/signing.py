"""Standard Webhooks (standardwebhooks.com): how a body is signed, and how a signature is checked.

Headers `webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature`, which is `v1,` and base64 of HMAC-SHA-256
over `id.timestamp.body`, one for each secret with a space between; a secret is `whsec_` and base64.
"""

import base64
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook, WebhookVerificationError

from verify_service.errors import ConfigError, Forged


class Signer:
    """Signs under every secret and accepts any, so that a secret can be changed while both sides are at work."""

    def __init__(self, *secrets: str) -> None:
        """Raises ConfigError for a bad secret."""
        self._webhooks = [Webhook(_key(secret)) for secret in secrets]

    def headers(self, message_id: str, body: bytes) -> dict[str, str]:
        """What goes with a body that is sent now."""
        at = datetime.fromtimestamp(int(time.time()), UTC)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(each.sign(message_id, at, body.decode()) for each in self._webhooks),
        }

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises Forged for what is not signed with one of the secrets, or more than five minutes ago."""
        for webhook in self._webhooks:
            try:
                webhook.verify(body, dict(headers), json_parse=False)
                return
            except (WebhookVerificationError, ValueError):  # It takes signatures apart without looking.
                continue
        raise Forged("not signed with the secret of this provider, or too long ago")


def _key(secret: str) -> bytes:
    """The bytes behind `whsec_`. The library takes nearly anything for a secret, also one that is guessed at once."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not secret.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise ConfigError("a webhook's secret is whsec_ and base64 of 24 to 64 random bytes")
    return key
