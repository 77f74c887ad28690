"""What Twilio's API has of a user beside its factors: that it was made, and the challenges of the last day."""

from verify_service.store import partitions
from verify_service.store.connection import Argument, Call, Link, prefix
from verify_service.store.entity_layouts import Challenge, Entity


class Entities:
    """The entities of a store, by the tags of their users. Every method raises StoreUnavailable."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def read(self, user: str) -> Entity | None:
        """What is kept, None where there is nothing."""
        home = self._home(user)
        packed: bytes | None = self._link.command(home, ["GET", _key(home, user)])
        return Entity.open(packed) if packed else None

    def make(self, now: int, user: str) -> bool:
        """Notes that it was made; False where it was before."""
        return bool(self._call("make_entity", user, now))

    def forget(self, user: str) -> bool:
        """Forgets all of it; False where there was nothing."""
        home = self._home(user)
        return bool(self._link.command(home, ["DEL", _key(home, user)]))

    def begin(self, now: int, user: str, challenge: Challenge) -> None:
        """Keeps a challenge."""
        self._call("begin_challenge", user, now, challenge.pack())

    def attempt(self, now: int, user: str, challenge_id: str, most: int) -> tuple[str, Challenge | None]:
        """Counts one of the `most` codes that a challenge may be answered: 'open' where it may be compared, else
        'responded', 'expired', 'spent', or 'absent' and None."""
        return _told(self._call("try_challenge", user, now, challenge_id, most))

    def approve(self, now: int, user: str, challenge_id: str) -> tuple[str, Challenge | None]:
        """Ends a challenge whose code was right: 'open' where it is approved by that, else as `attempt` answers."""
        return _told(self._call("approve_challenge", user, now, challenge_id))

    def _call(self, function: str, user: str, *args: Argument) -> list[bytes]:
        home = self._home(user)
        found: list[bytes] = self._link.call(Call(home, function, [_key(home, user)], list(args)))
        return found

    def _home(self, user: str) -> int:
        return partitions.of_tag(user, self._link.partitions)


def _told(answer: list[bytes]) -> tuple[str, Challenge | None]:
    return answer[0].decode(), Challenge.open(answer[1]) if len(answer) > 1 else None


def _key(home: int, user: str) -> str:
    return f"{prefix(home)}entity:{user}"
