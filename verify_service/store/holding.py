"""What is held in other partitions than the number's before its own script runs, and given back where that refuses."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec.structs import replace

from verify_service.packing import text
from verify_service.policy.hits import Hit, specs
from verify_service.store import partitions
from verify_service.store.answers import HeldAnswer
from verify_service.store.connection import Call, Link, prefix
from verify_service.store.layouts import StartAsk
from verify_service.store.shapes import Idempotency, Refused
from verify_service.telemetry import UNJUDGED


class Held(NamedTuple):
    """What was held in other partitions: the hits by partition, what an approval gives back of them, the names of what
    only watched and would have refused, with the verdicts then, the names of what could not be judged, and what an
    event says of neighbours. Where something `refused`, nothing is held for a start; for a check, what has room is."""

    hits: Mapping[int, list[Hit]]
    refunds: str = ""
    observed: Sequence[str] = ()
    judged: Sequence[bytes] = ()
    unjudged: Sequence[str] = ()
    near: str = ""
    refused: Refused | None = None

    def told(self, ask: StartAsk) -> StartAsk:
        """The start with what other partitions said of it, or could not say."""
        known = ask.context
        judged, unjudged = [text(each) for each in self.judged], self.unjudged
        context = replace(known, observed=(*known.observed, *self.observed), judged=judged, unjudged=unjudged)
        return replace(ask, context=context, unjudged=",".join(unjudged), near=self.near, refunds=self.refunds)


class Holding:
    """Holds and gives back. Every method raises StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def take(
        self,
        now: int,
        request: str,
        elsewhere: Mapping[int, list[Hit]],
        home: int,
        idempotency: Idempotency | None,
        replay_ms: int,
        script: Literal["hold", "hold_check"] = "hold",
    ) -> Held:
        """Holds what lies in other partitions than `home`, in one pipeline.

        A refusal by any gives all back, but for a check's (`hold_check`), whose own script decides what follows. A
        partition where all only watch may be silent: then they were not judged.
        """
        calls = [
            Call(part, script, [prefix(part) + hit.key for hit in hits], [now, request, *specs(hits)])
            for part, hits in elsewhere.items()
        ]
        optional = [place for place, hits in enumerate(elsewhere.values()) if not any(hit.enforced for hit in hits)]
        refused = None
        claim = self._claim(now, home, idempotency, replay_ms)
        if not calls and not claim:
            return Held({})
        answers = self._link.pipeline([*calls, *claim], optional)
        if claim and not answers.pop():
            refused = Refused("mismatch")
        held: dict[int, list[Hit]] = {}
        refunds, observed, judged, unjudged, near = "", list[str](), list[bytes](), list[str](), ""
        for (part, hits), answer in zip(elsewhere.items(), answers, strict=True):
            if answer is None:
                unjudged += [hit.name for hit in hits]
                continue
            told = HeldAnswer.told(answer)
            refunds += told.refunds
            observed += told.observed
            judged += [told.judged] if told.judged else []
            near = told.near or near
            if told.held:
                held[part] = [hits[place - 1] for place in told.held]
            if told.name and (refused is None or (refused.kind != "mismatch" and told.wait > refused.wait)):
                refused = Refused(told.kind, told.wait, told.name)
        for each in unjudged:
            UNJUDGED.labels(each).inc()
        if refused and (script == "hold" or refused.kind == "mismatch"):
            self.give_back(now, request, held)
            held = {}
        return Held(held, refunds, observed, judged, unjudged, near, refused)

    def give_back(self, now: int, request: str, held: Mapping[int, list[Hit]]) -> None:
        """Gives back what was held, once, however often it is asked to."""
        calls = [
            Call(part, "release", [prefix(part) + hit.key for hit in hits], [now, request, *(hit.cost for hit in hits)])
            for part, hits in held.items()
        ]
        if calls:
            self._link.pipeline(calls)

    def _claim(self, now: int, home: int, idempotency: Idempotency | None, replay_ms: int) -> list[Call]:
        """The call that binds an Idempotency-Key to its body, where the key does not lie in the number's partition."""
        part = partitions.of_tag(idempotency.tag, self._link.partitions) if idempotency else home
        if idempotency is None or part == home:
            return []
        key = f"{prefix(part)}idempotency:{idempotency.tag}"
        return [Call(part, "claim_key", [key], [now, idempotency.fingerprint, replay_ms])]
