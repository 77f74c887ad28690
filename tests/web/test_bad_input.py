"""Input that does not fit: a clear problem that names the field, and nothing spent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.contract import Contract, contract

pytestmark = pytest.mark.slow

TO = "+14155550123"
ID = "ve_" + "0" * 32
START: dict[str, Any] = {"to": TO}
CHECK: dict[str, Any] = {"id": ID, "code": "000000"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with contract(tmp_path_factory.mktemp("input")) as found:
        yield found


NOT_A_BINDING: tuple[Any, ...] = ("x", 1, ["x"], {"x": 1}, {"x": None}, {"x": {"y": "z"}})
NOT_TEXTS: tuple[Any, ...] = (1, None, [], "")
NOT_RULES: tuple[Any, ...] = ("x", None, {}, 1)
NOT_SECONDS: tuple[Any, ...] = ("1", None, True, [1], 0, -1, 31_536_001)
WRONG_TYPES: list[tuple[str, str, dict[str, Any], str]] = [
    *(
        ("POST", "/start", {**START, field: value}, field)
        for field in ("to", "region", "channel", "purpose", "locale", "ip", "device", "app_hash", "origin", "user")
        for value in (1, 1.5, True, ["x"], {"x": "y"})
    ),
    *(("POST", "/start", {**START, name: value}, name) for name in ("binding", "keys") for value in NOT_A_BINDING),
    *(
        ("POST", "/check", {**CHECK, field: value}, field)
        for field in ("id", "code", "to", "region", "purpose", "ip")
        for value in (1, True, ["x"], {"x": "y"})
    ),
    *(("POST", "/check", {**CHECK, "binding": value}, "binding") for value in NOT_A_BINDING),
    *(("POST", "/fake/clock", {"advance": value}, "advance") for value in NOT_SECONDS),
    *(("PUT", "/fake/behaviour", {"rules": value}, "rules") for value in NOT_RULES),
    ("PUT", "/fake/behaviour", {"rules": ["x"]}, "rules[0]"),
    ("PUT", "/fake/behaviour", {"rules": [{"to": "*", "do": "accept"}, {"to": "*", "do": "dance"}]}, "rules[1].do"),
    ("PUT", "/fake/behaviour", {"rules": [{"to": "*"}]}, "rules[0].do"),
    ("PUT", "/fake/behaviour", {"rules": [{"to": "*", "do": "slow", "delay_ms": -1}]}, "rules[0].delay_ms"),
    ("PUT", "/fake/behaviour", {"rules": [{"to": "*", "do": "slow", "delay": 1}]}, "rules[0].delay"),
    *(
        ("POST", "/fake/inbound", {"from": TO, "to": "Verify", "body": "STOP", field: value}, field)
        for field in ("from", "to", "body")
        for value in NOT_TEXTS
    ),
]

WRONG_FORMS: list[tuple[str, dict[str, Any], str]] = [
    ("/start", {}, "to"),
    ("/start", {"to": None}, "to"),
    ("/start", {"to": ""}, "to"),
    ("/start", {"to": "+" + "1" * 254}, "to"),
    ("/start", {**START, "phone": "x"}, "phone"),
    ("/start", {**START, "To": TO}, "To"),
    *(("/start", {**START, "region": value}, "region") for value in ("us", "USA", "", "U1", "XX", "ZZ", "US\n")),
    *(("/start", {**START, "channel": value}, "channel") for value in ("", "SMS", "fax", "x" * 33)),
    *(("/start", {**START, "purpose": value}, "purpose") for value in ("", "Log In", "a" * 33, "a:b", "a\n", "é")),
    *(("/start", {**START, "locale": value}, "locale") for value in ("", "e", "english please", "en\n", "a" * 36)),
    *(
        ("/start", {**START, "ip": value}, "ip")
        for value in ("", "x", "1.2.3", "1.2.3.4/24", "01.2.3.4", "fe80::1%eth0", "1.2.3.4\n", "١.٢.٣.٤", "1" * 46)
    ),
    *(("/start", {**START, "device": value}, "device") for value in ("", "two\nlines", "nul\0", "x" * 129, "\x9f")),
    *(("/start", {**START, "user": value}, "user") for value in ("", "two\nlines", "nul\0", "x" * 257, "\x9f", "a/b")),
    *(("/start", {**START, "binding": value}, "binding") for value in ({"": "x"}, {"x" * 65: "x"}, {"x": "y" * 257})),
    ("/start", {**START, "binding": {str(count): "x" for count in range(17)}}, "binding"),
    *(
        ("/start", {**START, "keys": {name: value}}, "keys")
        for name, value in (
            *((name, "x") for name in ("", "Account", "an account", "key:account", "a-b", "é", "a\n", "a" * 33)),
            *(("account", value) for value in ("", "x" * 257, "two\nlines", "nul\0", "\x9f")),
        )
    ),
    ("/start", {**START, "keys": {f"k{count}": "x" for count in range(6)}}, "keys"),
    *(("/start", {**START, "app_hash": value}, "app_hash") for value in ("", "short", "FA+9qCX9VSu\n", "FA-9qCX9VSu")),
    *(
        ("/start", {**START, "origin": value}, "origin")
        for value in ("", "https://login.example.com", "a..b", "a b", "-a.com", "a" * 64, "a.com\n", "a.com:443")
    ),
    ("/check", {}, "code"),
    ("/check", {"code": "000000"}, "id"),
    ("/check", {"id": ID}, "code"),
    ("/check", {**CHECK, "to": TO}, "to"),
    ("/check", {**CHECK, "purpose": "login"}, "purpose"),
    ("/check", {**CHECK, "region": "US"}, "region"),
    ("/check", {**CHECK, "try": 1}, "try"),
    *(("/check", {**CHECK, "id": value}, "id") for value in ("", "v" * 65)),
    *(
        ("/check", {**CHECK, "code": value}, "code")
        for value in (
            "",
            "123",
            "1" * 11,
            "12 3",
            "1 2 3 4 5 6 7 8 9 0 1",
            "+12345",
            "12345a",
            "12345６O",
            "12.3456",
            "12345\x006",
            "12345\x1b6",
            "②③④⑤⑥",
            "1e5",
            "1" * 65,
            "1" + " " * 64,
        )
    ),
    ("/check", {**CHECK, "ip": "1.2.3.4.5"}, "ip"),
]

NOT_JSON: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("a word", b"to"),
    ("NaN", b'{"to": NaN}'),
    ("Infinity", b'{"to": -Infinity}'),
    ("half", b'{"to": "+14155550123"'),
    ("two", b'{"to": "+14155550123"}{}'),
    ("single quotes", b"{'to': '+14155550123'}"),
    ("a comment", b'{"to": "+14155550123" /* x */}'),
    ("invalid UTF-8", b'{"to": "\xff\xfe"}'),
    ("an overlong form", b'{"to": "\xc0\xab14155550123"}'),
    ("a surrogate in UTF-8", b'{"to": "\xed\xa0\x80"}'),
    ("a lone surrogate", b'{"to": "\\ud800"}'),
    ("a raw NUL", b'{"to": "+1415555\x000123"}'),
    ("UTF-16", '{"to": "+14155550123"}'.encode("utf-16")),
    ("a byte order mark", b'\xef\xbb\xbf{"to": "+14155550123"}'),
    ("a form", b"to=%2B14155550123"),
]

NOT_NUMBERS = [
    "++14155550123",
    "+04155550123",
    "+",
    "+1",
    "+1415555",
    "+14155550123456",
    "+" + "1" * 16,
    "+1415555012x",
    "+1415FLOWERS",
    "+14155550123x5",
    "+14155550123;ext=5",
    "+1 415 555 0123 ext. 5",
    "+1 415 555 0123 #5",
    "+1 415 555 0123,,5",
    "+1 415 555 0123 / +1 415 555 0124",
    "+14155550123, +14155550124",
    "tel:+14155550123;ext=5",
    "tel:555-0123;phone-context=+1415",
    "tel:tel:+14155550123",
    "sms:+14155550123",
    "tel:%2B14155550123",
    "14155550123",
    "(415) 555-0123",
    "004915112345678",
    "+1415555\u00000123",
    "+1415555\x1b0123",
    "+1415555\n0123",
    "+①④①⑤⑤⑤⑤⓪①②③",
    "+1 415 555 012½",
    "()",
    "tel:",
    "null",
    "$(id)",
    "{0}:limit",
]


@pytest.mark.parametrize(("method", "path", "body", "field"), WRONG_TYPES)
def test_a_value_of_the_wrong_type_is_named(live: Contract, method: str, path: str, body: Any, field: str) -> None:
    """400 `invalid-request` whose `errors` names the field, down to the item of a list; nothing is spent."""
    problem = live.refused(method, path, json.dumps(body).encode())
    assert (problem["status"], problem["type"]) == (400, "/problems/invalid-request")
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(("path", "body", "field"), WRONG_FORMS)
def test_a_value_of_the_wrong_form_is_named(live: Contract, path: str, body: Any, field: str) -> None:
    """Missing, unknown, too long, of another alphabet: 400 naming the field, nothing is spent."""
    problem = live.refused("POST", path, json.dumps(body).encode())
    assert (problem["status"], problem["type"]) == (400, "/problems/invalid-request")
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in NOT_JSON])
def test_what_is_not_json_is_refused(live: Contract, body: bytes) -> None:
    """400 about the body as a whole."""
    problem = live.refused("POST", "/start", body)
    assert (problem["status"], problem["type"]) == (400, "/problems/invalid-request")
    assert [error["field"] for error in problem["errors"]] == [""]


@pytest.mark.parametrize("body", [b"null", b"1", b'"x"', b"[]", b"true", b"[" * 8000, b"[" * 8000 + b"]" * 8000])
def test_a_body_is_an_object(live: Contract, body: bytes) -> None:
    """Any other JSON is refused as a whole, however deep."""
    assert live.refused("POST", "/start", body)["errors"][0]["field"] == ""


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"to": "+14155550123", "binding": ' + b"[" * 8000 + b"]" * 8000 + b"}", "binding"),
        (b'{"to": "+14155550123", "binding": {"x": ' + b"[" * 7000 + b"]" * 7000 + b"}}", "binding"),
        (b'{"to": ' + b"[" * 10_000, "to"),
        (b'{"x":' * 3000 + b"1" + b"}" * 1000, "x"),
        (b'{"to": "+14155550123", "to": "+14155550124"}', "to"),
        (b'{"to": "+14155550123", "binding": {"amount": "1", "amount": "2"}}', "amount"),
        (b'{"to": "+14155550123", "\\u0074o": "+14155550124"}', "to"),
    ],
)
def test_deep_and_ambiguous_bodies_are_refused(live: Contract, body: bytes, field: str) -> None:
    """Ten thousand levels are as wrong as one, and a name that stands twice is not guessed at."""
    problem = live.refused("POST", "/start", body)
    assert (problem["status"], problem["errors"][0]["field"]) == (400, field)


@pytest.mark.parametrize("to", NOT_NUMBERS)
def test_what_is_not_a_number_is_refused(live: Contract, to: str) -> None:
    """422 `invalid-number` with its reason and the field, for start and check alike; nothing is spent."""
    for path, more in (("/start", {}), ("/check", {"code": "000000"})):
        problem = live.refused("POST", path, json.dumps({"to": to, **more}).encode())
        assert (problem["status"], problem["type"]) == (422, "/problems/invalid-number")
        assert problem["reason"] == ("impossible" if to in {"+1415555", "+14155550123456"} else "not-a-number")
        assert [error["field"] for error in problem["errors"]] == ["to"]


@pytest.mark.parametrize(
    "to",
    [
        *(
            "415-555-0123 ext 5",
            "+1415",
            "415 555 O123",
            "4155550123#",
            "4155550123,5",
            "415 555 0123 x5",
            "1-800-FLOWERS",
        ),
        *("4155550123 4155550124", "4155550123 or 4155550124", "4155550123\x00", "~4155550123", "()", "tel:"),
    ],
)
def test_a_national_number_is_one_number_of_digits(live: Contract, to: str) -> None:
    """With a region, too, letters, extensions and a second number are not guessed at."""
    problem = live.refused("POST", "/start", json.dumps({"to": to, "region": "US"}).encode())
    assert (problem["status"], problem["reason"]) == (422, "not-a-number")


@pytest.mark.parametrize("to", ["+19005550123", "+18005550123", "+449098790123"])
def test_a_line_that_is_never_texted_is_refused(live: Contract, to: str) -> None:
    """Premium-rate and toll-free lines are `line-type`."""
    problem = live.refused("POST", "/start", json.dumps({"to": to}).encode())
    assert (problem["status"], problem["reason"]) == (422, "line-type")
