"""What comes out of the scripts of a verification. Times in milliseconds since the epoch."""

from typing import NamedTuple

from verify_service.model import Status, TimelineEvent, Verification
from verify_service.store.layouts import Approved


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

    def pending(self, to: str, purpose: str, test: bool) -> Verification:
        """The verification that it began or sent again, as its caller sees it."""
        return Verification(
            id=self.id,
            status="pending",
            to=to,
            channel=self.channel,
            purpose=purpose,
            created_at=self.created_at,
            expires_at=self.expires_at,
            resend_at=self.resend_at,
            checks_left=self.checks_left,
            sends_left=self.sends_left,
            test=test,
        )


class Refused(NamedTuple):
    """A refusal by `kind`: opted-out, mismatch, cooldown, sends-exhausted, rate-limited, absent, checks-exhausted.

    `wait` is milliseconds until a retry can pass, 0 where none will; `limit` is the name of the limit that refused,
    `decision` the id of the record that says why.
    """

    kind: str
    wait: int = 0
    limit: str = ""
    id: str = ""
    resend_at: int = 0
    expires_at: int = 0
    decision: str = ""


class Checked(NamedTuple):
    """A compared code: `status` is approved, pending or exhausted; `approval` is there where a receipt is wanted,
    `uncounted` where no other key than the number counts it, because that is a test number; the rest as in
    CheckedAnswer."""

    status: str
    id: str
    checks_left: int
    approval: Approved | None = None
    replayed: bool = False
    uncounted: bool = False
    channel: str = ""
    created_at: int = 0
    number: str = ""
    sealed_to: bytes = b""


class StoredVerification(NamedTuple):
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

    def of(self, to: str | None) -> Verification:
        """The verification of this recipient, as its caller sees it."""
        return Verification(
            id=self.id,
            status=self.status,
            to=to,
            channel=self.channel,
            purpose=self.purpose,
            created_at=self.created_at,
            expires_at=self.expires_at,
            resend_at=self.resend_at,
            checks_left=self.checks_left,
            sends_left=self.sends_left,
            test=self.test,
            timeline=self.timeline,
        )
