"""A policy tried before it is in force: starts, checks and an explanation, by the live functions on the live store.

Nothing is written, the server itself sees to that; and whom they are about is nobody."""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from verify_service import recipient
from verify_service.codes import Tagger, new_key
from verify_service.errors import ConfigError
from verify_service.model import StartOptions
from verify_service.packing import text
from verify_service.policy.decisions import decision
from verify_service.policy.limits import facts_of
from verify_service.policy.rulebook import Rulebook
from verify_service.policy.sections import Policy
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.decisions import explaining, unpack
from verify_service.store.entries import of_start
from verify_service.store.functions import placed
from verify_service.store.layouts import Content, Context, Facts, StartAsk
from verify_service.store.verifications import Verifications

# A fictional number, and an address that cannot exist (RFC 2606): no names, no neighbours, no country.
_WHO = ("+12015550123", "nobody@example.com")
_TENANT, _PURPOSE, _IP, _DEVICE = "rehearsal", "login", "203.0.113.1", "rehearsal"
_KID, _NONCE, _RIGHT, _WRONG = "k", "n", "right", "wrong"
_STARTS = 4
"""As many for one number: the first ones are admitted where any is, and most policies refuse the last."""

_pack = msgspec.msgpack.Encoder().encode
_Step = tuple[str, Sequence[str], Sequence[Argument | msgspec.Raw]]


def rehearse(link: Link, now: int, policy: Policy) -> None:
    """Returns where a process can judge by the policy. Raises ConfigError where it cannot, StoreUnavailable."""
    # Another key: of what the live service has counted nothing takes part, but what stands in the store in clear.
    book = Rulebook(0, policy, Tagger(new_key()))
    for who in _WHO:
        home, steps = _steps(link, now, book, who)
        said, explained = link.call(Call(home, "rehearse", [f"{prefix(home)}policy"], [_pack(steps)]))
        if said:
            raise ConfigError(f"a start and a check were rehearsed under it, and failed: {placed(said.decode())[:200]}")
        told = decision(id=None, at=now, revision=0, by=None, wait=0, static=(), judged=unpack(explained))
        msgspec.json.encode(told)


def _steps(link: Link, now: int, book: Rulebook, who: str) -> tuple[int, list[_Step]]:
    """The partition, and what is rehearsed there for one number or address, as if all limits lay in it."""
    verifications = Verifications(link, keep_events=1)
    number = recipient.parse(who, None)
    tag = secrets.token_hex(10)
    home = verifications.partition(tag)
    own = {word[4:]: _DEVICE for limit in book.policy.limit for word in limit.of if word.startswith("key:")}
    facts = facts_of(_TENANT, StartOptions(ip=_IP, device=_DEVICE, keys=own, user=_DEVICE), number, _PURPOSE)
    book.judge(number, tag, facts, _IP)
    hits = book.hits(number, tag, facts)

    def steps() -> Iterator[Call]:
        for nth in range(_STARTS):
            asked = _asked(verifications.new_id(tag), tag, nth)
            yield verifications.start_call(now, book.code, asked, b"-", hits, None)
            for proof in (_WRONG, _RIGHT):
                yield verifications.check_call(
                    now,
                    _TENANT,
                    f"{prefix(home)}verification:{asked.id}",
                    {_KID: proof},
                    asked.request,
                    book.limits.of_check(facts),
                    book.limits.of_check_by_number(facts),
                    None,
                    asked.decision,
                )
        yield from explaining(now, {home: [*hits, *book.limits.of_user(tag)]})

    return home, [(call.function, call.keys, [*map(_raw, call.args)]) for call in steps()]


def _asked(id: str, tag: str, nth: int) -> StartAsk:
    digest = hashlib.sha1(f"{_RIGHT}{_NONCE}{_TENANT}|{_PURPOSE}".encode(), usedforsecurity=False).hexdigest()
    return StartAsk(
        id=id,
        request=f"{nth:016x}",
        tenant=_TENANT,
        number=tag,
        purpose=_PURPOSE,
        channel="sms",
        nonce=_NONCE,
        kid=_KID,
        digest=digest,
        binding="",
        message=of_start(_TENANT, "sms", Content(), _PURPOSE),
        facts=text(Facts().pack()),
        test="",
        decision=f"de_{nth:032x}",
        ring=(_KID,),
        context=Context(),
    )


def _raw(argument: Any) -> Any:
    return text(argument) if isinstance(argument, bytes) else argument
