"""What goes into the scripts of a verification and what comes out of them. Times in milliseconds since the epoch."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from verify_service.model import Status, TimelineEvent
from verify_service.packing import text
from verify_service.store.layouts import Content, Context, Facts


class Proposal(NamedTuple):
    """What the service proposes for a start; the script keeps the id and nonce of a pending verification instead.

    `ring` are the kids of all keys that can make its code again; `former` are tags that the number had in earlier
    versions, whose opt-outs are in force; `said` is what its event says beyond the facts, names and values in turns.
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
    content: Content
    facts: Facts
    test: bool
    decision: str
    ring: Sequence[str]
    context: Context = Context()
    former: Sequence[str] = ()
    said: Sequence[str] = ()

    def knowing(
        self, observed: Sequence[str], judged: Sequence[bytes], unjudged: Sequence[str], near: str
    ) -> "Proposal":
        """With what other partitions said of it, or could not say."""
        known = self.context
        context = msgspec.structs.replace(
            known, observed=(*known.observed, *observed), judged=[text(each) for each in judged], unjudged=unjudged
        )
        said = {"unjudged": ",".join(unjudged), "near": near}
        return self._replace(context=context, said=[part for pair in said.items() if pair[1] for part in pair])


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
    """A compared code: `status` is approved, pending or exhausted."""

    status: str
    id: str
    checks_left: int
    replayed: bool = False


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
