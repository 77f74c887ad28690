"""Notices on their way: whether one may go out to its number now."""

from collections.abc import Sequence

from verify_service.policy.hits import Hit, specs
from verify_service.store import partitions
from verify_service.store.answers import LimitedAnswer
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.decisions import Decisions, split
from verify_service.store.deliveries import unreachable_keys
from verify_service.store.holding import Holding
from verify_service.store.shapes import Refused
from verify_service.telemetry import OBSERVED

KEEP_MS = 86_400_000


class NoticeStore:
    """The notices of a store. All methods raise StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._holding = Holding(link)
        self._decisions = Decisions(link, str(keep_events // link.partitions))

    def admit(
        self, now: int, id: str, tenant: str, number: str, channel: str, former: Sequence[str], hits: Sequence[Hit]
    ) -> Refused | None:
        """What refuses a notice now; None where it may go out, and then it is counted, once for its id. `number` is
        the recipient's tag, `former` are those of earlier versions. One round trip where all lies in the number's
        partition, four at the most."""
        home = partitions.of_tag(number, self._link.partitions)
        base = prefix(home)
        near = [tag for tag in former if partitions.of_tag(tag, self._link.partitions) == home]
        if self._decisions.opted_out([tag for tag in former if tag not in near], tenant):
            return Refused("opted-out")
        noticed = f"{base}noticed:{id}"
        elsewhere = dict(split(hits, self._link.partitions))
        here = elsewhere.pop(home, [])
        if elsewhere and self._link.command(home, ["EXISTS", noticed]):
            elsewhere = {}
        request = id[3:]
        held = self._holding.take(now, request, elsewhere, home, None, 0)
        if held.refused:
            return held.refused
        keys = [noticed, *unreachable_keys(number, [channel], self._link.partitions)]
        keys += [f"{base}consent:{tag}:{tenant}" for tag in (number, *near)]
        args: list[Argument] = [now, request, KEEP_MS, len(near), *specs(here)]
        call = Call(home, "notice", [*keys, *(base + hit.key for hit in here)], args)
        told = LimitedAnswer.told(self._link.call(call))
        for name in (*held.observed, *told.observed):
            OBSERVED.labels(name).inc()
        if told.kind == "admitted":
            return None
        self._holding.give_back(now, request, held.hits)
        return Refused(told.kind, told.wait, told.name)
