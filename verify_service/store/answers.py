"""What the scripts of a verification answer: its layouts, and what they are to the service."""

from collections.abc import Sequence
from typing import Any

from verify_service.model import TimelineEvent, TimelineName
from verify_service.packing import Answer, Layout
from verify_service.store.layouts import Approved, TimelineLine
from verify_service.store.shapes import Checked, Refused, Started


class StartedAnswer(Answer, frozen=True):
    """`start`: admitted, as `started` or `resent`; `observed` are the names of what only watches and would refuse."""

    kind: str
    id: str
    created_at: int
    expires_at: int
    resend_at: int
    checks_left: int
    sends_left: int
    channel: str
    observed: Sequence[str] = ()


class LimitedAnswer(Answer, frozen=True):
    """`start` and `check`: refused as `rate-limited`, or a start as `blocked`, by a limit or rule; `wait` is ms."""

    kind: str
    name: str
    wait: int
    observed: Sequence[str]
    decision: str


class CooldownAnswer(Answer, frozen=True):
    """`start`: `cooldown`, until a resend may pass."""

    kind: str
    wait: int
    id: str
    resend_at: int
    expires_at: int
    decision: str


class SentOutAnswer(Answer, frozen=True):
    """`start`: `sends-exhausted`."""

    kind: str
    wait: int
    id: str
    expires_at: int
    decision: str


class OptedOutAnswer(Answer, frozen=True):
    """`start`: `opted-out`."""

    kind: str
    decision: str


class CheckedAnswer(Answer, frozen=True):
    """`check`: a code was compared, and the verification is `approved`, `pending` or `exhausted`. `uncounted` is 1
    where no other key than the number counts it; `sealed_to` is its recipient in hex, where the check named a purpose,
    or a receipt names it: all that stands under an Idempotency-Key is text."""

    kind: str
    id: str
    checks_left: int
    observed: Sequence[str] = ()
    uncounted: int = 0
    channel: str = ""
    created_at: int = 0
    number: str = ""
    sealed_to: str = ""


class ApprovedAnswer(CheckedAnswer, frozen=True):
    """`check`: the same of an approval that a receipt is wanted of, and what else that says."""

    approval: str = ""


class WaitAnswer(Answer, frozen=True):
    """`check`: `checks-exhausted`, until a start for the number can pass."""

    kind: str
    wait: int


class HeldAnswer(Answer, frozen=True):
    """`hold` and `hold_check`: `name` is what refuses, '' where nothing does. `held` are the places of the keys that
    can be given back, `refunds` what an approval gives back, `judged` the verdicts, msgpack, or nothing; `near` as in
    an event."""

    name: str = ""
    wait: int = 0
    observed: Sequence[str] = ()
    held: Sequence[int] = ()
    kind: str = ""
    refunds: str = ""
    judged: bytes = b""
    near: str = ""


ALL: tuple[type[Layout], ...] = (
    *(StartedAnswer, LimitedAnswer, CooldownAnswer, SentOutAnswer, OptedOutAnswer, CheckedAnswer),
    *(ApprovedAnswer, WaitAnswer, HeldAnswer),
)


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
        case b"absent":
            return Refused("absent"), ()
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
    told = ApprovedAnswer.told(answer)
    return Checked(
        told.kind,
        told.id,
        told.checks_left,
        next(Approved.each(told.approval), None),
        uncounted=told.uncounted == 1,
        channel=told.channel,
        created_at=told.created_at,
        number=told.number,
        sealed_to=bytes.fromhex(told.sealed_to),
    )


def timeline_event(line: TimelineLine, created_at: int) -> TimelineEvent:
    """A line of the timeline as it is shown. Raises ValueError."""
    name: TimelineName = line.event  # type: ignore[assignment]
    at = created_at + int(line.after)
    return TimelineEvent(at=at, event=name, provider=line.provider or None, reason=line.reason or None)
