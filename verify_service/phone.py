"""Phone numbers, as people and vendors write them."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.resources import files

import msgspec

from verify_service import numbering
from verify_service.errors import InvalidNumber, InvalidRequest
from verify_service.model import Number
from verify_service.numbering import LINE_TYPES, REGIONS, UNKNOWN

__all__ = ["LINE_TYPES", "REGIONS"]
from verify_service.typed import plain

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
# What `typed.plain` leaves of a number: one plus, or none, digits and what people set them apart with.
_WRITTEN = re.compile(r"(?i:tel:)?[ (\[]*(\+?)([0-9 \t()\[\]./-]*)")
_VENDORS = re.compile(r"^(?i:whatsapp|rcs|sms):")
_SET_APART = re.compile(r"[^0-9]")
_TRUNK = re.compile(r"([^(]*)\( *0 *\)")
_TEXTS = frozenset({"sms", "rcs", "whatsapp"})


class _Spelling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a country writes one phone in two ways, `phone` and `other`: a line of `phones.toml`."""

    country: str
    phone: str
    other: str
    where: dict[str, str]

    def pattern(self, template: str) -> re.Pattern[str]:
        groups = {name: f"(?P<{name}>{digits})" for name, digits in self.where.items()}
        return re.compile(template.replace("+", r"\+").format(**groups))


class _Drama(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Numbers that a regulator keeps for films and books: a line of `phones.toml`."""

    country: str
    numbers: str


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`phones.toml`."""

    spelling: tuple[_Spelling, ...]
    drama: tuple[_Drama, ...]


_FACTS = msgspec.toml.decode(files("verify_service").joinpath("phones.toml").read_bytes(), type=_Facts)
_SPELLINGS = [(each, each.pattern(each.phone), each.pattern(each.other)) for each in _FACTS.spelling]

# Ends that a number of any plan may have: what tells its kinds apart stands before.
_ENDS = ("1234567890123", "0" * 13, "5" * 13, "9" * 13)


def parse(to: str, region: str | None, *, drama: bool = False) -> Number:
    """A number that exists in its country's plan, read as libphonenumber reads what people write.

    `to` is international, with `+`, or as it is dialled in `region`, an ISO 3166 code: national, or `00` and the
    country code. Spaces, dashes, dots, slashes, brackets, a trunk `(0)`, `tel:` and characters that cannot be seen are
    taken away; digits may be of any script. Letters, extensions and a second number are not. Raises InvalidNumber
    (`not-a-number`, `impossible`) or InvalidRequest for an unknown region. With `drama`, what a regulator keeps for
    films is a number too: its line type is `unknown`.
    """
    if region is not None and region not in REGIONS:
        raise InvalidRequest("region", "is not an ISO 3166 country code with a numbering plan, such as US")
    if region is None and _E164.fullmatch(to):
        return _parse(to, None, drama)
    found = _WRITTEN.fullmatch(plain(to))
    if not found:
        raise InvalidNumber("not-a-number", "A number has digits, spaces and + ( ) - . / only, and no extension.")
    if not found[1] and region is None:
        raise InvalidNumber("not-a-number", "Write the number with + and its country code, or send its `region` too.")
    refused = None
    for reading in _readings(*found.groups()):
        try:
            return _parse(reading, None if reading.startswith("+") else region, drama)
        except InvalidNumber as error:
            if refused is None or error.members["reason"] == "impossible":
                refused = error
    raise refused or InvalidNumber("not-a-number", "There are no digits in this number.")


def _readings(plus: str, written: str) -> Iterator[str]:
    """What a number may mean: first as it stands, where libphonenumber takes a trunk zero away and keeps one that is
    the number's (Italy's); then without a zero in brackets."""
    trunk = _TRUNK.match(written)
    rest = [written[: trunk.end(1)] + written[trunk.end() :]] if trunk and _begins(plus, trunk[1]) else []
    for text in (written, *rest):
        digits = _SET_APART.sub("", text)
        if digits:
            yield plus + digits
        if not plus and digits.startswith("00"):
            yield "+" + digits[2:]


def _begins(plus: str, written: str) -> bool:
    """Whether nothing of the number itself stands there yet: no more than a country code."""
    digits = _SET_APART.sub("", written)
    code = digits if plus else digits.removeprefix("00")
    return not digits or ((plus != "" or code != digits) and code in numbering.COUNTRY_CODES)


def sender(address: str, regions: Iterable[str] = (), *, national: bool = False) -> Number | None:
    """Whose phone a text came from, as vendors write it: with `+`, `00` or neither, with `whatsapp:` in front.

    What cannot be international, or is said to be `national`, is read as it is dialled in the one of the regions where
    it is somebody's number. None for a short code or a name, and where it would be another phone in another region.
    """
    found = _WRITTEN.fullmatch(_VENDORS.sub("", plain(address)))
    digits = _SET_APART.sub("", found[2]) if found else ""
    if not found or not digits:
        return None
    if not national:
        with suppress(InvalidNumber):
            return _parse(f"+{digits.removeprefix('00')}", None)
        if found[1] and not digits.startswith("0"):
            return None
    read = {}
    for region in REGIONS.intersection(regions):
        with suppress(InvalidNumber):
            number = parse(digits, region)
            read[number.e164] = number
    return read.popitem()[1] if len(read) == 1 else None


@lru_cache(maxsize=4096)
def spellings(e164: str) -> tuple[str, ...]:
    """All that the phone of a number is written like, whether or not it exists; first what it is known by."""
    for rule, phone, other in _SPELLINGS:
        if found := phone.fullmatch(e164):
            return e164, rule.other.format(**found.groupdict())
        if found := other.fullmatch(e164):
            return rule.phone.format(**found.groupdict()), e164
    return (e164,)


def identity(e164: str) -> str:
    """The one spelling that a phone is known by, whichever came. Every pseudonym is made of it (`codes.Tagger`)."""
    return spellings(e164)[0]


@lru_cache(maxsize=4096)
def formerly(e164: str) -> tuple[str, ...]:
    """The other spellings of a phone that are numbers too: by these it was known to earlier versions."""
    return tuple(each for each in spellings(e164)[1:] if numbering.read(each, None).line_type != UNKNOWN)


def dialled(e164: str, channel: str) -> str:
    """The spelling that a channel wants: texts go to what the phone is known by, a call to what was asked for."""
    return identity(e164) if channel in _TEXTS else e164


@lru_cache(maxsize=4096)
def prefix_of(e164: str) -> str:
    """`Number.prefix` of what begins like the number, whether or not such a number exists."""
    try:
        return _prefix(numbering.read(identity(e164), None))
    except numbering.NotANumber:
        return e164[:6]


def _prefix(found: numbering.Found) -> str:
    return f"+{found.code}{found.national[:3]}"


@lru_cache(maxsize=4096)
def country_of(begun: str) -> str:
    """The country of the numbers that begin so, E.164 without its end: of the first that exists, ZZ where none does."""
    for length in range(8, 16):
        for end in _ENDS:
            with suppress(InvalidNumber):
                return _parse(begun + end[: max(0, length - len(begun))], None).country
    return "ZZ"


def startable(pattern: str) -> bool:
    """Whether a pattern of test numbers, E.164 with or without a `*` at its end, names any number that a start can be
    for. Of what follows the pattern three digits are tried out, which is as deep as plans go."""
    begun, _, _ = pattern.partition("*")
    if begun == pattern:
        return _is_written(pattern)
    return any(
        _is_written(f"{begun}{middle:0{width}d}{end[:length]}")
        for width in range(4)
        for middle in range(10**width)
        for length in (range(len(_ENDS[0])) if width == 3 else (0,))
        for end in _ENDS
        if 7 <= len(begun) - 1 + width + length <= 15
    )


def _is_written(e164: str) -> bool:
    try:
        return e164 in spellings(parse(e164, None, drama=True).e164)
    except InvalidNumber:
        return False


@lru_cache(maxsize=4096)
def _parse(to: str, region: str | None, drama: bool = False) -> Number:
    try:
        if region is None and not _E164.fullmatch(to):
            raise numbering.NotANumber(0, "")
        found = numbering.read(to, region)
    except numbering.NotANumber:
        raise InvalidNumber("not-a-number", "This is not a phone number of any country.") from None
    # A line type that is unknown is exactly "not valid", so one look at the plan answers both questions.
    e164 = found.e164
    if found.line_type == UNKNOWN:
        if (known := identity(e164)) != e164:
            return _parse(known, None)
        if drama and (kept := next((each for each in _FACTS.drama if re.fullmatch(each.numbers, e164)), None)):
            return Number(e164, kept.country, prefix_of(e164), UNKNOWN)
        raise InvalidNumber("impossible", "No such number exists in this country's numbering plan.")
    return Number(
        e164=e164,
        country="ZZ" if found.region in (None, numbering.NO_REGION) else found.region,
        prefix=_prefix(found) if identity(e164) == e164 else prefix_of(e164),
        line_type=found.line_type,
    )
