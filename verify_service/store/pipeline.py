"""A node's share of one round trip: its calls sent on one connection, and their answers."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

from verify_service.errors import StoreUnavailable
from verify_service.store.deadline import ServerClocks
from verify_service.store.direct import DirectPool
from verify_service.store.functions import VERSION, load_library
from verify_service.store.url import PATIENCE

# Seconds that a node is waited for whose answers can be done without.
OPTIONAL_PATIENCE = 0.25

Argument = str | bytes | int


class Call(NamedTuple):
    """One function of ours on one partition."""

    partition: int
    function: str
    keys: Sequence[str]
    args: Sequence[Argument]


class Batch:
    """The calls at `places` of a pipeline, for the node of a redis-py pool, on a connection of `direct` where that is
    given; `optional` where their answers can be done without. Every method raises what redis raises."""

    def __init__(
        self, pool: Any, places: list[int], calls: Sequence[Call], *, optional: bool, direct: DirectPool | None = None
    ) -> None:
        self.pool = pool
        self._connections = direct or pool
        self.places = places
        self.optional = optional
        self._calls = calls
        self._connection: Any = None
        self._learns = False
        self._given_up = False

    @property
    def partitions(self) -> set[int]:
        return {self._calls[place].partition for place in self.places}

    def send(self, clocks: ServerClocks, replicas: int) -> None:
        """Sends all at once, with a WAIT behind them where replicas are to confirm."""
        self._learns = clocks.is_stale(self.pool)
        self._connection = self._connections.get_connection()
        deadline = clocks.deadline(self.pool)
        commands = [_fcall(self._calls[place], deadline) for place in self.places]
        if replicas:
            commands.append(("WAIT", replicas, int(PATIENCE * 500)))
        if self._learns:
            commands.append(("TIME",))
        self._connection.send_packed_command(self._connection.pack_commands(commands))

    def collect(
        self, answers: list[Any], clocks: ServerClocks, replicas: int, moved: Callable[[Exception], None]
    ) -> list[int]:
        """Puts the answers in their places; answers the places of the calls that were provably not run.

        Raises StoreUnavailable where too few replicas confirm.
        """
        missed: list[int] = []
        if self._given_up:
            return missed
        unknown = False
        for place in self.places:
            try:
                answers[place] = self._read()
            except redis.exceptions.MovedError as error:
                moved(error)
                missed.append(place)
            except redis.ResponseError as error:
                if "Function not found" in str(error):
                    unknown = True
                elif str(error).startswith("LATE"):
                    clocks.forget(self.pool)  # We still wait, so it is the server's clock that has moved.
                else:
                    raise
                missed.append(place)
        if replicas and self._confirmed() < replicas and len(missed) < len(self.places) and not self.optional:
            raise StoreUnavailable("too few replicas confirmed the write")
        if self._learns:
            clocks.learn(self.pool, self._read())
        if unknown:
            load_library(redis.Redis(connection_pool=self.pool))
        return missed

    def give_up(self) -> None:
        """Its answers are not waited for any more."""
        self._given_up = True
        self.drop()

    def drop(self) -> None:
        """Answers may still be on their way on the connection: it cannot be used again."""
        if self._connection is not None:
            self._connection.disconnect()

    def release(self) -> None:
        """Gives the connection back."""
        if self._connection is not None:
            self._connections.release(self._connection)
            self._connection = None

    def _read(self) -> Any:
        if self.optional:
            return self._connection.read_response(timeout=OPTIONAL_PATIENCE)
        return self._connection.read_response()

    def _confirmed(self) -> int:
        """The answer to WAIT; a node that has become a replica refuses it, and our calls before it as well."""
        try:
            return int(self._read())
        except redis.ResponseError:
            return 0


def _fcall(call: Call, deadline: str) -> tuple[Argument, ...]:
    return ("FCALL", f"vs_{call.function}_{VERSION}", len(call.keys), *call.keys, *call.args, deadline)
