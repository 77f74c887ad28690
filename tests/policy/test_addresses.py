"""What an address counts as: one person with many addresses is one person, in whichever form they come."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from tests.support.bench import Bench, a_start, make_bench
from tests.support.live import BASE
from verify_service.addresses import counted
from verify_service.errors import Blocked, RateLimited
from verify_service.store import Store

pytestmark = pytest.mark.slow

V4 = ("203.0.113.9", "203.0.113.0/24")


@pytest.mark.parametrize(
    ("ip", "address", "network"),
    [
        ("203.0.113.9", *V4),
        ("::ffff:203.0.113.9", *V4),  # IPv4-mapped
        ("::ffff:0:203.0.113.9", *V4),  # IPv4-translated
        ("64:ff9b::203.0.113.9", *V4),  # NAT64
        ("64:ff9b:1:abcd::203.0.113.9", *V4),  # NAT64 with a prefix of the operator's own
        ("2002:cb00:7109::1", *V4),  # 6to4
        ("2002:cb00:7109:ffff:1::1", *V4),
        ("2001:0:4136:e378:8000:63bf:34ff:8ef6", *V4),  # Teredo
        ("2001:db8:1:2::3", "2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:db8:1:3::3", "2001:db8:1:3::/64", "2001:db8:1::/48"),
        ("2001:db8:2::", "2001:db8:2::/64", "2001:db8:2::/48"),
        ("64:ff9b:1:cb00:71:900::", "64:ff9b:1:cb00::/64", "64:ff9b:1::/48"),  # a shorter prefix: nobody knows which
    ],
)
def test_an_address_counts_as_what_it_stands_for(ip: str, address: str, network: str) -> None:
    """An IPv4 address as itself and its /24, an IPv6 one as its /64 and /48, a wrapped one as what is inside."""
    assert counted(ip) == (address, network)


EDGES = ("", "0", "1", "00", "01", "9", "99", "100", "199", "200", "249", "250", "255", "256", "999", "-1", "１", " 1")


@pytest.mark.parametrize("ip", ["1.2.3", "1.2.3.4.5", "1.2.3.4\n", "1,2,3,4", "1.2.3.4/32", "::1.2.3.256", *EDGES])
def test_what_is_no_address_is_refused(ip: str) -> None:
    """Whether or not it looks like one."""
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        counted(ip)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("part", EDGES)
def test_ipv4_is_what_the_standard_library_takes_for_it(part: str, place: int) -> None:
    """Each of the four parts, at the edges of what it may be: the address and its /24, or ValueError."""
    parts = ["7"] * 4
    parts[place] = part
    ip = ".".join(parts)
    try:
        expected = (str(IPv4Address(ip)), str(IPv4Network((ip, 24), strict=False)))
    except ValueError:
        with pytest.raises(ValueError, match="does not appear to be"):
            counted(ip)
    else:
        assert counted(ip) == expected


def admitted(bench: Bench, addresses: list[str]) -> tuple[int, set[str]]:
    """How many starts from these addresses pass, each to another number, and the limits that refuse the others."""
    passed, by = 0, set()
    for line, ip in enumerate(addresses, 1000):
        try:
            bench.service.start("default", a_start(f"+1415555{line:04d}", ip=ip))
            passed += 1
        except RateLimited as refused:
            by.add(refused.members["limit"])
    return passed, by


def test_the_64s_of_one_48_share_a_limit(bench: Bench) -> None:
    """Three hundred /64s of a customer's block: the shipped limit on `network` lets two hundred starts an hour pass."""
    assert admitted(bench, [f"2001:db8:7:{each:x}::1" for each in range(300)]) == (200, {"network"})


def test_a_6to4_address_is_its_ipv4_address(bench: Bench) -> None:
    """Its 65,536 /64s are one address: the shipped limit on `ip` holds."""
    assert admitted(bench, [f"2002:cb00:7109:{each:x}::1" for each in range(150)]) == (100, {"ip"})


def test_a_network_whose_people_enter_their_codes_is_not_held_up(bench: Bench) -> None:
    """Behind a carrier's network 300 people in an hour are as good as one: an approval gives the start back."""
    for each in range(300):
        started = bench.service.start("default", a_start(f"+1415555{1000 + each}", ip=f"2001:db8:7:{each:x}::1"))
        assert bench.service.check("default", started.id, bench.code(started.id)).approved


@pytest.mark.parametrize("entry", ["203.0.113.0/24", "2002::/16"])
def test_a_block_list_knows_an_address_by_either_form(store: Store, entry: str) -> None:
    """Whether it names the IPv4 network behind a 6to4 address, or 6to4 as such."""
    bench = make_bench(store, f'{BASE}\n[block]\nnetworks = ["{entry}"]')
    with pytest.raises(Blocked) as refused:
        bench.service.start("default", a_start("+14155551234", ip="2002:cb00:7109::1"))
    assert refused.value.members["rule"] == "block-list"
