"""What the scripts of a verification answer, as the shapes that the service works with."""

from typing import Any

from verify_service.model import TimelineEvent, TimelineName
from verify_service.store.layouts import TimelineLine
from verify_service.store.shapes import Checked, Refused, Started


def start_outcome(answer: list[Any]) -> Started | Refused:
    """What the start script's answer says."""
    kind = answer[0].decode()
    if kind in ("started", "resent"):
        return _started(answer)
    if kind == "replayed":
        return _started(answer[1])._replace(replayed=True)
    if kind == "mismatch":
        return Refused(kind)
    decision = answer[-1].decode()
    if kind in ("rate-limited", "blocked"):
        return Refused(kind, limit=answer[1].decode(), wait=answer[2], decision=decision)
    if kind == "cooldown":
        return Refused(kind, answer[1], "cooldown", answer[2].decode(), answer[3], answer[4], decision)
    if kind == "sends-exhausted":
        return Refused(kind, answer[1], id=answer[2].decode(), expires_at=answer[3], decision=decision)
    return Refused(kind, decision=decision)


def observed_of(answer: list[Any]) -> tuple[str, ...]:
    """The limits and rules in observe mode that would have refused the start that was answered so."""
    place = {b"started": 8, b"resent": 8, b"rate-limited": 3, b"blocked": 3}.get(answer[0])
    return () if place is None else tuple(name.decode() for name in answer[place])


def check_outcome(answer: list[Any]) -> Checked | Refused:
    """What the check script's answer says."""
    kind = answer[0].decode()
    if kind == "replayed":
        return _checked(answer[1])._replace(replayed=True)
    if kind in ("approved", "pending", "exhausted"):
        return _checked(answer)
    if kind == "rate-limited":
        return Refused(kind, limit=answer[1].decode(), wait=answer[2], decision=answer[-1].decode())
    return Refused(kind, wait=answer[1] if kind == "checks-exhausted" else 0)


def _started(answer: list[Any]) -> Started:
    created_at, expires_at, resend_at, checks_left, sends_left = answer[2:7]
    resent = answer[0] == b"resent"
    return Started(
        resent, answer[1].decode(), created_at, expires_at, resend_at, checks_left, sends_left, answer[7].decode()
    )


def _checked(answer: list[Any]) -> Checked:
    return Checked(answer[0].decode(), answer[1].decode(), answer[2])


def timeline_event(line: TimelineLine, created_at: int) -> TimelineEvent:
    """A line of the timeline as it is shown. Raises ValueError."""
    name: TimelineName = line.event  # type: ignore[assignment]
    at = created_at + int(line.after)
    return TimelineEvent(at=at, event=name, provider=line.provider or None, reason=line.reason or None)
