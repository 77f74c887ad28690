"""`otpauth://` URIs: as the format has them, and as they are met."""

import base64
import hashlib
from typing import Any

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from verify_service import otpauth
from verify_service.authenticators import Authenticator
from verify_service.otpauth import Found, Unreadable

SECRET = "JBSWY3DPEHPK3PXP"
BYTES = b"Hello!\xde\xad\xbe\xef"
EXAMPLE: dict[str, Any] = {
    "kind": "totp",
    "label": "alice@example.com",
    "issuer": "Example",
    "algorithm": "SHA1",
    "digits": 6,
    "period": 30,
    "counter": 0,
}
PLAIN = f"otpauth://totp/Example:alice@example.com?secret={SECRET}"
names = st.text(st.characters(codec="utf-8", exclude_characters=":", exclude_categories=("Z", "C")), max_size=30)


@pytest.mark.parametrize(
    ("uri", "differs"),
    [
        (f"{PLAIN}&issuer=Example", {}),
        (f"otpauth://totp/Example%3A%20alice%40example.com?secret={SECRET}", {}),
        (f"OTPAUTH://TOTP/alice@example.com?issuer=Example&secret={SECRET.lower()}&digits=&period=&algorithm=", {}),
        (f" otpauth://totp/Other:alice@example.com?Secret={SECRET}&issuer=Example&image=https%3A%2F%2Fx&lock\n", {}),
        ("otpauth://totp/Example:alice@example.com?secret=jbsw+y3dp%20ehpk-3pxp&issuer", {}),
        (f"otpauth://totp/?secret={SECRET}%3D%3D%3D%3D%3D%3D", {"label": "", "issuer": ""}),
        (f"otpauth://totp/alice?secret={SECRET}======&issuer=Big+Corp", {"label": "alice", "issuer": "Big Corp"}),
        (f"otpauth://totp/B%C3%BCro%3Aa+b@c.example?secret={SECRET}", {"label": "a+b@c.example", "issuer": "Büro"}),
        (f"{PLAIN}&algorithm=HmacSHA256&period=60", {"algorithm": "SHA256", "period": 60}),
        (f"{PLAIN}&algorithm=sha-512&digits=8", {"algorithm": "SHA512", "digits": 8}),
        (f"{PLAIN.replace('totp', 'hotp')}&counter=41", {"kind": "hotp", "counter": 41}),
    ],
)
def test_a_uri_is_read_as_it_is_met(uri: str, differs: dict[str, Any]) -> None:
    """Names in the label or beside it, white space, case, groups, padding, empty and unknown parameters; what is not
    said is as the format has it."""
    found = otpauth.read(uri)
    assert found.factor.secret == BYTES
    assert plainly(found) == EXAMPLE | differs


def plainly(found: Found) -> dict[str, Any]:
    """What was read, but for the secret."""
    made = found.factor
    of_factor = {name: getattr(made, name) for name in ("kind", "algorithm", "digits", "period")}
    return of_factor | {"label": found.label, "issuer": found.issuer, "counter": found.counter}


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        (f"https://totp/a?secret={SECRET}", "does not begin as otpauth://"),
        (f"otpauth-migration://offline?data={SECRET}", "one app's own export"),
        (f"otpauth://steam/a?secret={SECRET}", "neither totp nor hotp"),
        (f"otpauth://totp/a?secret={SECRET}&encoder=steam", "enrol this user anew"),
        ("otpauth://totp/a?issuer=b", "there is no secret"),
        (f"otpauth://totp/a?secret={SECRET}&secret={SECRET}", "stands twice"),
        (f"otpauth://totp/a?secret={SECRET}A", "cut off"),
        (f"otpauth://totp/a?secret={SECRET[:-1]}1", "not base32"),
        (f"otpauth://totp/a?secret={SECRET[:-1]}é", "not base32"),
        (f"otpauth://totp/a?secret={SECRET[:8]}", "40 bits"),
        (f"otpauth://totp/a?secret={SECRET * 14}", "1120 bits"),
        (f"otpauth://totp/a?secret={SECRET}&algorithm=MD5", "none of SHA1"),
        (f"otpauth://totp/a?secret={SECRET}&digits=5", "digits"),
        (f"otpauth://totp/a?secret={SECRET}&digits=six", "digits"),
        (f"otpauth://totp/a?secret={SECRET}&period=0", "period"),
        (f"otpauth://hotp/a?secret={SECRET}", "counter"),
        (f"otpauth://hotp/a?secret={SECRET}&counter=-1", "counter"),
        (f"otpauth://totp/%ff?secret={SECRET}", "percent-encoded"),
        (f"otpauth://[totp/a?secret={SECRET}", "percent-encoded"),
        (f"otpauth://totp/{'a' * 4096}?secret={SECRET}", "longer than"),
    ],
)
def test_what_is_no_factor_says_what_to_do_and_not_the_secret(uri: str, says: str) -> None:
    """One sentence, in which nothing stands of what was read."""
    with pytest.raises(Unreadable) as refused:
        otpauth.read(uri)
    assert says in str(refused.value)
    assert SECRET[:6].lower() not in str(refused.value).lower()


@given(
    st.builds(
        Authenticator,
        kind=st.sampled_from(("totp", "hotp")),
        secret=st.binary(min_size=10, max_size=128),
        digits=st.integers(6, 8),
        period=st.integers(15, 120),
        algorithm=st.sampled_from(("SHA1", "SHA256", "SHA512")),
    ),
    names,
    names,
    st.integers(0, 10**12),
)
def test_what_is_written_is_read_again(made: Authenticator, label: str, issuer: str, counter: int) -> None:
    """Whatever the names and the secret: an export is an import. A counter is of a hotp alone, a period of a totp. And
    the codes are pyotp's, also of the 80 bits that it does not take."""
    found = otpauth.read(made.uri(label, issuer, counter))
    hotp = made.kind == "hotp"
    assert found.factor == (structs.replace(made, period=30) if hotp else made)
    assert (found.label, found.issuer, found.counter) == (label, issuer, counter if hotp else 0)
    # pyotp takes none below 112 bits; an HMAC's key is filled up with zeros anyway.
    theirs = pyotp.HOTP(
        base64.b32encode(made.secret.ljust(14, b"\0")).decode(),
        digits=made.digits,
        digest=getattr(hashlib, made.algorithm.lower()),
    )
    assert list(made.codes(counter, counter)) == [(counter, theirs.at(counter))]
