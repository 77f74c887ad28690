"""Tells the team: by a signed webhook, by email, by text.

Emails and texts are handed to a provider's adapter at once, past the outbox: under an attack, that is what may be full.
Nobody can opt out of them, no limit counts them, and the policy judges what callers ask for.
"""

from collections.abc import Callable, Mapping
from functools import partial

from verify_service import phone, recipient
from verify_service.adapters import Provider
from verify_service.alerting import AlertsConfig
from verify_service.alerts import wording
from verify_service.config import Config
from verify_service.dispatch.sending import send
from verify_service.errors import ConfigError, DeliveryError, Unavailable
from verify_service.messages.measure import measure
from verify_service.model import Message
from verify_service.providers.http import Endpoint
from verify_service.routing import Via
from verify_service.signing import Signer
from verify_service.store.alert_layouts import Telling

_NAME = "Verify"
_LIFE_MS = 86_400_000


class Team:
    """The targets of `[alerts]`, by name: `webhook`, `mail-1`, `text-1` and so on."""

    def __init__(self, config: Config, secret: Callable[[str], str], providers: Mapping[str, Provider]) -> None:
        """`secret` reads `env:NAME` or `file:PATH`; `providers` are asked for when one is needed. Raises
        ConfigError."""
        alerts: AlertsConfig = config.alerts
        self._config = config
        self._providers = providers
        self._targets: dict[str, Callable[[Telling], None]] = {}
        if alerts.webhook:
            try:
                self._signer = Signer(*map(secret, alerts.webhook.secrets))
                headers = {"content-type": "application/json"}
                self._endpoint = Endpoint(alerts.webhook.url, alerts.webhook.timeout.seconds, headers)
            except ConfigError as error:
                raise ConfigError(f"alerts.webhook: {error}") from None
            except ValueError:
                raise ConfigError("alerts.webhook.url: cannot be read as a URL") from None
            self._targets["webhook"] = self._post
        for place, to in enumerate(alerts.mail.to if alerts.mail else (), 1):
            self._targets[f"mail-{place}"] = partial(self._mail, to)
        for place, to in enumerate(alerts.text.to if alerts.text else (), 1):
            self._targets[f"text-{place}"] = partial(self._text, to)

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(self._targets)

    def tell(self, telling: Telling) -> None:
        """Tells one target. Raises DeliveryError, which says in a few words why it was not, or perhaps not, told."""
        target = self._targets.get(telling.target)
        if target is None:
            raise Unavailable("verify.toml has no such target any more")
        target(telling)

    def _post(self, telling: Telling) -> None:
        body = wording.payload(telling, self._config.base_url)
        answer = self._endpoint.post(body, self._signer.headers(telling.id, body))
        if not 200 <= answer.status < 300:
            raise Unavailable(f"HTTP {answer.status}")

    def _mail(self, to: str, telling: Telling) -> None:
        subject, body = wording.mail(telling, self._config.base_url)
        self._hand_over(telling, to, "", "email", body, subject)

    def _text(self, to: str, telling: Telling) -> None:
        country = recipient.parse(to, None).country
        body = wording.text(telling, self._config.base_url)
        self._hand_over(telling, phone.dialled(to, "sms"), country, "sms", body)

    def _hand_over(self, telling: Telling, to: str, country: str, channel: str, body: str, subject: str = "") -> None:
        """By the ways of the route to that country, one after the other, until one takes it. Raises DeliveryError."""
        encoding, segments = measure(body)
        failed: DeliveryError = Unavailable("no route")
        for via in ways(self._config, country, channel):
            message = Message(
                id=telling.id,
                verification_id=telling.incident.id,
                tenant="",
                to=to,
                sender=self._config.senders[via.sender].address if via.sender else _NAME,
                channel=channel,
                body=body,
                code="",
                encoding=encoding,
                segments=segments if channel == "sms" else 1,
                expires_at=telling.at + _LIFE_MS,
                country=country,
                subject=subject,
            )
            try:
                send(self._providers[via.provider], via.provider, message)
                return
            except DeliveryError as error:
                failed = error
        raise failed


def ways(config: Config, country: str, channel: str) -> list[Via]:
    """Those of a country's route, those that carry nothing as a rule last."""
    route = config.route(country, channel)
    return sorted(config.carriers(route, country), key=lambda via: not via.weight) if route else []


def needed(config: Config) -> set[str]:
    """The providers that alerts may go by."""
    mail, text = config.alerts.mail, config.alerts.text
    places = [("", "email")] if mail else []
    places += [(recipient.parse(to, None).country, "sms") for to in (text.to if text else ())]
    return {via.provider for place in places for via in ways(config, *place)}
