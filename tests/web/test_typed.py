"""What people type: a number and a code in any spelling are the number and the code, and nothing is guessed at."""

import string
import unicodedata
from collections.abc import Sequence
from typing import Any

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.bench import Bench, ManualClock, wrong
from tests.support.contract import LocalClient, a_number
from verify_service import codes, phone, typed
from verify_service.errors import InvalidNumber
from verify_service.store import Store

NUMBERS = ["+14155550123", "+442079460018", "+4915112345678", "+393471234567", "+390669812345", "+2250707070707"]
# Digits end before the ideographs of the second plane.
ZEROS = [chr(code) for code in range(0x20000) if unicodedata.decimal(chr(code), None) == 0]
INVISIBLE = ["", *"\u200b\u200e\u200f\u202a\u202c\u2060\u2066\u2069\ufeff\u00ad\ufe00\ufe0f\U000e0100"]
SPACES = ["\x85", *(chr(code) for code in range(0x3001) if unicodedata.category(chr(code)) == "Zs")]
DASHES = ["-", "\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\u30fc", "\uff0d"]
BETWEEN = [
    "",
    *INVISIBLE,
    *SPACES,
    *DASHES,
    ".",
    "/",
    "(",
    ")",
    " (",
    ") ",
    "\uff0e",
    "\uff0f",
    "\uff08",
    "\uff09",
    "\t",
]


@given(st.sampled_from(NUMBERS), st.data())
def test_a_decorated_number_is_the_number(number: str, data: st.DataObject) -> None:
    """Whatever stands between the digits, and whatever script each is of, with a region or without."""

    def pick(parts: Sequence[Any]) -> Any:
        return data.draw(st.sampled_from(parts))

    digits = "".join(chr(ord(pick(ZEROS)) + int(digit)) + pick(BETWEEN) for digit in number[1:])
    # A zero in brackets is a trunk zero, which is another claim.
    text = (
        f"{pick(INVISIBLE)}{pick(['', 'tel:', 'TEL:'])}{pick(['', ' ', '('])}{pick(['+', '＋'])}{digits}{pick(SPACES)}"
    )
    text = text.replace("(", " ").replace("（", " ") if "0" in typed.plain(text) else text
    assert phone.parse(text, pick([None, "US", "DE"])).e164 == number


@pytest.mark.parametrize(
    ("written", "region", "e164"),
    [
        ("+1 (415) 555-0123", None, "+14155550123"),
        ("(+1) 415.555.0123", None, "+14155550123"),
        ("+(1)4155550123", None, "+14155550123"),
        ("tel:+1-415-555-0123", None, "+14155550123"),
        ("+44 (0)20 7946 0018", None, "+442079460018"),
        ("+44 ( 0 ) 20 7946 0018", None, "+442079460018"),
        ("+34 (0)612 34 56 78", None, "+34612345678"),
        ("+39 (0)6 698 12345", None, "+390669812345"),
        ("+39 (0)347 1234567", None, "+393471234567"),
        ("+39 (0)35 1234567", None, "+390351234567"),
        ("0039 (0)35 1234567", "DE", "+390351234567"),
        ("+1４１５٥٥٥०१२३", None, "+14155550123"),
        ("\u202a+1415\u200b5550123\u202c\n", None, "+14155550123"),
        ("(415) 555-0123", "US", "+14155550123"),
        ("415/555/0123", "US", "+14155550123"),
        ("٤١٥٥٥٥٠١٢٣", "US", "+14155550123"),
        ("(0)20 7946 0018", "GB", "+442079460018"),
        ("0044 20 7946 0018", "FR", "+442079460018"),
        ("00 44 (0)20 7946 0018", "FR", "+442079460018"),
        ("0044 20 7946 0018", "US", "+442079460018"),
        ("011 44 20 7946 0018", "US", "+442079460018"),
        ("+44 20 7946 0018", "US", "+442079460018"),
    ],
)
def test_a_number_is_read_as_it_is_written(written: str, region: str | None, e164: str) -> None:
    """International or as it is dialled in a region, with a trunk zero that is dropped or one that belongs to it."""
    assert phone.parse(written, region).e164 == e164


@given(
    st.sampled_from(NUMBERS),
    st.integers(0, 20),
    st.sampled_from(f"{string.ascii_letters}*#,;:~\x00\x07\x1b\x7f\x80\x84\x86①²½x"),
)
def test_a_number_with_anything_else_in_it_is_refused(number: str, place: int, foreign: str) -> None:
    """Letters are not dialled, an extension is not cut off, and a control character is no space."""
    with pytest.raises(InvalidNumber):
        phone.parse(number[:place] + foreign + number[place:], "US")


def test_every_digit_of_unicode_is_a_digit() -> None:
    """All that Unicode calls decimal, each with its value."""
    assert len(ZEROS) > 60
    for zero in ZEROS:
        assert typed.code("".join(chr(ord(zero) + value) for value in range(10))) == "0123456789"


@given(st.text(st.characters(codec="utf-8"), max_size=64))
def test_no_text_is_read_as_a_number_that_libphonenumber_denies(written: str) -> None:
    """Any text at all is a number that exists, in E.164, or InvalidNumber."""
    try:
        number = phone.parse(written, "DE")
    except InvalidNumber:
        return
    assert phonenumbers.is_valid_number(phonenumbers.parse(number.e164))


@pytest.fixture
def client(store: Store) -> LocalClient:
    return LocalClient(store, ManualClock())


def code_of(client: LocalClient, store: Store, started: dict[str, Any]) -> str:
    return Bench(store, client.keys, codes.Tagger(codes.new_key()), ManualClock(), client.service).code(started["id"])


@pytest.mark.parametrize(
    "spelling",
    [
        "{0} {1}",
        "{0}-{1}",
        "{0}–{1}",
        "\u200e{0}{1}\u200f",
        "\ufeff{0}\u00a0{1}\u2060",
        " {0}\t{1}\r\n",
        "{0}\u2011\u202f{1}",
        "\u2066{0}\u3000{1}\u2069",
        "{0}\x85{1}\x85",
        "{0}\ufe0f{1}\ufe0f",
    ],
)
@pytest.mark.parametrize("zero", ["0", "\u0660", "\u06f0", "\u0966", "\uff10"])
def test_a_code_is_right_however_it_is_written(client: LocalClient, store: Store, spelling: str, zero: str) -> None:
    """White space, dashes and marks that nobody sees are taken away, and digits may be of any script: the answer is the
    one to the plain code."""
    started = client.start(a_number())
    code = code_of(client, store, started)
    other = "".join(chr(ord(zero) + int(digit)) for digit in wrong(code))
    right = "".join(chr(ord(zero) + int(digit)) for digit in code)
    assert client.check(id=started["id"], code=spelling.format(other[:3], other[3:]))["checks_left"] == 4
    assert client.check(id=started["id"], code=spelling.format(right[:3], right[3:]))["approved"]


@pytest.mark.parametrize(
    "code", ["12345a", "", "123", "1234 5678 901", "12.3456", "1\x002345", "1\x842", "1" * 65, 123456, None, ["1234"]]
)
def test_what_is_no_code_spends_nothing(client: LocalClient, store: Store, code: Any) -> None:
    """400 that names the field, as often as one likes; the right code is still right, and all tries are left."""
    started = client.start(a_number())
    for _ in range(6):
        problem = client.refused("POST", "/check", {"id": started["id"], "code": code})
        assert (problem["status"], [error["field"] for error in problem["errors"]]) == (400, ["code"])
    right = client.check(id=started["id"], code=code_of(client, store, started))
    assert (right["approved"], right["checks_left"]) == (True, 5)


def test_the_answer_has_e164_whatever_was_typed(client: LocalClient) -> None:
    """Start says the number in E.164, and a check by number finds it under any other spelling."""
    to = a_number()
    started = client.start(f"tel:+1 ({to[2:5]}) {to[5:8]}–{to[8:]}")
    assert started["to"] == to
    found = client.check(to=f"({to[2:5]}) {to[5:8]} {to[8:]}", region="US", code="000 000")
    assert found["id"] == started["id"]


@pytest.mark.parametrize("path", ["//start", "/start/", "/./start", "/start//", "/START", "/../start"])
def test_a_path_is_exact(client: LocalClient, path: str) -> None:
    """No path of ours has a second spelling: 404, and no redirect."""
    answer = client.app.test_client().post(path, base_url="http://localhost", environ_overrides={"PATH_INFO": path})
    assert answer.status_code == 404
    assert b'"type":"/problems/not-found"' in answer.data
