"""Which addresses are one subscriber's, and which lie in one network: what limits, lists and detectors count by."""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

# What `ipaddress` takes for an IPv4 address, a thirtieth of its CPU time.
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"({_OCTET}\.{_OCTET}\.{_OCTET})\.{_OCTET}")

# IPv6 prefixes whose last 32 bits are an IPv4 address.
_EMBEDDING = tuple(
    map(
        IPv6Network,
        (
            "::ffff:0:0/96",  # IPv4-mapped (RFC 4291, 2.5.5.2): how a dual-stack socket shows an IPv4 peer.
            "::ffff:0:0:0/96",  # IPv4-translated (RFC 7915; first RFC 2765, 2.1).
            "64:ff9b::/96",  # NAT64, the well-known prefix (RFC 6052, 2.1).
        ),
    )
)
# Each operator cuts prefixes of their own from it (RFC 8215). Where one of 96 bits was cut, as usual, the last 32 are
# the IPv4 address; in a shorter one they are zero (RFC 6052, 2.2), and nobody outside can know where the address lies.
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, or the address itself.

    Unwrapped are IPv4-mapped and IPv4-translated addresses, NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056: 2002::/16, bits
    16 to 47) and Teredo (RFC 4380, 4: 2001::/32, the client's address inverted in the last 32 bits): by 6to4 and Teredo
    one IPv4 address has thousands of /64s.
    """
    if isinstance(address, IPv4Address):
        return address
    last = int(address) & 0xFFFFFFFF
    if any(address in network for network in _EMBEDDING) or (address in _LOCAL_NAT64 and last):
        return IPv4Address(last)
    if address.sixtofour:
        return address.sixtofour
    return address.teredo[1] if address.teredo else address


def spellings(ip: str) -> Iterator[Address]:
    """An address as it was written, and as what it stands for, where that differs. Raises ValueError."""
    address = ip_address(ip)
    yield address
    if (plain := unwrapped(address)) != address:
        yield plain


@lru_cache(maxsize=4096)
def counted(ip: str) -> tuple[str, str]:
    """What an address counts as, and the network that it lies in. Raises ValueError.

    An IPv4 address is itself, its network the /24: what is routed on the internet is no smaller (RFC 7454, 6.1.3). An
    IPv6 address is its /64, which one subscriber has at the least (RFC 4291, 2.5.1), a phone as well (RFC 7278, 1); its
    network is the /48, which one site is given at the most (RFC 6177, 2): what one person rotates through.
    """
    if found := _IPV4.fullmatch(ip):
        return ip, f"{found[1]}.0/24"
    address = unwrapped(ip_address(ip))
    if isinstance(address, IPv4Address):
        return counted(str(address))
    return str(ip_network((address, 64), strict=False)), str(ip_network((address, 48), strict=False))
