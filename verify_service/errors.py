"""The exception tree. Each leaf is one problem a caller can meet, named by its slug.

::

    VerifyError
    ├── Problem                      an answer to a caller (RFC 9457), carries slug, status and members
    │   ├── InvalidRequest           400
    │   ├── Unauthorized             401
    │   ├── Forbidden                403
    │   ├── Blocked                  403
    │   ├── OptedOut                 403
    │   ├── VerificationNotFound     404
    │   ├── NotFound                 404
    │   ├── TooSlow                  408
    │   ├── RevisionConflict         409
    │   ├── BacktestRunning          409
    │   ├── InvalidNumber            422
    │   ├── IdempotencyMismatch      422
    │   ├── RateLimited              429
    │   ├── SendsExhausted           429
    │   ├── ChecksExhausted          429
    │   └── StoreUnavailable         503
    ├── ConfigError                  a setting, file or policy that cannot be used; stops the start
    ├── SignInRefused                an OpenID provider's word, or an answer in its name, that nobody signs in by
    ├── ProviderSilent               an OpenID provider that does not answer
    └── DeliveryError                what a provider's `send` raises
        ├── Rejected                 this number, never
        ├── Unavailable              not sent; the next provider may
        └── Uncertain                may have been sent; the next is safe, the code is the same
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class VerifyError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(VerifyError):
    """A setting, a configuration file or a policy that cannot be used. Its message is one line that says the fix."""


class Problem(VerifyError):
    """A refusal that the caller is told: `detail` is one sentence, `members` are the extra JSON members."""

    slug: ClassVar[str]
    status: ClassVar[int]

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.members = members


class InvalidRequest(Problem):
    """The request is malformed; `errors` names each field, `more` the ones after the first. `line` is that of the first
    in a text of several, from 1, where it can be told."""

    slug = "invalid-request"
    status = 400

    def __init__(
        self, field: str, message: str, more: Sequence[tuple[str, str]] = (), *, line: int | None = None
    ) -> None:
        found = [(field, message), *more]
        errors: list[dict[str, str | int]] = [{"field": where, "message": what} for where, what in found]
        if line is not None:
            errors[0]["line"] = line
        super().__init__("; ".join(f"`{where}` {what}" if where else what for where, what in found), errors=errors)


class Unauthorized(Problem):
    slug = "unauthorized"
    status = 401


class Forbidden(Problem):
    slug = "forbidden"
    status = 403


class Blocked(Problem):
    """A rule of the policy refuses; `rule` is its name, `decision` the id under which it is explained."""

    slug = "blocked"
    status = 403


class OptedOut(Problem):
    slug = "opted-out"
    status = 403


class VerificationNotFound(Problem):
    """Unknown, expired, canceled, approved, or another tenant's: the caller cannot tell which."""

    slug = "verification-not-found"
    status = 404

    def __init__(self) -> None:
        super().__init__("There is no live verification here: it is unknown, expired, canceled or already approved.")


class NotFound(Problem):
    slug = "not-found"
    status = 404


class TooSlow(Problem):
    """The body did not come in time, or another one needed its room."""

    slug = "request-timeout"
    status = 408

    def __init__(self) -> None:
        super().__init__("The body of the request did not come in time.")


class NotHere(BaseException):
    """The body of the request is still on its way, and whoever decides by the head alone does without. It is no
    Exception, so that it passes whatever handles those."""


class RevisionConflict(Problem):
    """The policy has changed since the caller looked; `revision` is the one in force now."""

    slug = "revision-conflict"
    status = 409

    def __init__(self, revision: int) -> None:
        super().__init__(
            f"The policy in force is revision {revision}; look at it, and push yours with its ETag.", revision=revision
        )


class BacktestRunning(Problem):
    """One runs already, and there is one at a time; `backtest` is its id."""

    slug = "backtest-running"
    status = 409

    def __init__(self, backtest: str) -> None:
        super().__init__("A backtest runs already; wait for its end, or cancel it.", backtest=backtest)


class InvalidNumber(Problem):
    """`reason` is one of `not-a-number`, `impossible`, `line-type`."""

    slug = "invalid-number"
    status = 422

    def __init__(self, reason: str, message: str, field: str = "to") -> None:
        super().__init__(message, reason=reason, errors=[{"field": field, "message": message}])


class IdempotencyMismatch(Problem):
    slug = "idempotency-mismatch"
    status = 422

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used with another request body; use a new key for a new request.")


class RateLimited(Problem):
    """A limit of the policy (or the cooldown) refuses; `retry_after` is in whole seconds, rounded up."""

    slug = "rate-limited"
    status = 429


class SendsExhausted(Problem):
    slug = "sends-exhausted"
    status = 429


class ChecksExhausted(Problem):
    """`retry_after`: seconds until a new start for this number can pass, 0 where it can now."""

    slug = "checks-exhausted"
    status = 429


class StoreUnavailable(Problem):
    """Redis did not answer, or `answered` that it cannot serve: nothing was admitted, nothing approved."""

    slug = "store-unavailable"
    status = 503

    def __init__(self, reason: str = "", *, answered: bool = False) -> None:
        super().__init__("The store is not available at the moment; try again shortly.", retry_after=1)
        self.reason = reason
        self.answered = answered


class SignInRefused(VerifyError):
    """What came as the answer of an OpenID provider signs nobody in. Its message is short, and quotes no token."""


class ProviderSilent(VerifyError):
    """An OpenID provider does not answer, or not in time: nobody can sign in by it now."""


class DeliveryError(VerifyError):
    """What a provider says instead of a receipt. `reason` is short, free of numbers, codes and secrets."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Rejected(DeliveryError):
    """The provider will never send to this number. `opted_out` where the vendor says that its owner told it STOP;
    `permanent` where it says that no message by this channel ever arrives there, and means nothing of ours by it."""

    def __init__(self, reason: str, *, opted_out: bool = False, permanent: bool = False) -> None:
        super().__init__(reason)
        self.opted_out = opted_out
        self.permanent = permanent


class Unavailable(DeliveryError):
    """Not sent: the next provider may try."""


class Uncertain(DeliveryError):
    """Perhaps sent: a second message with the same code does no harm, so the next provider may try."""


class Forged(VerifyError):
    """A call that claims to be a vendor's and is not signed as theirs are."""
