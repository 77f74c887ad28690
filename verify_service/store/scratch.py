"""A store for backtests: the functions of the live one, hundreds of events a call, with what they tell left unsaid."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from verify_service.packing import text
from verify_service.store.connection import Argument, Link, prefix
from verify_service.store.functions import library
from verify_service.store.verifications import Verifications

_VERSION, _LIBRARY = library(scratch=True)
_KEY = f"{prefix(0)}replay"
# One call is a few milliseconds of work; a machine that is busy with something else may need far longer.
_WAIT_S = 60.0

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
        self._link = Link(url)
        self._link.client().function_load(_LIBRARY)
        self.verifications = Verifications(self._link, keep_events=1)

    def replay(self, steps: Sequence[Step]) -> list[list[Any]]:
        """What each step is answered, in order. Raises StoreUnavailable."""
        packed = _pack([(kind, recorded, keys, [*map(_raw, args)]) for kind, recorded, keys, args in steps])
        call = ("FCALL", f"vs_replay_{_VERSION}", 1, _KEY, packed, "")
        answers: list[list[Any]] = self._link.command(0, call, wait=_WAIT_S)
        return answers


def _raw(argument: Argument) -> Argument | msgspec.Raw:
    return text(argument) if isinstance(argument, bytes) else argument
