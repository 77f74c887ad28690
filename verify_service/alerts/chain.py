"""Whether the audit log is whole: looked through each hour, which takes a second where it is as long as it gets."""

from verify_service.insight.audit import Head, Verified, verify
from verify_service.store.audit import Audit

EVERY_MS = 3_600_000


class Chain:
    """The log as a dispatcher has seen it: what was cut off behind since is missed by its last head."""

    def __init__(self, audit: Audit) -> None:
        self._audit = audit
        self._next = 0
        self._noted: Head | None = None
        self._known: Verified | None = None

    def at(self, now: int) -> Verified:
        """What the last look has found. Raises StoreUnavailable."""
        if self._known is None or now >= self._next:
            self._known = verify(self._audit, self._noted)
            self._noted, self._next = self._known.head, now + EVERY_MS
        return self._known
