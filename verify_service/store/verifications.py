"""Start, check, cancel, status: each one script on the number's partition, after what must be held elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec.structs import replace

from verify_service.model import ReceiptWish, TimelineEvent
from verify_service.policy.hits import Hit, specs
from verify_service.policy.rulebook import CodeRules
from verify_service.policy.specs import NumberLimits
from verify_service.store import partitions
from verify_service.store.answers import check_answer, start_answer, timeline_event
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.decisions import Decisions
from verify_service.store.holding import Holding
from verify_service.store.layouts import CheckAsk, Full, Refusal, Settings, StartAsk, TimelineLine
from verify_service.store.records import readable_record
from verify_service.store.shapes import Checked, Idempotency, Refused, Started, StoredVerification
from verify_service.telemetry import OBSERVED

KEEP_MS = 3_600_000
START_REPLAY_MS = 86_400_000
CHECK_REPLAY_MS = 60_000
ID_LENGTH = 35

# The dispatcher notes these once it has settled a message, perhaps after the code in it was approved.
_SENDING = frozenset({"started", "queued", "failed-over", "sent", "delivered"})


class Verifications:
    """The verifications of a store."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)
        self._holding = Holding(link)
        self.decisions = Decisions(link, self._keep_events)

    def partition(self, tag: str) -> int:
        """Where the state of a tag lies."""
        return partitions.of_tag(tag, self._link.partitions)

    def new_id(self, number: str) -> str:
        """A fresh verification id in the number's partition."""
        return partitions.new_id("ve", self.partition(number), self._link.partitions)

    def new_decision(self, number: str) -> str:
        """A fresh decision id in the number's partition."""
        return partitions.new_id("de", self.partition(number), self._link.partitions)

    def start(
        self,
        now: int,
        rules: CodeRules,
        ask: StartAsk,
        sealed_to: bytes,
        hits: Sequence[Hit],
        idempotency: Idempotency | None,
    ) -> Started | Refused:
        """Admits or refuses one start; a refused one has spent nothing when this returns. `sealed_to` is its recipient.

        One round trip where every limit lies in the number's partition, two where some do not; there a refusal may add
        three, to give back what was held and to record what each limit said. Raises StoreUnavailable.
        """
        home = self.partition(ask.number)
        here, elsewhere = self._split(hits, home)
        if away := [tag for tag in ask.former if self.partition(tag) != home]:
            if self.decisions.opted_out(away, ask.tenant):
                gone = _refused_early(ask, "opted-out", "opted-out", 0)
                return Refused("opted-out", decision=self.decisions.refuse(now, ask.decision, gone))
            ask = replace(ask, former=[tag for tag in ask.former if tag not in away])
        held = self._holding.take(now, ask.request, elsewhere, home, idempotency, START_REPLAY_MS)
        if held.observed or held.unjudged or held.near or held.refunds:
            ask = held.told(ask)
        if refused := held.refused:
            if refused.kind != "mismatch":
                gone = _refused_early(ask, refused.kind, refused.limit, refused.wait)
                refused = refused._replace(decision=self.decisions.refuse(now, ask.decision, gone, hits))
            return refused
        call = self.start_call(now, rules, ask, sealed_to, here, idempotency)
        outcome, observed = start_answer(self._link.call(call))
        for name in observed:
            OBSERVED.labels(name).inc()
        if isinstance(outcome, Refused) or outcome.replayed:
            self._holding.give_back(now, ask.request, held.hits)
        if isinstance(outcome, Refused) and outcome.decision == ask.decision and elsewhere:
            self.decisions.add(ask.decision, *self.decisions.judged(now, elsewhere))
        return outcome

    def start_call(
        self,
        now: int,
        rules: CodeRules,
        ask: StartAsk,
        sealed_to: bytes,
        here: Sequence[Hit],
        idempotency: Idempotency | None,
    ) -> Call:
        """The start script's call. `here` are the hits in the number's partition."""
        home = self.partition(ask.number)
        base = prefix(home)
        keys = [f"{base}live:{ask.number}:{ask.tenant}:{ask.purpose}"]
        if idempotency:
            keys.append(f"{base}idempotency:{idempotency.tag}")
        keys += [base + hit.key for hit in here]
        settings = Settings(*rules, KEEP_MS, self._keep_events, START_REPLAY_MS)
        fingerprint = idempotency.fingerprint if idempotency else ""
        args: list[Argument] = [now, settings.pack(), ask.pack(), fingerprint, sealed_to]
        return Call(home, "start", keys, [*args, *specs(here)])

    def check(
        self,
        now: int,
        tenant: str,
        where: str | tuple[str, str],
        proofs: Mapping[str, str],
        request: str,
        hits: Sequence[Hit],
        limits_of_number: NumberLimits,
        idempotency: Idempotency | None,
        decision: str,
        revision: int = 0,
        receipt: ReceiptWish | None = None,
        purpose: str = "",
    ) -> Checked | Refused:
        """Compares one code, once. `where` is an id, or (number tag, purpose); `decision` is the id under which a
        limit's refusal is recorded; an approval is told whole where a `receipt` of it is wanted; `purpose` as in
        CheckAsk. One round trip, two where a limit on wrong codes or an Idempotency-Key lies in another partition.
        Raises StoreUnavailable.
        """
        if isinstance(where, str):
            home = partitions.of_id(where, self._link.partitions)
            key = f"{prefix(home)}verification:{where}"
        else:
            number, purpose = where
            home = self.partition(number)
            key = f"{prefix(home)}live:{number}:{tenant}:{purpose}"
        here, elsewhere = self._split(hits, home)
        held = self._holding.take(now, request, elsewhere, home, idempotency, CHECK_REPLAY_MS, "hold_check")
        if held.refused and held.refused.kind == "mismatch":
            return held.refused
        more = (decision, revision, held.refused, receipt, purpose)
        call = self.check_call(now, tenant, key, proofs, request, here, limits_of_number, idempotency, *more)
        outcome = check_answer(self._link.call(call))
        if isinstance(outcome, Refused) or outcome.replayed or outcome.status == "approved" or outcome.uncounted:
            self._holding.give_back(now, request, held.hits)
        if isinstance(outcome, Refused) and outcome.decision == decision and elsewhere:
            self.decisions.add(decision, *self.decisions.judged(now, elsewhere))
        return outcome

    def check_call(
        self,
        now: int,
        tenant: str,
        key: str,
        proofs: Mapping[str, str],
        request: str,
        here: Sequence[Hit],
        limits_of_number: NumberLimits,
        idempotency: Idempotency | None,
        decision: str = "",
        revision: int = 0,
        elsewhere: Refused | None = None,
        receipt: ReceiptWish | None = None,
        purpose: str = "",
    ) -> Call:
        """The check script's call; `key` is the verification's or the pointer's, `here` the hits in its partition,
        `elsewhere` what would refuse it in another."""
        home = int(key[key.index("{") + 1 : key.index("}")])
        keys = [key]
        if idempotency:
            keys.append(f"{prefix(home)}idempotency:{idempotency.tag}")
        keys += [prefix(home) + hit.key for hit in here]
        full = Full(elsewhere.limit, elsewhere.wait) if elsewhere else None
        signer, named = receipt or ("", False)
        ask = CheckAsk(tenant, request, proofs, CHECK_REPLAY_MS, decision, revision, signer, named, purpose, full)
        args: list[Argument] = [
            now,
            self._keep_events,
            ask.pack(),
            idempotency.fingerprint if idempotency else "",
            limits_of_number.pack(),
        ]
        return Call(home, "check", keys, [*args, *specs(here)])

    def cancel(self, now: int, tenant: str, verification_id: str, status: Literal["canceled", "approved"]) -> bool:
        """Ends a pending verification of the tenant as its caller says; False where there is none. Raises
        StoreUnavailable."""
        home = partitions.of_id(verification_id, self._link.partitions)
        key = f"{prefix(home)}verification:{verification_id}"
        return bool(self._link.call(Call(home, "cancel", [key], [now, self._keep_events, tenant, status])))

    def live(self, tenant: str, number: str, purpose: str) -> str | None:
        """The id of the number's newest verification that has not been approved, canceled or swept up. Raises
        StoreUnavailable."""
        home = self.partition(number)
        found: bytes | None = self._link.command(home, ["GET", f"{prefix(home)}live:{number}:{tenant}:{purpose}"])
        return found[:ID_LENGTH].decode() if found else None

    def read(self, now: int, tenant: str, verification_id: str) -> StoredVerification | None:
        """A verification of the tenant, until an hour after its life. Raises StoreUnavailable."""
        home = partitions.of_id(verification_id, self._link.partitions)
        answer = self._link.call(Call(home, "read", [f"{prefix(home)}verification:{verification_id}"], []))
        if not answer:
            return None
        packed, sealed = answer
        record = readable_record(packed)
        if record is None or record.tenant != tenant or now >= record.expires_at + KEEP_MS:
            return None
        expires_at = record.expires_at
        status: Any = record.status
        timeline = [timeline_event(line, record.created_at) for line in TimelineLine.each(record.timeline)]
        if status == "pending" and now >= expires_at:
            status = "expired"
            timeline.append(TimelineEvent(at=expires_at, event="expired"))
        return StoredVerification(
            id=verification_id,
            tenant=tenant,
            number=record.number,
            purpose=record.purpose,
            channel=record.channel,
            status=status,
            created_at=record.created_at,
            expires_at=expires_at,
            resend_at=record.resend_at,
            checks_left=record.checks_max - record.wrong,
            sends_left=record.sends_max - record.sends,
            test=record.test != "",
            sealed_to=sealed if status == "pending" else None,
            timeline=tuple(sorted(timeline, key=lambda event: (event.at, event.event not in _SENDING))),
        )

    def _split(self, hits: Sequence[Hit], home: int) -> tuple[list[Hit], dict[int, list[Hit]]]:
        here: list[Hit] = []
        elsewhere: dict[int, list[Hit]] = {}
        for hit in hits:
            partition = self.partition(hit.owner)
            (here if partition == home else elsewhere.setdefault(partition, [])).append(hit)
        return here, elsewhere


def _refused_early(ask: StartAsk, kind: str, by: str, wait: int) -> Refusal:
    """A start that was refused before its script."""
    return Refusal(ask.id, ask.tenant, kind, by, wait, ask.context, ask.facts, ask.unjudged, ask.near)
