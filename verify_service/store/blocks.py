"""Live blocks of the detectors: seen with their evidence, and lifted where they were a mistake."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from verify_service.store import partitions
from verify_service.store.connection import Call, Link, prefix

_MOST = 1000


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block as it stands. Times in milliseconds since the epoch; odds as natural logarithms.

    `mode` is the rule's when the block was made, or in force, as `under` and `lift` say. `place` is a prefix, or
    a number without its last four digits. `messages` and `converted` are those of about the last three hours when the
    block was made; the figures from `refused` on are since then: starts refused; starts that would have been while the
    rule only watched, and how many of these were approved; starts let through to see whether people are back, and how
    many of these were approved. `within` are the keys of what is known of its country, and of its prefix.
    """

    id: str
    rule: str
    mode: str
    place: str
    at: int
    till: int
    messages: float
    converted: float
    usual_conversion: float
    evidence: float
    needed: float
    an_hour: float
    usual_an_hour: float
    refused: int
    observed: int
    observed_converted: int
    probes: int
    probes_converted: int
    within: tuple[str, ...] = ()

    @property
    def country(self) -> str:
        """Where the place lies; '' of a block of a version that did not say."""
        return self.within[0].rpartition(":c")[2] if self.within else ""


BlockId = Annotated[str, Meta(pattern=r"^bl_[0-9a-f]{32}\Z")]
_decode = msgspec.msgpack.Decoder(Block, strict=False).decode
_id = msgspec.json.Decoder(BlockId)


class Blocks:
    """The live blocks of a store."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)

    def list(self, now: int) -> list[Block]:
        """All that are live, the newest first, whatever has become of their rules; at most a thousand a partition.

        Raises StoreUnavailable.
        """
        parts = range(self._link.partitions)
        answers = self._link.pipeline([Call(part, "blocks", [f"{prefix(part)}blocks"], [now, _MOST]) for part in parts])
        return sorted((_decode(packed) for answer in answers for packed in answer), key=lambda block: -block.at)

    def lift(self, now: int, block_id: str, by: str, reason: str, modes: Mapping[str, str]) -> Block | None:
        """Ends a live block, says so in the events, and makes its place need half as much evidence again for a while.

        In force at once; `modes` are those of the rules in force, by name. Answers the block as it stood, in its rule's
        mode (of a rule that is gone: off), None where none is live. Raises StoreUnavailable.
        """
        try:
            _id.decode(msgspec.json.encode(block_id))
        except msgspec.ValidationError:
            return None
        part = partitions.of_id(block_id, self._link.partitions)
        key = f"{prefix(part)}block:{block_id}"
        call = Call(part, "lift", [key], [now, self._keep_events, by, reason, msgspec.msgpack.encode(modes)])
        packed = self._link.call(call)
        return _decode(packed) if packed else None
