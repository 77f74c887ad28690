"""A store for backtests: the functions of the live one, hundreds of events a call, with what they tell left unsaid."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from verify_service.errors import StoreUnavailable
from verify_service.packing import text
from verify_service.store.connection import ERRORS, Argument, Link, prefix, reason
from verify_service.store.direct import DirectPool
from verify_service.store.functions import library
from verify_service.store.verifications import Verifications

_VERSION, _LIBRARY = library(scratch=True)
_KEY = f"{prefix(0)}replay"
# One call is a few milliseconds of work; a machine that is busy with something else may need far longer.
_WAIT_S = 60

_pack = msgspec.msgpack.Encoder().encode


class Step(NamedTuple):
    """One recorded event as `replay` takes it: see store/lua/replay.lua."""

    kind: str
    recorded: str
    keys: Sequence[str]
    args: Sequence[Argument]


class ScratchStore:
    """A scratch store of one partition. `verifications` builds the calls of its steps; it makes none itself."""

    def __init__(self, url: str) -> None:
        link = Link(f"{url}?socket_timeout={_WAIT_S}")
        client = link.client()
        client.function_load(_LIBRARY)
        self.verifications = Verifications(link, keep_events=1)
        self._connection = DirectPool(client.connection_pool).get_connection()

    def send(self, steps: Sequence[Step]) -> None:
        """Has the steps judged behind all that was sent before. Raises StoreUnavailable."""
        packed = _pack([(kind, recorded, keys, [*map(_raw, args)]) for kind, recorded, keys, args in steps])
        call = ("FCALL", f"vs_replay_{_VERSION}", 1, _KEY, packed, "")
        try:
            self._connection.send_packed_command(self._connection.pack_commands([call]))
        except ERRORS as error:
            raise StoreUnavailable(reason(error)) from None

    def receive(self) -> list[list[Any]]:
        """What each step of the oldest that were sent is answered, in order. Raises StoreUnavailable."""
        try:
            answers: list[list[Any]] = self._connection.read_response()
        except ERRORS as error:
            raise StoreUnavailable(reason(error)) from None
        return answers


def _raw(argument: Argument) -> Argument | msgspec.Raw:
    return text(argument) if isinstance(argument, bytes) else argument
