"""What the scripts of a verification answer, as the shapes that the service works with."""

from collections.abc import Sequence
from typing import Any

from verify_service.model import TimelineEvent, TimelineName
from verify_service.store.layouts import (
    CheckedAnswer,
    CooldownAnswer,
    LimitedAnswer,
    OptedOutAnswer,
    SentOutAnswer,
    StartedAnswer,
    TimelineLine,
    WaitAnswer,
)
from verify_service.store.shapes import Checked, Refused, Started


def start_answer(answer: list[Any]) -> tuple[Started | Refused, Sequence[str]]:
    """What the start script answered, and the limits and rules in observe mode that would have refused."""
    match answer[0]:
        case b"started" | b"resent":
            told = StartedAnswer.told(answer)
            return _started(told), told.observed
        case b"replayed":
            return _started(StartedAnswer.told(answer[1]))._replace(replayed=True), ()
        case b"mismatch":
            return Refused("mismatch"), ()
        case b"rate-limited" | b"blocked":
            limited = LimitedAnswer.told(answer)
            return _limited(limited), limited.observed
        case b"cooldown":
            early = CooldownAnswer.told(answer)
            wait = (early.id, early.resend_at, early.expires_at, early.decision)
            return Refused(early.kind, early.wait, "cooldown", *wait), ()
        case b"sends-exhausted":
            spent = SentOutAnswer.told(answer)
            return Refused(
                spent.kind, spent.wait, id=spent.id, expires_at=spent.expires_at, decision=spent.decision
            ), ()
    out = OptedOutAnswer.told(answer)
    return Refused(out.kind, decision=out.decision), ()


def check_answer(answer: list[Any]) -> Checked | Refused:
    """What the check script answered."""
    match answer[0]:
        case b"replayed":
            return _checked(answer[1])._replace(replayed=True)
        case b"approved" | b"pending" | b"exhausted":
            return _checked(answer)
        case b"rate-limited":
            return _limited(LimitedAnswer.told(answer))
        case b"checks-exhausted":
            spent = WaitAnswer.told(answer)
            return Refused(spent.kind, spent.wait)
    return Refused(answer[0].decode())


def _started(told: StartedAnswer) -> Started:
    return Started(
        resent=told.kind == "resent",
        id=told.id,
        created_at=told.created_at,
        expires_at=told.expires_at,
        resend_at=told.resend_at,
        checks_left=told.checks_left,
        sends_left=told.sends_left,
        channel=told.channel,
    )


def _limited(told: LimitedAnswer) -> Refused:
    return Refused(told.kind, told.wait, told.name, decision=told.decision)


def _checked(answer: list[Any]) -> Checked:
    told = CheckedAnswer.told(answer)
    return Checked(told.kind, told.id, told.checks_left)


def timeline_event(line: TimelineLine, created_at: int) -> TimelineEvent:
    """A line of the timeline as it is shown. Raises ValueError."""
    name: TimelineName = line.event  # type: ignore[assignment]
    at = created_at + int(line.after)
    return TimelineEvent(at=at, event=name, provider=line.provider or None, reason=line.reason or None)
