"""From recorded events to what the scripts are asked: the same rulebook and the same calls as the live service's, with
a fixed code in place of a secret one."""

import hashlib
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from verify_service import phone, recipient
from verify_service.backtest.record import Event
from verify_service.codes import Tagger, new_key
from verify_service.errors import InvalidNumber
from verify_service.model import Number, StartOptions
from verify_service.packing import text
from verify_service.policy.limits import AS_SAID, facts_of
from verify_service.policy.rulebook import Rulebook
from verify_service.policy.sections import Policy
from verify_service.store.entries import of_start
from verify_service.store.layouts import Content, Context, Facts, StartAsk
from verify_service.store.scratch import Step
from verify_service.store.verifications import Verifications

_KID, _NONCE, _RIGHT, _WRONG = "k", "n", "right", "wrong"
_PLACE = "vs:{0}:verification:"
_FACTS = text(Facts().pack())


_NOBODY = Number("", "ZZ", "", "unknown")


class Asked(NamedTuple):
    """A start on its way to the scripts, or, with `rule`, refused before them."""

    step: Step | None
    rule: str | None
    observed: tuple[str, ...]
    number: Number


class Steps:
    """Makes the steps of one policy's backtest. Each raises ValueError for an address that is none."""

    def __init__(self, policy: Policy, verifications: Verifications) -> None:
        self._tagger = _Plain(new_key())
        self._book = Rulebook(0, policy, self._tagger)
        self._verifications = verifications
        self._serial = count()

    def start(self, event: Event) -> Asked:
        """A start, judged as far as that needs no store."""
        if event.pseudonymous:
            number, tag = _pseudonymous(event), event.number or ""
        else:
            try:
                number = recipient.parse(event.to or "", None)
            except InvalidNumber:
                return Asked(None, "invalid-number", (), _NOBODY)
            tag = self._tagger.number(number.e164)
        facts = _facts(event, number)
        judged, hits = self._book.judge(number, tag, facts, None if event.pseudonymous else event.ip)
        if judged.refused:
            return Asked(None, judged.refused.name, judged.observed, number)
        serial = f"{next(self._serial):028x}"
        asked = StartAsk(
            id=f"ve_0000{serial}",
            request=serial[-16:],
            tenant=event.tenant,
            number=tag,
            purpose=event.purpose,
            channel=event.channel,
            nonce=_NONCE,
            kid=_KID,
            digest=_digest(event.tenant, event.purpose),
            binding="",
            message=of_start(event.tenant, event.channel, Content(), event.purpose),
            facts=_FACTS,
            test="",
            decision=f"de_0000{serial}",
            ring=(_KID,),
            context=Context(observed=judged.observed),
        )
        call = self._verifications.start_call(event.ms, self._book.code, asked, b"", hits, None)
        return Asked(Step("start", event.id, call.keys, call.args), None, judged.observed, number)

    def check(self, event: Event) -> Step:
        """A check with the right code, or with a wrong one; which verification it is about, the script knows."""
        facts = _facts(event, None)
        call = self._verifications.check_call(
            event.ms,
            event.tenant,
            _PLACE,
            {_KID: _RIGHT if event.event == "approved" else _WRONG},
            f"{next(self._serial):016x}",
            self._book.limits.of_check(facts),
            self._book.limits.of_check_by_number(facts),
            None,
        )
        return Step("check", event.id, call.keys[1:], call.args)

    def cancel(self, event: Event) -> Step:
        """A cancel."""
        return Step("cancel", event.id, (), (event.ms, 1, event.tenant))


class _Plain(Tagger):
    """A tagger without a secret, and as quick as that: what it names never leaves the scratch store."""

    def fingerprint(self, kind: str, *values: str) -> str:
        return hashlib.blake2b("\n".join((kind, *values)).encode(), digest_size=10).hexdigest()


def _facts(event: Event, number: Number | None) -> dict[str, str | None]:
    said = {name: getattr(event, name) for name in AS_SAID}
    options = StartOptions(ip=None if event.pseudonymous else event.ip, keys=event.keys, **said)
    facts = facts_of(event.tenant, options, number, event.purpose)
    if event.pseudonymous:
        facts |= {"ip": event.ip, "network": event.network, "near": event.near}
        # Of a mailbox an export knows the number's pseudonym; addresses with a + are one there only where it is known.
        facts["mailbox"] = event.number if number and number.is_email else None
    return facts


def _pseudonymous(event: Event) -> Number:
    """The number of an export's start, as far as it is known: its last three digits are not."""
    if event.line_type == recipient.EMAIL:
        return Number(event.range or "@", "", "", recipient.EMAIL)
    first = (event.range or "") + "000"
    return Number(first, event.country or "ZZ", phone.prefix_of(first), event.line_type or "")


@lru_cache
def _digest(tenant: str, purpose: str) -> str:
    """What `codes.KeyRing.digest` would be, had the right code the proof `_RIGHT`."""
    return hashlib.sha1(f"{_RIGHT}{_NONCE}{tenant}|{purpose}".encode(), usedforsecurity=False).hexdigest()
