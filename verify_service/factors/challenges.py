"""Challenges, as Twilio's API has them: a factor's code that is asked for now and may come later."""

import secrets
from typing import NamedTuple

from verify_service.errors import NotFound, RateLimited
from verify_service.factors import Factors
from verify_service.model import Clock, Frozen
from verify_service.policy.base import DAY_MS
from verify_service.store import entity_layouts
from verify_service.store.entities import Entities

TRIES = 5
"""How many codes a challenge may be answered; the limits on a user's wrong codes hold beside that."""
_NONE = "The user has no such challenge."


class Challenge(Frozen, frozen=True):
    """A challenge. `status` is pending, approved or expired; times in milliseconds, 0 where it was not responded to."""

    id: str
    factor: str
    status: str
    created_at: int
    expires_at: int
    responded_at: int


class Answered(NamedTuple):
    """What became of a code: `word` is approved or wrong where it was compared, else responded or expired."""

    word: str
    challenge: Challenge
    receipt: str | None = None


class Challenges:
    """The challenges of all tenants' users, of the last day. Every method raises StoreUnavailable."""

    def __init__(self, factors: Factors, entities: Entities, clock: Clock) -> None:
        self._factors = factors
        self._entities = entities
        self._clock = clock

    def make(self, tenant: str, user: str) -> bool:
        """Notes for a day that a user is there who has no factor; False where it is noted."""
        return self._entities.make(self._clock.now(), self._factors.tag(tenant, user))

    def made_at(self, tenant: str, user: str) -> int:
        """When that was noted; 0 where it is not."""
        kept = self._entities.read(self._factors.tag(tenant, user))
        return kept.made_at if kept and kept.made_at > self._clock.now() - DAY_MS else 0

    def forget(self, tenant: str, user: str) -> bool:
        """Forgets that, and all challenges; False where there was nothing."""
        return self._entities.forget(self._factors.tag(tenant, user))

    def begin(self, tenant: str, user: str, factor: str, life: int, code: str | None = None) -> Answered:
        """Asks for a code of a verified factor within `life` milliseconds; `code` may be the first that is compared.
        Raises as `Factors.check` does: then there is no challenge."""
        now = self._clock.now()
        found = self._factors.check(tenant, user, code, factor=factor) if code else None
        right = found is not None and found.approved
        kept = entity_layouts.Challenge(
            id=secrets.token_hex(16),
            factor=factor,
            status="approved" if right else "pending",
            created_at=now,
            expires_at=now + life,
            tries=1 if found else 0,
            responded_at=now if right else 0,
        )
        self._entities.begin(now, self._factors.tag(tenant, user), kept)
        return Answered("approved" if right else "wrong", _shown(kept, now), found.receipt if found else None)

    def answer(self, tenant: str, user: str, challenge_id: str, code: str) -> Answered:
        """Compares a code with the challenge's factor. The first right one approves the challenge, in time. Raises
        NotFound; RateLimited where it was answered too often, or by a limit on the user's wrong codes."""
        tag, now = self._factors.tag(tenant, user), self._clock.now()
        word, kept = self._entities.attempt(now, tag, challenge_id, TRIES)
        if word == "spent" and kept:
            wait = -(-(kept.expires_at - now) // 1000)
            raise RateLimited(
                f"The challenge was answered {TRIES} times; begin another.", limit="challenge", retry_after=wait
            )
        receipt = None
        if word == "open" and kept:
            found = self._factors.check(tenant, user, code, factor=kept.factor)
            word = "wrong"
            if found.approved:
                now = self._clock.now()
                word, kept = self._entities.approve(now, tag, challenge_id)
                word, receipt = ("approved", found.receipt) if word == "open" else (word, None)
        if kept is None:
            raise NotFound(_NONE)
        return Answered(word, _shown(kept, now), receipt)

    def all(self, tenant: str, user: str) -> list[Challenge]:
        """Those of the last day, oldest first."""
        now = self._clock.now()
        kept = self._entities.read(self._factors.tag(tenant, user))
        challenges = kept.challenges if kept and not isinstance(kept.challenges, dict) else ()
        return [_shown(each, now) for each in challenges if each.created_at > now - DAY_MS]

    def one(self, tenant: str, user: str, challenge_id: str) -> Challenge:
        """Raises NotFound."""
        for each in self.all(tenant, user):
            if each.id == challenge_id:
                return each
        raise NotFound(_NONE)


def _shown(kept: entity_layouts.Challenge, now: int) -> Challenge:
    late = kept.status == "pending" and now >= kept.expires_at
    return Challenge(
        kept.id, kept.factor, "expired" if late else kept.status, kept.created_at, kept.expires_at, kept.responded_at
    )
