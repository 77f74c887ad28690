"""The provider of tests and first steps: messages go to an inbox in the store, and it behaves as it is told.

Without scripted behaviour each message is accepted and its receipt says delivered.
"""

import threading
import time
from collections.abc import Callable

from verify_service.adapters import Adapter, AdapterContext, Settings
from verify_service.errors import Rejected, StoreUnavailable, Unavailable, Uncertain
from verify_service.inbox import Inbox, InboxMessage, Rule
from verify_service.model import Clock, Message, Receipt

SLOW_MS = 2_000
LATE_MS = 2_000


Report = Callable[[Receipt], bool]


class FakeSettings(Settings, frozen=True):
    """It needs none."""


class FakeProvider:
    """One fake provider by its name in the configuration."""

    def __init__(self, name: str, inbox: Inbox, clock: Clock, report: Report) -> None:
        self._name = name
        self._inbox = inbox
        self._clock = clock
        self._report = report

    def send(self, message: Message) -> Receipt:
        try:
            rules = self._put(message, 1, consulted=False)
            if rules is None:
                return Receipt(provider_id=message.id, status="delivered")
            rule = self._inbox.rule_for(rules, self._name, message.to)
            return self._behave(rule or Rule(to="*", do="accept"), message)
        except StoreUnavailable:
            raise Unavailable("the inbox's store does not answer") from None

    def close(self) -> None:
        pass

    def _behave(self, rule: Rule, message: Message) -> Receipt:
        delay_ms = rule.delay_ms if rule.delay_ms is not None else SLOW_MS if rule.do == "slow" else 0
        receipt = rule.receipt or ("none" if rule.do == "lose" else "delivered")
        late = receipt == "late"
        if not late or rule.do == "slow":
            time.sleep(delay_ms / 1000)
        match rule.do:
            case "reject":
                raise Rejected("told to reject")
            case "error":
                raise Unavailable("told to fail")
            case "timeout":
                raise Uncertain("told to time out")
            case "accept" | "slow" | "duplicate":
                self._put(message, 2 if rule.do == "duplicate" else 1, consulted=True)
            case "lose":
                pass
        if late:
            timer = threading.Timer(
                (rule.delay_ms or LATE_MS) / 1000, self._report, [Receipt(provider_id=message.id, status="delivered")]
            )
            timer.daemon = True
            timer.start()
        if receipt == "failed":  # Taken, and lost after that: no answer to `send` says so.
            self._report(Receipt(provider_id=message.id, status="failed", reason="told to fail"))
        return Receipt(provider_id=message.id, status="delivered" if receipt == "delivered" else "accepted")

    def _put(self, message: Message, copies: int, *, consulted: bool) -> tuple[Rule, ...] | None:
        shown = InboxMessage(
            id="",
            to=message.to,
            from_=message.sender,
            body=message.body,
            code=message.code,
            channel=message.channel,
            encoding=message.encoding,
            segments=message.segments,
            verification_id=message.verification_id,
            sent_at=self._clock.now(),
        )
        return self._inbox.put(message.tenant, shown, copies, consulted=consulted)


def _provider(_settings: FakeSettings, context: AdapterContext) -> FakeProvider:
    return FakeProvider(context.name, context.inbox, context.clock, context.report)


ADAPTER = Adapter(
    settings=FakeSettings,
    provider=_provider,
    channels=frozenset({"sms", "rcs", "voice", "whatsapp", "email"}),
    fake=True,
    names_sender=True,
)
