"""The latest decisions on starts: what was decided, why, and what can be done about it."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from verify_service.duration import rfc3339
from verify_service.errors import InvalidRequest
from verify_service.model import Frozen
from verify_service.policy.decisions import Decision
from verify_service.policy.verdicts import Verdict
from verify_service.store import Store, search
from verify_service.store.search import Outcome, Place, Wanted, outcome_of, place

MOST = 100
"""Decisions in one answer."""
USUAL = 50
_ID = re.compile("(de|ve)_[0-9a-f]{32}")
_FORMS = {
    "outcome": ("refused|observed|admitted", "is refused, observed or admitted"),
    "rule": ("[a-z0-9][a-z0-9-]{0,31}", "is the name of a limit or rule"),
    "country": ("[A-Z]{2}|001", "is two capital letters, such as GB"),
    "range": (
        r"\+[1-9][0-9]{0,8}|@[a-z0-9.-]{1,253}",
        "is how numbers begin, such as +44791, nine digits at most; or a domain, such as @example.com",
    ),
    "tenant": ("[a-z0-9][a-z0-9-]{0,31}", "is the name of a tenant"),
    "number": ("[0-9a-f]{20}", "is the pseudonym of a number, as events have it"),
    "ip": ("[0-9a-f]{20}", "is the pseudonym of an address, as events have it"),
    "user": ("[0-9a-f]{20}", "is the pseudonym of a user, as events have it"),
    "limit": ("[1-9][0-9]?|100", f"is 1 to {MOST}"),
    "before": (r"[0-9]{1,15}-[0-9]{1,15}-[0-9]{1,3}", "is what an earlier answer has as `before`"),
    "status": ("true|false", "is true or false"),
}


class Asked(Frozen, frozen=True):
    """A question: which starts, how many of them, older than which; and whether with what became of each since."""

    wanted: Wanted
    limit: int = USUAL
    before: Place | None = None
    status: bool = False


class Decided(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """A start that was decided, as its event has it; `at` in milliseconds, `price` in dollars. `id` is its
    verification's where it was admitted.

    `rule` refused it, those of `observed` would have. `decision` is the id of the record, which is kept for an hour;
    for so long `sentence` says why, and `figures` what that limit or rule had counted. `status` is what became of the
    verification, where that was asked for and it is still held.
    """

    at: int
    id: str
    outcome: Outcome
    tenant: str
    purpose: str
    channel: str
    number: str
    advice: str
    country: str | None = None
    range: str | None = None
    rule: str | None = None
    observed: tuple[str, ...] = ()
    decision: str | None = None
    sentence: str | None = None
    figures: Verdict | None = None
    ip: str | None = None
    price: float = 0.0
    repeats: int = 1
    revision: int = 0
    status: str | None = None


class Answer(Frozen, frozen=True):
    """Decisions, the newest first. The events were gone through back to `back_to`, in milliseconds, and `before` asks
    for older ones; both are None where all that is kept was gone through."""

    decisions: tuple[Decided, ...]
    back_to: int | None
    before: str | None


def asked(said: Mapping[str, str]) -> Asked:
    """The question that names and texts ask, as of a query. Raises InvalidRequest."""
    wrong = [(name, "is no filter") for name in said if name not in _FORMS]
    for name, (form, words) in _FORMS.items():
        if name in said and not re.fullmatch(form, said[name]):
            wrong.append((name, words))
    if wrong:
        raise InvalidRequest(*wrong[0], wrong[1:])
    return Asked(
        msgspec.convert({name: said[name] for name in Wanted.__struct_fields__ if name in said}, Wanted),
        int(said.get("limit", USUAL)),
        place(said["before"]) if "before" in said else None,
        said.get("status") == "true",
    )


def decided(store: Store, now: int, ask: Asked, most: int = search.MOST) -> Answer:
    """The newest decisions of all tenants that are asked for. A look goes through `most` events: where few fit it may
    find fewer than there are, and `before` goes on. Raises StoreUnavailable."""
    found = store.search.starts(ask.wanted, ask.limit, ask.before, most)
    named = [(start.get("tenant", ""), start.get("decision", "")) for start in found.found]
    asks = [each for each in dict.fromkeys(named) if _ID.fullmatch(each[1])]
    read = store.verifications.decisions.read_all(now, asks)
    records = {record.id: record for record in read if record}
    return Answer(
        tuple(_decided(store, now, start, records.get(start.get("decision", "")), ask) for start in found.found),
        found.back_to,
        str(found.before) if found.before else None,
    )


def shown(answer: Answer) -> dict[str, Any]:
    """An answer as programs outside see it: times in RFC 3339."""
    return {
        "decisions": [{**msgspec.to_builtins(each), "at": rfc3339(each.at)} for each in answer.decisions],
        "back_to": rfc3339(answer.back_to) if answer.back_to is not None else None,
        "before": answer.before,
    }


def _decided(store: Store, now: int, start: Mapping[str, Any], record: Decision | None, ask: Asked) -> Decided:
    outcome = outcome_of(start)
    rule, observed = start.get("refused"), tuple(start.get("observed", ()))
    name, word = (rule, "refuse") if rule else (observed[0] if observed else None, "observe")
    verdicts = record.judged if record else ()
    figures = next((each for each in verdicts if (each.name, each.verdict) == (name, word)), None)
    status = None
    if ask.status and outcome != "refused" and _ID.fullmatch(start["id"]):
        verification = store.verifications.read(now, start.get("tenant", ""), start["id"])
        status = verification.status if verification else None
    return Decided(
        at=round(start["at"] * 1000),
        outcome=outcome,
        rule=rule,
        observed=observed,
        sentence=figures.sentence if figures else record.sentence if record else None,
        figures=figures,
        advice=_advice(outcome, name or "", figures),
        status=status,
        **{part: start.get(part, "") for part in ("id", "tenant", "purpose", "channel", "number")},
        **{
            part: start[part]
            for part in ("country", "range", "decision", "ip", "price", "repeats", "revision")
            if part in start and (part != "decision" or _ID.fullmatch(start[part]))
        },
    )


_ADVICE = {
    "opted-out": "Only the person can undo this: they text START, or tell you, and you record their consent.",
    "unreachable": "The carrier says that this number gets no messages. Unlock it once the person says otherwise.",
    "cooldown": "Nothing to do: the person has a code, and may ask for another in a moment.",
    "sends-exhausted": "Nothing to do: a new verification can begin when this one ends. Many of these are a delivery "
    "that fails: look at the providers.",
    "line-types": "If these are customers, take the line type out of `deny` of [line_types].",
    "countries": "If you do business there, allow the country in [countries].",
    "block-list": "If the entry is a mistake, take it off [block].",
    "factors": "The person has an authenticator: ask for its code, or set `texts` of [factors].",
}
_ADVICE_BY_KIND = {
    "limit": "If this is a customer, unlock the number. If many are, raise the limit, and backtest that first.",
    "pumping": "Look at the block's evidence. If the traffic is yours, lift the block.",
    "budget": "If the money is well spent, raise the budget. If not, see which numbers it went to, and block them.",
}


def _advice(outcome: Outcome, name: str, figures: Verdict | None) -> str:
    if outcome == "admitted":
        return "Nothing to do."
    if outcome == "observed":
        return f"Nothing was refused. Let `{name}` enforce once those that it would refuse are no customers."
    return _ADVICE.get(name) or _ADVICE_BY_KIND.get(
        figures.kind if figures else "", f"See what `{name}` says in the policy, and backtest a change of it."
    )
