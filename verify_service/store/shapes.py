"""What goes into the scripts of a verification and what comes out of them. Times in milliseconds since the epoch."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from verify_service.model import Status, TimelineEvent

Fields = Sequence[str | msgspec.Raw]
"""Names and values in turns, as a stream takes them."""

_pack = msgspec.msgpack.Encoder().encode
_parts = msgspec.msgpack.Decoder(tuple[str, ...])


def text(packed: bytes) -> msgspec.Raw:
    """Bytes for the server's msgpack, which is older than the type of byte strings and has one kind of string."""
    return msgspec.Raw(b"\xdb" + len(packed).to_bytes(4, "big") + packed)


# What a start's event, and its message beyond what all entries of the outbox have, say: one field each, whose parts
# stand in this order. lua/webhooks.lua names those of events as well.
FACTS = (
    *("tenant", "purpose", "channel", "number", "country", "line_type", "range", "revision", "price"),
    *("ip", "network", "device"),
)
MESSAGE = ("number", "country", "digits", "locale", "app_hash", "origin")


def packed(name: str, *parts: str) -> tuple[str, msgspec.Raw]:
    """A field of a stream, its parts as one value: for a script each costs as much as a command does."""
    return name, text(_pack(parts))


def unpacked(names: Sequence[str], value: bytes) -> dict[str, str]:
    """The parts of such a field by name: those that are known. A later version may put more behind them; of an earlier
    one they may be fewer. Raises msgspec.DecodeError."""
    return dict(zip(names, _parts.decode(value), strict=False))


class Context(NamedTuple):
    """What was known of a start before its script ran, as a decision record keeps it: the policy's revision, the static
    verdicts as JSON, the names of what only watched and would have refused, those of what was not judged, and the
    verdicts of other partitions as the server's msgpack takes them."""

    revision: int = 0
    statics: str = ""
    observed: Sequence[str] = ()
    unjudged: Sequence[str] = ()
    judged: Sequence[msgspec.Raw] = ()


class Proposal(NamedTuple):
    """What the service proposes for a start; the script keeps the id and nonce of a pending verification instead.

    `ring` are the kids of all keys that can make its code again; `former` are tags that the number had in earlier
    versions, whose opt-outs are in force.
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
    message: Fields
    facts: Fields
    test: bool
    decision: str
    ring: Sequence[str]
    context: Context = Context()
    former: Sequence[str] = ()

    def knowing(
        self, observed: Sequence[str], judged: Sequence[bytes], unjudged: Sequence[str], near: str
    ) -> "Proposal":
        """With what other partitions said of it, or could not say."""
        known = self.context
        context = known._replace(
            observed=(*known.observed, *observed), judged=[text(each) for each in judged], unjudged=unjudged
        )
        said = {"unjudged": ",".join(unjudged), "near": near}
        facts = [*self.facts, *(part for pair in said.items() if pair[1] for part in pair)]
        return self._replace(context=context, facts=facts)


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
