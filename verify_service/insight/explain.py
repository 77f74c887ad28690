"""Why a start was refused, and what would become of one."""

from collections.abc import Sequence
from typing import Any

import msgspec

from verify_service import addresses
from verify_service.codes import Tagger
from verify_service.duration import rfc3339
from verify_service.errors import NotFound
from verify_service.model import Clock, Number, StartOptions
from verify_service.policy import kinds, texts
from verify_service.policy.decisions import Decision, decision
from verify_service.policy.hits import Hit
from verify_service.policy.limits import facts_of
from verify_service.policy.rulebook import Rulebook, Rules
from verify_service.policy.verdicts import Judged
from verify_service.store import Store
from verify_service.store.decisions import unpack


class Explain:
    """Questions about starts. Every method raises StoreUnavailable where the store does not answer."""

    def __init__(self, store: Store, rules: Rules, tagger: Tagger, clock: Clock) -> None:
        self._rules = rules
        self._tagger = tagger
        self._decisions = store.verifications.decisions
        self._clock = clock

    def decision(self, tenant: str, decision_id: str) -> Decision:
        """What each limit and rule said of a start of the tenant that was refused, for an hour. Raises NotFound."""
        found = self._decisions.read(self._clock.now(), tenant, decision_id)
        if found is None:
            raise NotFound("There is no such decision: it is unknown, or more than an hour old.")
        return found

    def explain(self, tenant: str, number: Number, *, purpose: str = "login", **said: Any) -> Decision:
        """What would become of a start that is not made: every limit and rule is judged, and nothing is written. `said`
        is what the caller would say, as `StartOptions` has it.

        The one that decides is the one that `start` would name: a rule that needs no count first, then what stands in
        the way of this number, then the detector, then the limit or budget that refuses longest.
        """
        now, book, tag = self._clock.now(), self._rules(), self._tagger.number(number.e164)
        options = StartOptions(**said)
        judgment, hits = book.judge(number, tag, facts_of(tenant, options, number, purpose), options.ip)
        judged = [each for packed in self._decisions.explain(now, hits) for each in unpack(packed)]
        circumstance, wait = self._decisions.pending(now, tag, tenant, purpose, self._tagger.former(number.e164))
        by: str | None = None
        if judgment.refused:
            by, wait = judgment.refused.name, 0
        elif circumstance:
            by = circumstance
        else:
            refusing = [each for each in judged if each.verdict == "refuse"]
            if refusing:
                longest: Judged = max(refusing, key=_decides)
                by, wait = longest.name, int(longest.wait)
        return decision(
            id=None, at=now, revision=book.revision, by=by, wait=wait, static=judgment.verdicts, judged=judged
        )

    def explain_user(self, tenant: str, user: str) -> Decision:
        """Whether a code that the tenant's user types would be compared with their factors; nothing is written."""
        book = self._rules()
        return self._by_limits(book, book.limits.of_user(self._tagger.user(tenant, user)), "code of the user")

    def explain_address(self, tenant: str, ip: str) -> Decision:
        """What limits have counted of an internet address for a tenant, whatever the number; nothing is written."""
        book = self._rules()
        hits = book.limits.of_address(facts_of(tenant, StartOptions(ip=ip)))
        return self._by_limits(book, hits, "start from the address")

    def pseudonym(self, e164: str) -> str:
        """What events and decisions call a number."""
        return self._tagger.number(e164)

    def pseudonym_of_address(self, ip: str) -> str:
        """What events call an internet address."""
        return self._tagger.tag("ip", addresses.counted(ip)[0])

    def _by_limits(self, book: Rulebook, hits: Sequence[Hit], what: str) -> Decision:
        now = self._clock.now()
        judged = [each for packed in self._decisions.explain(now, hits) for each in unpack(packed)]
        refusing = max((each for each in judged if each.verdict == "refuse"), key=_decides, default=None)
        by, wait = (refusing.name, int(refusing.wait)) if refusing else (None, 0)
        return decision(id=None, at=now, revision=book.revision, by=by, wait=wait, static=(), judged=judged, what=what)


def _decides(each: Judged) -> tuple[bool, float]:
    """Of those that refuse the greatest is named: what is judged first, else what refuses longest."""
    return each.kind == texts.NAME or kinds.comes_first(each.kind), each.wait


def shown(found: Decision) -> dict[str, Any]:
    """A decision as people and programs outside see it: times in RFC 3339."""
    return {**msgspec.to_builtins(found), "at": rfc3339(found.at), "last_at": rfc3339(found.last_at)}
