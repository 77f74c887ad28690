"""Internet addresses: who has which network, and how one is drawn from it."""

from collections.abc import Callable
from random import Random

_NOT_PUBLIC = {0, 10, 100, 127, 169, 172, 192, 198, 203}


class Registry:
    """Hands out networks; none is given twice. The order is drawn from `rng`."""

    def __init__(self, rng: Random) -> None:
        blocks = [f"{first}.{second}" for first in range(1, 224) if first not in _NOT_PUBLIC for second in range(256)]
        rng.shuffle(blocks)
        self._blocks = blocks
        self._wide = rng.sample(range(0x2A000000, 0x2AFFFFFF), 4096)

    def block(self) -> str:
        """The first half of an IPv4 network /16, such as `81.23`."""
        return self._blocks.pop()

    def wide(self) -> str:
        """The first half of an IPv6 network /32, such as `2a02:1f`."""
        network = self._wide.pop()
        return f"{network >> 16:x}:{network & 0xFFFF:x}"


def in_block(rng: Random, block: str) -> str:
    """Any address of an IPv4 /16."""
    bits = rng.getrandbits(16)
    return f"{block}.{bits >> 8}.{bits & 255}"


def in_wide(rng: Random, wide: str) -> str:
    """Any /64 of an IPv6 /32, and any address in it."""
    a, b, c, d, e, f = (rng.getrandbits(16) for _ in range(6))
    return f"{wide}:{a:x}:{b:x}:{c:x}:{d:x}:{e:x}:{f | 1:x}"


def same_64(rng: Random, address: str) -> str:
    """Another address of the same IPv6 /64, as phones and computers take every day."""
    home = ":".join(address.split(":")[:4])
    a, b, c, d = (rng.getrandbits(16) for _ in range(4))
    return f"{home}:{a:x}:{b:x}:{c:x}:{d | 1:x}"


def rented(rng: Random, blocks: list[str], count: int) -> Callable[[], str]:
    """What an attacker rents: `count` addresses of homes in the networks; each call gives any one of them."""
    pool = [in_block(rng, rng.choice(blocks)) for _ in range(count)]
    return lambda: rng.choice(pool)
