"""Connections that wait for their next use."""

from typing import Generic, Protocol, TypeVar


class Reusable(Protocol):
    """A connection that can serve again."""

    def is_clean(self) -> bool:
        """False where its other end has closed it, or anything that belongs to nobody waits on it."""

    def close(self) -> None:
        """Ends it."""


C = TypeVar("C", bound=Reusable)


class Idle(Generic[C]):
    """Idle connections. Taking and giving back are one step each, for any number of threads."""

    def __init__(self) -> None:
        self._kept: list[C] = []

    def __len__(self) -> int:
        return len(self._kept)

    def take(self) -> C | None:
        """One that can serve, the last used first; None where there is none. Those that cannot are closed."""
        while True:
            try:
                found = self._kept.pop()
            except IndexError:
                return None
            if found.is_clean():
                return found
            found.close()

    def keep(self, connection: C) -> None:
        self._kept.append(connection)

    def close(self) -> None:
        """Closes all."""
        while self._kept:
            self._kept.pop().close()
