"""Decoders of JSON, MessagePack and TOML, made one at a time.

msgspec looks at a type when it is asked for first. A thread that asks meanwhile gets what is half seen, and the process
dies of a segmentation fault (msgspec 0.22). So whatever is not made while a module is imported is made here.
"""

import threading
from collections.abc import Callable
from functools import cache, partial
from typing import Any, TypeVar, cast

import msgspec

T = TypeVar("T")

_one_at_a_time = threading.Lock()


def json(kind: type[T]) -> Callable[[bytes | msgspec.Raw], T]:
    """What reads JSON as this type. It raises what msgspec raises."""
    return _made(msgspec.json.Decoder, cast(Any, kind))


def msgpack(kind: type[T]) -> Callable[[bytes], T]:
    """What reads MessagePack as this type. It raises what msgspec raises."""
    return _made(msgspec.msgpack.Decoder, cast(Any, kind))


def toml(kind: type[T]) -> Callable[[bytes], T]:
    """What reads TOML as this type. It raises what msgspec raises."""
    json(kind)
    return partial(msgspec.toml.decode, type=kind)


@cache
def _made(decoder: Any, kind: Any) -> Callable[[Any], Any]:
    with _one_at_a_time:
        decode: Callable[[Any], Any] = decoder(kind).decode
        return decode
