"""What a security team does for those who were refused by mistake: lift a block, unlock a number or a user."""

from verify_service import recipient
from verify_service.codes import Tagger
from verify_service.model import Clock
from verify_service.policy.rulebook import Rules
from verify_service.store import Store
from verify_service.store.blocks import Block


class Relief:
    """In force at once, attributed in the events. Every method raises StoreUnavailable."""

    def __init__(self, store: Store, rules: Rules, tagger: Tagger, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._tagger = tagger
        self._clock = clock

    def lift(self, block_id: str, by: str, reason: str) -> Block | None:
        """Ends a live block, and answers it as it stood; None where none is live. Its place needs more evidence for a
        while."""
        return self._store.blocks.lift(self._clock.now(), block_id, by, reason, self._rules().modes)

    def unlock(self, e164: str, by: str, reason: str) -> int:
        """Forgets what limits have counted of a number; answers how many counts. Raises InvalidNumber."""
        number = recipient.parse(e164, None)
        mailbox = [(hit.owner, hit.key) for hit in self._rules().limits.of_mailbox(number)]
        tag = self._tagger.number(number.e164)
        return self._store.verifications.decisions.unlock(self._clock.now(), tag, by, reason, mailbox)

    def unlock_user(self, tenant: str, user: str, by: str, reason: str) -> int:
        """Forgets what limits have counted of a tenant's user: wrong codes of their factors, starts that named them.
        Answers how many counts. Their factors stay as they are."""
        tag = self._tagger.user(tenant, user)
        return self._store.verifications.decisions.unlock(self._clock.now(), tag, by, reason, tenant=tenant)
