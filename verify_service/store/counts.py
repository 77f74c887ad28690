"""Counts over time, folded from the events: by the minute for a day, by the hour for ninety days."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import msgspec

from verify_service import decoders
from verify_service.store.connection import Call, Link, prefix
from verify_service.store.count_layouts import Tally
from verify_service.store.unreadable import passed_over

Step = Literal["minute", "hour"]
COUNTERS = Tally.__struct_fields__[1:]
"""What is counted, in its order; `rank` is none of them."""
OTHER = "other"
"""The group of all that a bucket had no room for; what is told by a name of its own that is this one counts there."""
# Their work in the store takes less than two milliseconds.
PAGE = 200
_READ = 6_000
NEWEST, NEWEST_MS = 1_000, 604_800_000
"""How many starts a list of the newest has in a partition, and how long it lives after its newest."""
# Places and other groups in a minute, and in an hour. No more than a small hash of Redis holds, since a large one takes
# thrice the memory. Each partition of a cluster sees the busiest of all, so each has room for fewer.
_ROOM = {False: (24, 60, 60, 120), True: (8, 20, 20, 40)}


class Folded(NamedTuple):
    """What a look at the events came to: how many were read, how many had been trimmed away unread, whether more
    wait."""

    counted: int
    lost: int
    more: bool


class Counts:
    """The counts of a store. All methods raise StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._room = _ROOM[link.partitions > 1]

    def fold(self, now: int) -> Folded:
        """Counts the next events of each partition, each event once, whoever calls and how many do. One round trip."""
        parts = range(self._link.partitions)
        calls = [
            Call(
                part,
                "fold",
                [f"{prefix(part)}events", f"{prefix(part)}counts"],
                [now, PAGE, *self._room, NEWEST, NEWEST_MS],
            )
            for part in parts
        ]
        counted, lost, more = 0, 0, False
        for page_full, read, trimmed, unreadable in self._link.pipeline(calls):
            counted, lost, more = counted + read, lost + trimmed, more or bool(page_full)
            for position in unreadable:
                passed_over("event", "not what is counted", position=position.decode())
        return Folded(counted, lost, more)

    def read(self, step: Step, by: str, buckets: Sequence[int]) -> Iterator[tuple[int, str, list[int]]]:
        """(bucket, group, counts) of each partition's part, in no order; `buckets` are whole steps since the epoch. The
        counts are in the order of `COUNTERS`, those at the end left out that nothing has counted."""
        decode = decoders.msgpack(list[int])  # A `Tally`; of a month there are tens of thousands, and most are short.
        at_once = _READ // (1 if by == "total" else self._room[3])
        for begin in range(0, len(buckets), at_once):
            page = buckets[begin : begin + at_once]
            calls = [
                Call(part, "counted", [f"{prefix(part)}counts:{step}:{by}:{n}" for n in page], [])
                for part in range(self._link.partitions)
            ]
            for answer in self._link.pipeline(calls):
                for bucket, flat in zip(page, answer, strict=True):
                    for name, packed in zip(flat[::2], flat[1::2], strict=True):
                        try:
                            yield bucket, name.decode(), decode(packed)[1:]
                        except (msgspec.DecodeError, UnicodeDecodeError) as error:
                            passed_over("count", type(error).__name__)
