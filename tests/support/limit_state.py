"""What a limit has counted, as its key holds it: see verify_service/store/lua/counts.lua."""

import struct
from typing import Any, NamedTuple

_PAST = struct.Struct("<dddd")
_WINDOW = struct.Struct("<IIdd")
_HIT = struct.Struct("<d8s")


class LimitState(NamedTuple):
    """The marks of the logged hits, newest first, and {seconds: {bucket: hits}} of the counted windows."""

    log: list[str]
    windows: dict[int, dict[int, float]]

    @property
    def hits(self) -> list[float]:
        """How many are in the log, where there is one, and in each counted window; none where all were given back."""
        found = [len(self.log), *(sum(buckets.values()) for buckets in self.windows.values())]
        return [hits for hits in found if hits]


def limit_state(value: Any) -> LimitState:
    """Of a key's value, as the client answers it; of no key, nothing."""
    if value is None:
        return LimitState([], {})
    windows: dict[int, dict[int, float]] = {}
    packed: bytes = value
    end = 2 + packed[0] * _WINDOW.size
    for seconds, bucket, hits, before in _WINDOW.iter_unpack(packed[2:end]):
        windows[seconds] = {bucket: hits, bucket - 1: before}
    log = _HIT.iter_unpack(packed[end + packed[1] * _PAST.size :])
    return LimitState([nonce.rstrip(b"\0").decode() for _, nonce in log], windows)
