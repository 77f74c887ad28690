"""What goes into the scripts of a verification and what comes out of them. Times in milliseconds since the epoch."""

from collections.abc import Sequence
from typing import NamedTuple

from verify_service.model import Status, TimelineEvent


class Context(NamedTuple):
    """What was known of a start before its script ran, as a decision record keeps it: the policy's revision, the static
    verdicts as JSON, and the names of the static rules that only watched."""

    revision: int = 0
    statics: str = ""
    observed: Sequence[str] = ()


class Proposal(NamedTuple):
    """What the service proposes for a start; the script keeps the id and nonce of a pending verification instead.

    `ring` are the kids of all keys that can make its code again.
    """

    id: str
    request: str
    tenant: str
    number: str
    purpose: str
    channel: str
    nonce: str
    kid: str
    digest: str
    binding: str
    sealed_to: bytes
    message: Sequence[str]
    facts: Sequence[str]
    test: bool
    decision: str
    ring: Sequence[str]
    context: Context = Context()


class Idempotency(NamedTuple):
    """An Idempotency-Key as the store knows it: its tag, and the tag of the request's body."""

    tag: str
    fingerprint: str


class Started(NamedTuple):
    """An admitted start."""

    resent: bool
    id: str
    created_at: int
    expires_at: int
    resend_at: int
    checks_left: int
    sends_left: int
    channel: str
    replayed: bool = False


class Refused(NamedTuple):
    """A refusal by `kind`: opted-out, mismatch, cooldown, sends-exhausted, rate-limited, absent, checks-exhausted.

    `wait` is milliseconds until a retry can pass, 0 where none will; `limit` is the name of the limit that refused.
    """

    kind: str
    wait: int = 0
    limit: str = ""
    id: str = ""
    resend_at: int = 0
    expires_at: int = 0


class Checked(NamedTuple):
    """A compared code: `status` is approved, pending or exhausted."""

    status: str
    id: str
    checks_left: int
    replayed: bool = False


class Record(NamedTuple):
    """What is kept of a verification; `sealed_to` is None once it has ended."""

    id: str
    tenant: str
    number: str
    purpose: str
    channel: str
    status: Status
    created_at: int
    expires_at: int
    resend_at: int
    checks_left: int
    sends_left: int
    test: bool
    sealed_to: bytes | None
    timeline: tuple[TimelineEvent, ...]
