"""Phone numbers: the one file that knows phonenumbers."""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from verify_service.errors import InvalidNumber, InvalidRequest
from verify_service.model import Number

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_NATIONAL = re.compile(r"[0-9 ()./-]{2,32}")
_LINE_TYPES = {
    value: name.lower().replace("_", "-")
    for name, value in vars(PhoneNumberType).items()
    if name.isupper() and isinstance(value, int)
}
LINE_TYPES = frozenset(_LINE_TYPES.values()) - {"unknown"}
REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)


def parse(to: str, region: str | None) -> Number:
    """A number that exists in its country's plan.

    `to` is E.164, or a national number (ASCII digits with spaces, brackets, dots, slashes or hyphens) with `region`,
    an ISO 3166 code. Raises InvalidNumber (`not-a-number`, `impossible`) or InvalidRequest for an unknown region.
    """
    if region is not None and region not in REGIONS:
        raise InvalidRequest("region", "is not an ISO 3166 country code with a numbering plan, such as US")
    if to.startswith("+"):
        if not _E164.fullmatch(to):
            raise InvalidNumber("not-a-number", _e164_hint(to))
    elif region is None:
        raise InvalidNumber(
            "not-a-number", "Write the number in E.164 (+ and the country code first), or send its `region` as well."
        )
    elif not _NATIONAL.fullmatch(to):
        raise InvalidNumber("not-a-number", "A national number has the digits 0-9, spaces and ( ) - . / only.")
    return _parse(to, region)


def _e164_hint(to: str) -> str:
    squeezed = re.sub(r"[ ().\-/]", "", to)
    if squeezed != to and _E164.fullmatch(squeezed):
        return "E.164 has no spaces or punctuation after the +; send the digits alone."
    return "E.164 is a + and 7 to 15 of the digits 0-9, the first one not 0."


@lru_cache(maxsize=4096)
def prefix_of(e164: str) -> str:
    """`Number.prefix` of what begins like the number, whether or not such a number exists."""
    try:
        parsed = phonenumbers.parse(e164, None)
    except phonenumbers.NumberParseException:
        return e164[:6]
    return _prefix(parsed)


def _prefix(parsed: phonenumbers.PhoneNumber) -> str:
    return f"+{parsed.country_code}{phonenumbers.national_significant_number(parsed)[:3]}"


@lru_cache(maxsize=4096)
def _parse(to: str, region: str | None) -> Number:
    try:
        parsed = phonenumbers.parse(to, region)
    except phonenumbers.NumberParseException:
        raise InvalidNumber("not-a-number", "This is not a phone number of any country.") from None
    # A type of UNKNOWN is exactly "not valid", so one look at the metadata answers both questions.
    line_type = phonenumbers.number_type(parsed)
    if line_type == PhoneNumberType.UNKNOWN:
        raise InvalidNumber("impossible", "No such number exists in this country's numbering plan.")
    country = phonenumbers.region_code_for_number(parsed) or "ZZ"
    return Number(
        e164=phonenumbers.format_number(parsed, PhoneNumberFormat.E164),
        country="ZZ" if country == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY else country,
        prefix=_prefix(parsed),
        line_type=_LINE_TYPES[line_type],
    )
