"""What stands in the path, the query and the headers of a native call."""

import re

from flask import request

from verify_service import recipient
from verify_service.errors import InvalidNumber, InvalidRequest

# A path that is not UTF-8 comes with U+FFFD in place of what could not be read: two such users would be one.
_USER = re.compile("[^\x00-\x1f\x7f-\x9f\ufffd]{1,256}")


def user(name: str) -> str:
    """A user's name in a path. Raises InvalidRequest."""
    if not _USER.fullmatch(name):
        raise InvalidRequest("user", "is 1 to 256 characters, no control characters and no / among them")
    return name


def after() -> str | None:
    """The id of the newest message that the caller has, or None. Raises InvalidRequest."""
    newest = request.args.get("after")
    if newest is not None and not re.fullmatch(r"[0-9A-Za-z_-]{1,64}", newest):
        raise InvalidRequest("after", "is the `id` of a message")
    return newest


def idempotency_key() -> str | None:
    """The Idempotency-Key header, or None. Raises InvalidRequest."""
    key = request.environ.get("HTTP_IDEMPOTENCY_KEY")
    if key is not None and not (1 <= len(key) <= 255 and all("!" <= char <= "~" for char in key)):
        raise InvalidRequest("Idempotency-Key", "is 1 to 255 visible ASCII characters")
    return key


def path_number(to: str, field: str = "to") -> str:
    """A number in a path or a text's sender: E.164, its + optional. Raises InvalidNumber naming the field."""
    number = to if to.startswith("+") else f"+{to}"
    if not re.fullmatch(r"\+[1-9][0-9]{6,14}", number):
        raise InvalidNumber("not-a-number", "Write the number in E.164, such as +14155550123.", field)
    return number


def path_recipient(to: str) -> str:
    """A number in a path as `path_number` takes it, or an email address. Raises InvalidNumber."""
    return recipient.parse(to, None).e164 if "@" in to else path_number(to)


def real_recipient(to: str) -> str:
    """A number in a path that exists in its country's plan, as E.164 has it, or an email address. Raises
    InvalidNumber."""
    try:
        return recipient.parse(to if "@" in to else path_number(to), None).e164
    except InvalidNumber as error:
        raise InvalidNumber(error.members["reason"], error.detail, "number") from None
