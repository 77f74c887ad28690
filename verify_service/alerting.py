"""`[alerts]` of `verify.toml`: what the team is told of, and where."""

from collections.abc import Callable
from typing import Annotated, Literal, get_args

from msgspec import Meta

from verify_service import recipient
from verify_service.duration import Duration
from verify_service.errors import ConfigError, InvalidNumber
from verify_service.routing import Route, Section
from verify_service.tenants import SignedEndpoint

RuleName = Literal[
    "attack", "budget", "provider-down", "receipts-missing", "approvals-falling", "policy-refused", "audit-broken"
]
RULES: tuple[RuleName, ...] = get_args(RuleName)

Share = Annotated[float, Meta(gt=0, le=1)]
_MOST = 10
_DAY_S = 86_400


class People(Section, frozen=True):
    """Whom a provider of the file writes to, by its routes."""

    to: Annotated[tuple[str, ...], Meta(min_length=1, max_length=_MOST)]


class AlertsConfig(Section, frozen=True, kw_only=True):
    """Where alerts go, and which there are. `budget_share` is the share from which there is one, `receipts_share` that
    of the receipts, and `approvals_share` that of what is usual, below which there is one; `refusals_times` how many
    times the usual refusals are an attack. An incident is over once it has not been seen for `resolve_after`; while it
    is not, the team is reminded every `remind_after`."""

    webhook: SignedEndpoint | None = None
    mail: People | None = None
    text: People | None = None
    off: tuple[RuleName, ...] = ()
    budget_share: Share = 0.8
    receipts_share: Share = 0.5
    approvals_share: Share = 0.6
    refusals_times: Annotated[float, Meta(ge=2, le=1000)] = 5.0
    resolve_after: Duration = Duration("10 minutes")
    remind_after: Duration = Duration("1 day")

    def judge(self, route: Callable[[str, str], Route | None]) -> None:
        """`route` has the route to a country by a channel. Raises ConfigError for what no type says."""
        if self.webhook:
            self.webhook.judge("alerts.webhook")
        for channel, people, at in (("email", self.mail, "mail"), ("sms", self.text, "text")):
            for place, to in enumerate(people.to if people else ()):
                where = f"alerts.{at}.to[{place}]"
                try:
                    number = recipient.parse(to, None)
                except InvalidNumber:
                    number = None
                if number is None or number.is_email != (channel == "email"):
                    what = "no email address" if channel == "email" else "no number in E.164, such as +4915112345678"
                    raise ConfigError(f"{where}: is {what}")
                if route(number.country, channel) is None:
                    raise ConfigError(f"{where}: no route carries {channel} there; write one, or leave this out")
        if self.resolve_after.seconds > _DAY_S:
            raise ConfigError("alerts.resolve_after: 1 day at most")
