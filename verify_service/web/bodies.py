"""Request bodies: read whole, typed and judged, with an error that names the field."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from flask import request
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from verify_service import addresses, typed
from verify_service.errors import InvalidRequest
from verify_service.web.problems import MOST_BYTES

_FORMS = {
    "region": "two capital letters, such as US",
    "purpose": "1 to 32 lower-case letters, digits and . _ -, beginning with a letter or digit",
    "locale": "a language tag, such as en or pt-BR",
    "device": "1 to 128 characters, no control characters among them",
    "keys": "a map from names (1 to 32 of a-z, 0-9 and _) to 1 to 256 characters, no control characters among them",
    "user": "1 to 256 characters, no / and no control characters among them",
    "state": "text of at most 512 characters, no control characters among them",
    "app_hash": "the 11 characters of an Android app hash",
    "origin": "a host name, such as login.example.com",
    "to": "a number in E.164, such as +14155550123, an email address, or a pattern of either with *",
    "provider": "the name of a provider: lower-case letters, digits and hyphens",
    "body": "text without control characters",
    "label": "1 to 64 characters, no control characters and no colon among them",
    "issuer": "1 to 64 characters, no control characters and no colon among them",
    "source": "1 to 32 lower-case letters, digits and hyphens, such as web-form",
}

B = TypeVar("B")
_WHERE = re.compile(r" - at `(?:key` in `)?\$\.?([^`]*?)(?:\[\.\.\.\])?`$")
_NAMED = re.compile(r"(?:unknown|required) field `(.*?)`")


def media_type() -> str:
    """What the request says that its body is, in lower case and without parameters."""
    said: str = request.environ.get("CONTENT_TYPE", "")
    return said.partition(";")[0].strip().lower()


def read(decoder: "msgspec.json.Decoder[B]", most: int = MOST_BYTES) -> B:
    """The request's body. Raises InvalidRequest naming the field; 413 and 415 by their own exceptions."""
    if media_type() != "application/json":
        raise UnsupportedMediaType("Send JSON, with the header `Content-Type: application/json`.")
    body = raw(most)
    try:
        found = decoder.decode(body)
        _unique_names.raw_decode(body.decode().lstrip())
    except msgspec.ValidationError as error:
        raise _all_errors(decoder.type, body) or _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest("", f"the body is not JSON: {error}") from None
    except RecursionError:
        raise InvalidRequest("", "the body is nested too deeply") from None
    return found


def converted(kind: type[B], given: Mapping[str, Any]) -> B:
    """What a body of another form says, typed. Raises InvalidRequest naming the field."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None


def text(kinds: Sequence[str], most: int) -> str:
    """The request's body, of one of these media types, as it is. Raises as `read` does, and InvalidRequest where no
    Content-Length says how long it is: a text that breaks off may still be read, and mean something else."""
    if media_type() not in kinds:
        raise UnsupportedMediaType(f"Send the header `Content-Type: {kinds[0]}`, or JSON as `application/json`.")
    if _length(request.environ) is None:
        raise InvalidRequest("", "comes without the header `Content-Length`; send it, or JSON")
    try:
        return raw(most).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("", f"the body is not UTF-8: {error.reason}") from None


def raw(most: int) -> bytes:
    """The request's body, of whatever kind it is. Raises 413, and 415 for a compressed one, by their own exceptions,
    InvalidRequest for a part of one.

    A view asks for it before it changes anything: one whose body is still on its way is run again when that is there.
    """
    environ = request.environ
    if environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the body as it is, without Content-Encoding: a compressed one is not read.")
    length = _length(environ)
    if length is None or length <= most:
        body: bytes = environ["wsgi.input"].read(most + 1 if length is None else length)
        if length not in (None, len(body)):
            raise InvalidRequest("", "the body ends before its Content-Length")
        if len(body) <= most:
            return body
    raise RequestEntityTooLarge(f"A body here may have {most} bytes at most.")


def _length(environ: Mapping[str, Any]) -> int | None:
    """What the head says of the body's length; None of one that comes in chunks."""
    said = "" if "HTTP_TRANSFER_ENCODING" in environ else environ.get("CONTENT_LENGTH", "")
    return int(said) if said.isdecimal() else None


def _named_once(pairs: list[tuple[str, Any]]) -> None:
    """Whatever reads a body on its way here must read the same number in it, so no name may stand twice."""
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise InvalidRequest(next(name for name in names if names.count(name) > 1), "stands twice")


_unique_names = json.JSONDecoder(object_pairs_hook=_named_once)


def _all_errors(kind: Any, body: bytes) -> InvalidRequest | None:
    """Every field at fault, each judged alone; None where the body as a whole is at fault."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(given, dict):
        return None
    # As the body declares them, whatever it has from a class that is shared.
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    fields = {known[name].encode_name: known[name] for name in kind.__annotations__ | known}
    found = [(name, "is not a field of this call") for name in given if name not in fields]
    for name, field in fields.items():
        if name not in given:
            if field.required:
                found.append((name, "is required"))
            continue
        try:
            msgspec.convert(given[name], field.type)
        except msgspec.ValidationError as error:
            found.append(_explained(str(error), name))
    return InvalidRequest(*found[0], found[1:]) if found else None


def _invalid(message: str) -> InvalidRequest:
    return InvalidRequest(*_explained(message, ""))


def _explained(message: str, field: str) -> tuple[str, str]:
    """(field, what is wrong with it in a person's words) from msgspec's message about what stands at `field`."""
    where = _WHERE.search(message)
    named = _NAMED.search(message)
    inner = where[1] if where else ""
    if inner and field:
        inner = f"{field}{inner}" if inner.startswith("[") else f"{field}.{inner}"
    field = inner or field
    if named:
        field = f"{field}.{named[1]}" if field else named[1]
        return field, "is not a field of this call" if "unknown" in message else "is required"
    if "matching regex" in message and (form := _FORMS.get(re.split(r"[.\[]", field)[-1])):
        return field, f"is {form}"
    return field, _WHERE.sub("", message).replace("Expected", "should be", 1).replace(", got", ", not")


def code(written: str) -> str:
    """The digits of a code as a person typed or pasted it. Raises InvalidRequest."""
    found = typed.code(written)
    if not re.fullmatch("[0-9]{4,10}", found):
        raise InvalidRequest("code", "is 4 to 10 digits, between which there may be spaces and dashes")
    return found


def address(ip: str | None) -> str | None:
    """An IP address as it was sent. Raises InvalidRequest."""
    if ip is not None:
        try:
            if "%" in ip:
                raise ValueError
            addresses.counted(ip)
        except ValueError:
            raise InvalidRequest("ip", "is not an IPv4 or IPv6 address") from None
    return ip
