"""Whom a code is for, as a caller writes it: a phone number, or an email address, where there is an @ in it."""

from contextlib import suppress
from functools import lru_cache

import email_validator
from email_validator import EmailNotValidError, validate_email

from verify_service import mailbox, phone
from verify_service.errors import InvalidNumber, InvalidRequest
from verify_service.model import Number

EMAIL = "email"
_ENCODED = "=?"
# Names that no mail on the internet reaches (RFC 6761, 6762), but tests and mail servers in a house do.
_HOUSE = ("test", "local")
email_validator.SPECIAL_USE_DOMAIN_NAMES = [
    name for name in email_validator.SPECIAL_USE_DOMAIN_NAMES if name not in _HOUSE
]


def masked(to: str) -> str:
    """As much of a number or address as its owner needs to know it, and nobody else learns."""
    mailbox, at, domain = to.rpartition("@")
    return f"{mailbox[:1]}•••@{domain}" if at else f"•••{to[-2:]}"


def parse(to: str, region: str | None, *, drama: bool = False) -> Number:
    """The recipient. A number is what `phone.parse` takes, `drama` included.

    An email address is the mailbox and its domain, the latter in lower case and in ASCII (IDNA 2008); no name, quotes,
    comments or IP address, no domain that is set apart for no mail at all (`.invalid`, `.localhost`, `.onion`), and no
    beginning of an encoded word (RFC 2047), which would be read as other addresses. The mailbox must be ASCII and stays
    as it was written, and gets the message so, whatever else it is known by (`identity`). Raises InvalidNumber, or
    InvalidRequest for a bad region.
    """
    if "@" not in to:
        return phone.parse(to, region, drama=drama)
    if region is not None:
        raise InvalidRequest("region", "goes with a national number, not with an email address")
    return _email(to)


def channel(number: Number, asked: str | None) -> str:
    """The channel that was asked for, or the recipient's own. Raises InvalidRequest where it does not lead there."""
    found = asked if asked is not None else EMAIL if number.is_email else "sms"
    if (found == EMAIL) != number.is_email:
        takes = "an email address takes email alone" if number.is_email else "email needs an email address in `to`"
        raise InvalidRequest("channel", takes)
    return found


def identity(to: str) -> str:
    """What whoever has the number or email address is known by, however it was written."""
    return mailbox.identity(to) if "@" in to else phone.identity(to)


def known(number: Number) -> Number:
    """The phone's number in the spelling that it is known by; an email address stays as it was written."""
    same = phone.identity(number.e164)
    with suppress(InvalidNumber):  # A plan may have the one spelling and not the other.
        return number if same == number.e164 else phone.parse(same, None)
    return number


def formerly(to: str) -> tuple[str, ...]:
    """What they were known by to earlier versions, beside it: an opt-out under such a name is in force still."""
    if "@" not in to:
        return phone.formerly(to)
    return (to.lower(),) if identity(to) != to.lower() else ()


@lru_cache(maxsize=4096)
def _email(to: str) -> Number:
    try:
        if _ENCODED in to:
            raise EmailNotValidError
        found = validate_email(to, check_deliverability=False, allow_smtputf8=False, strict=True)
    except EmailNotValidError:
        # Its own words may quote the address.
        raise InvalidNumber("not-a-number", "This is no email address that a code could be sent to.") from None
    return Number(e164=found.ascii_email or "", country="", prefix="", line_type=EMAIL)
