"""`otpauth://` URIs of other systems, read as they are met.

By Google Authenticator's "Key Uri Format" (github.com/google/google-authenticator/wiki/Key-Uri-Format), and beyond it:
an issuer that differs between label and parameter, as Microsoft writes it, a bare `issuer`, a secret in groups, in
lower case or padded. pyotp's own reader refuses some of these.
"""

import base64
import binascii
import re
from urllib.parse import parse_qsl, unquote, urlsplit

from verify_service.authenticators import DIGITS, PERIOD, Algorithm, Authenticator, Kind
from verify_service.model import Frozen

SHORTEST = 10
"""Bytes of a secret: the 80 bits that many systems gave out for years."""
LONGEST = 128
"""The block of SHA-512: what is longer is hashed to less."""

_MOST = 4096
_BETWEEN = re.compile(r"[\s-]")
_KINDS: dict[str, Kind] = {"totp": "totp", "hotp": "hotp"}
_ALGORITHMS: dict[str, Algorithm] = {"SHA1": "SHA1", "SHA256": "SHA256", "SHA512": "SHA512"}
_WHOLE = re.compile(r"[0-9]{1,15}")


class Unreadable(ValueError):
    """What is no factor of ours. Says what to do, and nothing of what was read."""


class Found(Frozen, frozen=True):
    """What a URI says: the factor, its names, and of a `hotp` the counter of its next code."""

    factor: Authenticator
    label: str
    issuer: str
    counter: int


def read(uri: str) -> Found:
    """The factor of a URI. Raises Unreadable."""
    if len(uri) > _MOST:
        raise Unreadable(f"the URI is longer than {_MOST} characters")
    try:
        parts = urlsplit(uri.strip())
        pairs = parse_qsl(parts.query, keep_blank_values=True, errors="strict", max_num_fields=32)
        name = unquote(parts.path.removeprefix("/"), errors="strict")
    except ValueError:
        raise Unreadable("the URI is not written in percent-encoded UTF-8; write it as otpauth://totp/…") from None
    if parts.scheme != "otpauth":
        migrating = parts.scheme == "otpauth-migration"
        fix = "that is one app's own export; write each of its entries as" if migrating else "it does not begin as"
        raise Unreadable(f"{fix} otpauth://totp/… or otpauth://hotp/…")
    kind = _KINDS.get(parts.netloc.lower())
    if kind is None:
        raise Unreadable("the URI's type is neither totp nor hotp, which are what can be checked here")
    said = {key.lower(): value.strip() for key, value in pairs}
    if len(said) < len(pairs):
        raise Unreadable("a parameter stands twice; leave in the one that is meant")
    if said.get("encoder"):
        raise Unreadable("its codes have an encoder of their own, such as Steam's letters: enrol this user anew")
    issuer, colon, label = name.partition(":")
    if not colon:
        issuer, label = "", name
    factor = Authenticator(
        kind=kind,
        secret=secret(said.get("secret", "")),
        digits=_number(said, "digits", "6", *DIGITS),
        period=_number(said, "period", "30", *PERIOD),
        algorithm=_algorithm(said.get("algorithm") or "SHA1"),
    )
    return Found(factor, label.strip(), said.get("issuer") or issuer.strip(), _counter(said) if kind == "hotp" else 0)


def secret(text: str) -> bytes:
    """The bytes of a secret, however its base32 (RFC 4648) is grouped, cased or padded. Raises Unreadable."""
    plain = _BETWEEN.sub("", text).rstrip("=").upper()
    if not plain:
        raise Unreadable("there is no secret; write secret=… in base32")
    if len(plain) % 8 in (1, 3, 6):
        raise Unreadable("the secret is cut off: base32 has no text of this length")
    try:
        found = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except (binascii.Error, ValueError):
        raise Unreadable("the secret is not base32 (A to Z, 2 to 7); convert hexadecimal or base64") from None
    if not SHORTEST <= len(found) <= LONGEST:
        raise Unreadable(
            f"the secret has {len(found) * 8} bits, not {SHORTEST * 8} to {LONGEST * 8}: enrol this user anew"
        )
    return found


def _algorithm(text: str) -> Algorithm:
    """SHA-1, HmacSHA1 and sha1 are one."""
    found = _ALGORITHMS.get(text.upper().replace("-", "").removeprefix("HMAC"))
    if found is None:
        raise Unreadable("the algorithm is none of SHA1, SHA256 and SHA512: enrol this user anew")
    return found


def _number(said: dict[str, str], name: str, default: str, least: int, most: int) -> int:
    text = said.get(name) or default
    if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise Unreadable(f"{name} is no whole number from {least} to {most}: enrol this user anew")
    return int(text)


def _counter(said: dict[str, str]) -> int:
    if not said.get("counter"):
        raise Unreadable("a hotp needs counter=…, of its next code: without it old codes would be right again")
    return _number(said, "counter", "", 0, 10**15)
