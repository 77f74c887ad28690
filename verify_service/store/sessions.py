"""The console's sessions. The store knows each by a digest: who reads the store cannot sign in by it."""

import hashlib

from verify_service.store import partitions
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.console_layouts import Session


class Sessions:
    """The sessions of a store, by the tokens that browsers have. Every method raises StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def begin(self, now: int, token: str, proof: str, life_ms: int) -> None:
        """Keeps a new one, for `life_ms` at most."""
        self._call("begin_session", token, Session(proof, now, now).pack(), life_ms)

    def use(self, now: int, token: str, idle_ms: int, life_ms: int, *, active: bool = True) -> Session | None:
        """The session, where it has not been idle for so long and is not older than that; None else. `active` says that
        its person did something just now."""
        packed: bytes = self._call("use_session", token, now, idle_ms, life_ms, int(active))
        return Session.open(packed) if packed else None

    def end(self, token: str) -> None:
        """Ends it; one that is over already stays so."""
        self._call("end_session", token)

    def _call(self, function: str, token: str, *args: Argument) -> bytes:
        digest = hashlib.sha256(token.encode()).hexdigest()
        home = partitions.of_tag(digest, self._link.partitions)
        answer: bytes = self._link.call(Call(home, function, [f"{prefix(home)}session:{digest}"], list(args)))
        return answer
