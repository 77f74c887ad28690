"""The console's sessions. The store knows each by a digest: who reads the store cannot sign in by it."""

import hashlib
from typing import Final

from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.console_layouts import Session

MOST: Final = 20
"""What one operator may have at once; the oldest end first."""
# All lie in one partition, so that all of an operator's end in one step. They are few, whatever the traffic is.
_HOME = 0


class Sessions:
    """The sessions of a store, by the tokens that browsers have. Every method raises StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def begin(self, now: int, token: str, proof: str, actor: str, life_ms: int) -> None:
        """Keeps a new one, for `life_ms` at most."""
        self._call("begin_session", _digest(token), now, Session(proof, now, now, actor).pack(), life_ms, MOST)

    def use(self, now: int, token: str, idle_ms: int, life_ms: int, *, active: bool = True) -> Session | None:
        """The session, where it has not been idle for so long and is not older than that; None else. `active` says that
        its person did something just now."""
        packed: bytes = self._call("use_session", _digest(token), now, idle_ms, life_ms, int(active))
        return Session.open(packed) if packed else None

    def end(self, token: str) -> None:
        """Ends it; one that is over already stays so."""
        self._call("end_session", _digest(token))

    def end_all(self, actor: str) -> int:
        """Ends all of an operator's, wherever they signed in; how many there were."""
        return int(self._call("end_sessions", actor))

    def first(self, state: str, life_ms: int) -> bool:
        """Whether nobody has brought this state of a sign-in before, within `life_ms`."""
        key = f"{prefix(_HOME)}signing-in:{_digest(state)}"
        return bool(self._link.command(_HOME, ["SET", key, "", "NX", "PX", life_ms]))

    def _call(self, function: str, name: str, *args: Argument) -> bytes:
        answer: bytes = self._link.call(Call(_HOME, function, [f"{prefix(_HOME)}session:{name}"], list(args)))
        return answer


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
