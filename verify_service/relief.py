"""What a security team does for those who were refused by mistake, lifting a block, unlocking a number or a user; and
for a tenant whose endpoint was silent."""

from verify_service import recipient
from verify_service.codes import Tagger
from verify_service.model import Actor, Clock
from verify_service.policy.rulebook import Rules
from verify_service.store import Store
from verify_service.store.audit import Audit, unnamed
from verify_service.store.blocks import Block


class Relief:
    """In force at once, attributed in the events and in the audit log. Every method raises StoreUnavailable."""

    def __init__(self, store: Store, rules: Rules, tagger: Tagger, clock: Clock) -> None:
        self._store = store
        self._rules = rules
        self._tagger = tagger
        self._clock = clock
        self._audit = Audit(store.link, tagger)

    def lift(self, block_id: str, by: Actor, reason: str) -> Block | None:
        """Ends a live block, and answers it as it stood; None where none is live. Its place needs more evidence for a
        while."""
        now, modes = self._clock.now(), self._rules().modes
        with self._audit.act(now, by, "lift", f"block:{unnamed(block_id)}", reason) as begun:
            lifted = self._store.blocks.lift(now, block_id, by.name, reason, modes)
            if lifted is None:
                begun.failed("there is no such live block")
        return lifted

    def unlock(self, e164: str, by: Actor, reason: str) -> int:
        """Forgets what limits have counted of a number; answers how many counts. Raises InvalidNumber."""
        number = recipient.parse(e164, None)
        mailbox = [(hit.owner, hit.key) for hit in self._rules().limits.of_mailbox(number)]
        now, tag = self._clock.now(), self._tagger.number(number.e164)
        with self._audit.act(now, by, "unlock", f"number:{tag}", reason):
            return self._store.verifications.decisions.unlock(now, tag, by.name, reason, mailbox)

    def unlock_user(self, tenant: str, user: str, by: Actor, reason: str) -> int:
        """Forgets what limits have counted of a tenant's user: wrong codes of their factors, starts that named them.
        Answers how many counts. Their factors stay as they are."""
        now, tag = self._clock.now(), self._tagger.user(tenant, user)
        with self._audit.act(now, by, "unlock", f"user:{tag}", reason, tenant=tenant):
            return self._store.verifications.decisions.unlock(now, tag, by.name, reason, tenant=tenant)

    def replay(self, tenant: str, by: Actor, reason: str) -> int:
        """Has all dead letters of a tenant tried again, oldest first; answers how many. An endpoint that had answered
        410 is on again."""
        now = self._clock.now()
        with self._audit.act(now, by, "replay", "webhooks", reason, tenant=tenant):
            return self._store.webhooks.replay(now, tenant)
