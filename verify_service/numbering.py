"""Numbering plans: the one file that knows phonenumbers. What it says of a number, with its metadata taken up once.

libphonenumber looks for a number's region twice, tries every kind of number in each region, and compiles each pattern
anew. Here a country code's plan is kept: the patterns, in libphonenumber's own order. A number in E.164 that begins
with nothing that its plan may strip stands for itself; all others are read by libphonenumber.
"""

import re
from functools import cache
from typing import Any, NamedTuple

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberType

_LINE_TYPES = {
    value: name.lower().replace("_", "-")
    for name, value in vars(PhoneNumberType).items()
    if name.isupper() and isinstance(value, int)
}
UNKNOWN = "unknown"
LINE_TYPES = frozenset(_LINE_TYPES.values()) - {UNKNOWN}
REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)
COUNTRY_CODES = frozenset(map(str, phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
NO_REGION = phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
NotANumber = phonenumbers.NumberParseException

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# What may be a fixed line and what may be mobile are last, and told apart.
_FIRST = ("premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail")


class Found(NamedTuple):
    """A number as its plan has it. Its region is None where it lies in none of the plan's; its line type is `unknown`
    where there is no such number."""

    code: str
    national: str
    region: str | None
    line_type: str

    @property
    def e164(self) -> str:
        return f"+{self.code}{self.national}"


def read(to: str, region: str | None) -> Found:
    """A number with its plus, or as it is dialled in the region. Raises NotANumber for what has no country code, or is
    too short or long for any plan."""
    if region is None and _E164.fullmatch(to):
        code = next((to[1:end] for end in (2, 3, 4) if to[1:end] in COUNTRY_CODES), "")
        if code and (plan := _plan(code)).keeps(national := to[1 + len(code) :]):
            return Found(code, national, *plan.judge(national))
    parsed = phonenumbers.parse(to, region)
    code, national = str(parsed.country_code), phonenumbers.national_significant_number(parsed)
    return Found(code, national, *_plan(code).judge(national))


class _Region:
    """The patterns of a region."""

    def __init__(self, name: str, metadata: Any) -> None:
        self.name = name
        self.begins = metadata.leading_digits and re.compile(metadata.leading_digits).match
        self._any = _matcher(metadata.general_desc)
        self._first = [
            (_LINE_TYPES[getattr(PhoneNumberType, kind.upper())], found)
            for kind in _FIRST
            if (found := _matcher(getattr(metadata, kind)))
        ]
        self._fixed = _matcher(metadata.fixed_line)
        self._mobile = self._fixed if metadata.same_mobile_and_fixed_line_pattern else _matcher(metadata.mobile)

    def line_type(self, national: str) -> str:
        if not _is(self._any, national):
            return UNKNOWN
        for kind, found in self._first:
            if _is(found, national):
                return kind
        fixed, mobile = _is(self._fixed, national), _is(self._mobile, national)
        return (
            "fixed-line-or-mobile" if fixed and mobile else "fixed-line" if fixed else "mobile" if mobile else UNKNOWN
        )


class _Plan:
    """The regions of a country code, and what is stripped where a number begins with it."""

    def __init__(self, code: int) -> None:
        names = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
        plans: list[Any] = [PhoneMetadata.metadata_for_region_or_calling_code(code, name) for name in names]
        self._regions = [_Region(name, plan) for name, plan in zip(names, plans, strict=True)]
        prefix = plans[0].national_prefix_for_parsing
        self._strips = re.compile(prefix).match if prefix else None

    def keeps(self, national: str) -> bool:
        """Whether the number stands for itself as it is written."""
        return len(national) > 1 and national[0] != "0" and not (self._strips and self._strips(national))

    def judge(self, national: str) -> tuple[str | None, str]:
        """The region and the line type of a number."""
        if len(self._regions) == 1:
            return self._regions[0].name, self._regions[0].line_type(national)
        for region in self._regions:
            if region.begins:
                if region.begins(national):
                    return region.name, region.line_type(national)
            elif (found := region.line_type(national)) != UNKNOWN:
                return region.name, found
        return None, UNKNOWN


@cache
def _plan(code: str) -> _Plan:
    return _Plan(int(code))


def _matcher(kind: Any) -> tuple[frozenset[int], Any] | None:
    """Of a kind of numbers, its lengths (none: any) and the pattern of a whole number."""
    if kind is None or not kind.national_number_pattern:
        return None
    return frozenset(kind.possible_length), re.compile(kind.national_number_pattern).fullmatch


def _is(kind: tuple[frozenset[int], Any] | None, national: str) -> bool:
    return kind is not None and (not kind[0] or len(national) in kind[0]) and kind[1](national) is not None
