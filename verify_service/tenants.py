"""A tenant's table of `verify.toml`: who calls for it, what it is told of, and what its people see."""

import re
from typing import Annotated, Literal

from msgspec import Meta

from verify_service import look
from verify_service.adapters import HOW_SECRETS_STAND, SECRET, Secret
from verify_service.duration import Duration
from verify_service.errors import ConfigError
from verify_service.routing import Section
from verify_service.services import ServiceConfig

Scope = Literal["verify", "admin", "read"]
WEBHOOK_PATIENCE_S = 20
MOST_RECEIPT_LIFE_S = 86_400
WebhookEvent = Literal[
    "started", "refused", "sent", "delivered", "failed", "failed-over", "wrong", "approved", "canceled", "notice"
]


Digest = Annotated[str, Meta(pattern=r"^sha256:[0-9a-f]{64}\Z", description="`verify-service apikey new` prints one")]
"""Of a key, as its holder alone has that."""


class ApiKey(Section, frozen=True):
    """An API key by its digest, as `verify-service apikey new` prints it."""

    digest: Digest
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)] = ("verify",)


class SignedEndpoint(Section, frozen=True, kw_only=True):
    """An endpoint that is told by signed webhooks. `secret` may be a list while it is changed: the newest first.
    `timeout` is for connecting and for the answer each."""

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/]+", description="write it whole, with https://")]
    # One alone is judged below: where a union of a text with a pattern and a list stands in two tables of a file,
    # msgspec 0.22 frees it wrongly, and the process dies when it ends.
    secret: str | Annotated[tuple[Secret, ...], Meta(min_length=1, max_length=3)]
    timeout: Duration = Duration("10 seconds")

    @property
    def secrets(self) -> tuple[str, ...]:
        return (self.secret,) if isinstance(self.secret, str) else self.secret

    def judge(self, at: str) -> None:
        """Raises ConfigError for what no type says; `at` names the table."""
        for secret in self.secrets:
            if not re.match(SECRET, secret):
                raise ConfigError(f"{at}.secret: {HOW_SECRETS_STAND}")
        if self.timeout.seconds > WEBHOOK_PATIENCE_S:
            raise ConfigError(f"{at}.timeout: {WEBHOOK_PATIENCE_S} seconds at most")


class WebhookConfig(SignedEndpoint, frozen=True, kw_only=True):
    """The tenant's own endpoint, and what it is told of."""

    events: Annotated[tuple[WebhookEvent, ...], Meta(min_length=1)] = ("delivered", "failed", "approved")


class ReceiptTerms(Section, frozen=True):
    """When a check that approves answers a signed receipt, how long that is good for, and whom it names."""

    receipts: Literal["asked", "always"] = "asked"
    receipt_life: Duration = Duration("5 minutes")
    receipt_subject: Literal["pseudonym", "to"] = "pseudonym"


class NoticeConfig(Section, frozen=True):
    """What a tenant's users are told of beside codes: a new factor, the last recovery code used, so many wrong codes in
    a row."""

    factor_added: bool = False
    recovery_codes_used: bool = False
    wrong_codes: Annotated[int, Meta(ge=1, le=100)] | None = None


class TenantConfig(ReceiptTerms, frozen=True):
    brand: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    api_keys: tuple[ApiKey, ...] = ()
    webhook: WebhookConfig | None = None
    return_urls: tuple[str, ...] = ()
    colour: Annotated[str, Meta(pattern=r"^#[0-9A-Fa-f]{6}\Z", description="write it such as #0b6b5d")] | None = None
    logo: Annotated[str, Meta(min_length=1)] | None = None
    account_sid: Annotated[str, Meta(pattern=r"^AC[0-9a-f]{32}\Z", description="AC and 32 hex digits")] | None = None
    services: tuple[ServiceConfig, ...] = ()
    notices: NoticeConfig = NoticeConfig()

    def judge(self, at: str) -> None:
        """Raises ConfigError for what no type says; `at` names the table."""
        if self.webhook:
            self.webhook.judge(f"{at}.webhook")
        if self.receipt_life.seconds > MOST_RECEIPT_LIFE_S:
            raise ConfigError(f"{at}.receipt_life: 1 day at most; a receipt tells of a moment")
        if self.colour:
            look.judge(f"{at}.colour", self.colour)
