"""What a caller is told where the store refused: one problem a kind, with the seconds until a retry can pass."""

from verify_service.errors import (
    Blocked,
    ChecksExhausted,
    IdempotencyMismatch,
    InvalidNumber,
    OptedOut,
    Problem,
    RateLimited,
    SendsExhausted,
    VerificationNotFound,
)
from verify_service.policy import texts
from verify_service.policy.file import Policy
from verify_service.policy.static_rules import StaticVerdict
from verify_service.store.shapes import Refused
from verify_service.telemetry import REFUSED


def refusal(refused: Refused, policy: Policy) -> Problem:
    """The problem of a refusal, counted under what decided; each limit in the policy's own words. Seconds are rounded
    up."""
    if refused.kind != "mismatch":  # An Idempotency-Key that is used wrongly is no decision of the policy.
        REFUSED.labels(refused.limit or refused.kind).inc()
    decision = refused.decision
    seconds = max(1, -(-refused.wait // 1000))
    match refused.kind:
        case "cooldown":
            return RateLimited(
                f"A message went out a moment ago; the next one may be asked for in {seconds} s.",
                limit="cooldown",
                retry_after=seconds,
                decision=decision,
                id=refused.id,
                resend_at=refused.resend_at,
                expires_at=refused.expires_at,
            )
        case "rate-limited":
            allows = next(limit.allow for limit in policy.limits if limit.name == refused.limit)
            return RateLimited(
                f"The limit `{refused.limit}` ({allows}) has no room; a retry can pass in {seconds} s.",
                limit=refused.limit,
                retry_after=seconds,
                decision=decision,
            )
        case "blocked":
            return blocked(refused.limit, decision)
        case "sends-exhausted":
            return SendsExhausted(
                f"This verification has sent all its messages; a new one can begin in {seconds} s.",
                retry_after=seconds,
                decision=decision,
            )
        case "checks-exhausted":
            at_once = refused.wait == 0
            when = "at once" if at_once else f"in {seconds} s"
            return ChecksExhausted(
                f"Too many wrong codes were tried; a new verification can be started {when}.",
                retry_after=0 if at_once else seconds,
            )
        case "opted-out":
            return OptedOut("This number has opted out of messages.", decision=decision)
        case "mismatch":
            return IdempotencyMismatch()
    return VerificationNotFound()


def blocked(rule: str, decision: str) -> Blocked:
    """The problem of a refusal by a rule, or by what a carrier said of the number."""
    if rule == "unreachable":
        said = "A carrier says that messages by this channel never arrive at this number."
        return Blocked(said, rule=rule, decision=decision)
    if rule == texts.NAME:
        said = "This user has a verified factor, and the policy sends such users no codes: ask for the factor's code."
        return Blocked(said, rule=rule, decision=decision)
    return Blocked(f"The rule `{rule}` refuses this start.", rule=rule, decision=decision)


def refused_by(static: StaticVerdict, decision: str) -> Problem:
    """The problem of a refusal by a static rule, counted."""
    REFUSED.labels(static.name).inc()
    if static.kind == "line-types":
        problem = InvalidNumber("line-type", f"Codes are not sent to {static.evidence['line_type']} numbers.")
        problem.members["decision"] = decision
        return problem
    return blocked(static.name, decision)
