"""The countries of the simulation: their clocks, numbers, carriers and prices.

Shares and carriers are made up in likely proportions, prices are of the size that list prices have. The prefixes are
those in which every number of the given length is a mobile number (in the US: a number) of the country's plan.
"""

from random import Random
from typing import NamedTuple


class Carrier(NamedTuple):
    """A mobile network: its share of the country's users, and the first digits of its national numbers."""

    share: float
    prefixes: tuple[str, ...]


class Country(NamedTuple):
    """A country. `share`: of all normal traffic; 0 where the service is not offered yet."""

    iso: str
    calling_code: str
    utc_offset: float  # hours
    share: float
    price: float  # USD per message
    digits: int  # of a national number
    carriers: tuple[Carrier, ...]

    def number(self, prefix: str, subscriber: int) -> str:
        """The E.164 number of a subscriber; `subscriber` counts from 0 and wraps at the end of the prefix."""
        width = self.digits - len(prefix)
        lowest = 2 * 10 ** (width - 1) if self.calling_code == "1" else 0  # No exchange begins with 0 or 1 there.
        rest = lowest + subscriber % (10**width - lowest)
        return f"+{self.calling_code}{prefix}{rest:0{width}d}"

    def some_number(self, rng: Random, prefix: str) -> str:
        """Any number of the prefix."""
        return self.number(prefix, rng.randrange(10 ** (self.digits - len(prefix))))


# ISO, calling code, hours from UTC, share of the traffic in per mille, USD per message, digits, and carriers: each its
# share in per cent and its prefixes of three digits.
_TABLE = """
US 1   -6   230 0.0083 10 | 34 212 213 310 312 415 | 30 206 214 303 305 503 602 | 24 202 347 469 619 | 12 209 217 316
GB 44  0    105 0.0463 10 | 30 740-749 | 27 771-777 780 781 | 25 784-790 794-797 | 18 731-739 751 753-756
DE 49  1    95  0.1120 11 | 36 151 160 170 171 175 | 30 152 162 172-174 | 26 157 163 176-179 | 8 155 156
FR 33  1    85  0.0798 9  | 37 607 608 630-633 670-689 | 28 603 609-629 634 635 | 22 650 658-669 698 699 | 13 751-769
IN 91  5.5  100 0.0832 10 | 40 700-709 800 801 805 901-909 | 32 810-815 981-989 995-999 | 20 720-729 911-919 | 8 940-949
BR 55  -3   85  0.0639 11 | 36 119 219 319 419 519 | 28 129 139 159 199 279 | 22 619 629 719 819 859 | 14 489 679 929
MX 52  -6   55  0.0734 10 | 58 550-559 331-338 | 20 811-819 222 442 | 15 614 656 664 686 | 7 981-988
ES 34  1    45  0.0880 9  | 33 606-609 616-620 629 630 | 29 600 603 610 634 647 | 26 605 615 651-657 | 12 711-717 722
IT 39  1    42  0.0927 10 | 30 330-339 | 28 340-349 | 27 320-329 | 15 350-353 370-379
PL 48  1    35  0.0418 9  | 30 500-509 510-519 | 28 601-609 | 26 660-669 691-697 | 16 530-537 570-579
PH 63  8    35  0.1905 10 | 50 905 906 915-917 926 927 935-937 | 38 907-912 918-921 928 929 | 12 991-994
ID 62  7    30  0.3570 11 | 44 811-813 821-823 852 853 | 24 814-816 855-858 | 20 817-819 859 877 878 | 12 831-833 838
NG 234 1    25  0.2920 10 | 40 703 706 803 806 813 903 | 26 701 708 802 812 | 24 705 805 811 815 | 10 809 817 818 909
PK 92  5    13  0.3710 10 | 36 300-309 | 26 310-318 | 22 340-347 | 16 330-337
BD 880 6    8   0.2690 10 | 44 170-179 | 30 180-189 | 26 190-199
LK 94  5.5  5   0.2440 9  | 40 770-779 | 32 710-718 | 28 750-757 760
TN 216 1    4   0.2380 8  | 40 200-219 | 34 500-519 | 26 900-919
AZ 994 4    3   0.3260 9  | 48 500-509 510-518 | 30 550-559 | 22 700-709 770-777
KE 254 3    0   0.1370 9  | 64 700-729 740-748 | 30 730-739 750-756 | 6 770-779
EG 20  2    0   0.2550 10 | 40 100-109 | 30 110-119 | 30 120-129 150-155
UA 380 2    0   0.1460 9  | 46 670-679 960-989 | 32 500-509 660-669 | 22 630-639 730-739
CO 57  -5   0   0.0520 10 | 50 310-314 320-322 | 30 300-304 | 20 315-318
TJ 992 5    0   0.3630 9  | 40 900-909 | 34 920-929 | 26 500-509 550-559
DZ 213 1    0   0.2980 9  | 40 660-669 | 34 550-559 | 26 770-779
"""


def _prefixes(text: str) -> tuple[str, ...]:
    found: list[str] = []
    for part in text.split():
        first, _, last = part.partition("-")
        found.extend(str(prefix) for prefix in range(int(first), int(last or first) + 1))
    return tuple(found)


def _country(line: str) -> Country:
    facts, *carriers = line.split("|")
    iso, calling_code, utc_offset, share, price, digits = facts.split()
    networks = (carrier.split(maxsplit=1) for carrier in carriers)
    return Country(
        iso,
        calling_code,
        float(utc_offset),
        int(share) / 1000,
        float(price),
        int(digits),
        tuple(Carrier(int(percent) / 100, _prefixes(prefixes)) for percent, prefixes in networks),
    )


COUNTRIES = {country.iso: country for country in map(_country, _TABLE.strip().splitlines())}
OFFERED = [country for country in COUNTRIES.values() if country.share > 0]
NEW = [country for country in COUNTRIES.values() if country.share == 0]
EXPENSIVE = [country for country in COUNTRIES.values() if country.price >= 0.2]
