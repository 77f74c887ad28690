"""What is kept of numbering plans says of every number what libphonenumber says."""

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from verify_service import numbering

KINDS = {value: name for name, value in vars(PhoneNumberType).items() if name.isupper() and isinstance(value, int)}
CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


def by_libphonenumber(to: str, region: str | None) -> tuple[str, str, str | None, str] | None:
    """(E.164, national digits, region, line type), or None where it reads no number."""
    try:
        parsed = phonenumbers.parse(to, region)
    except phonenumbers.NumberParseException:
        return None
    kind = KINDS[phonenumbers.number_type(parsed)].lower().replace("_", "-")
    national = phonenumbers.national_significant_number(parsed)
    e164 = phonenumbers.format_number(parsed, PhoneNumberFormat.E164)
    assert (kind != "unknown") == phonenumbers.is_valid_number(parsed)
    return e164, national, phonenumbers.region_code_for_number(parsed), kind


def by_us(to: str, region: str | None) -> tuple[str, str, str | None, str] | None:
    try:
        found = numbering.read(to, region)
    except numbering.NotANumber:
        return None
    return found.e164, found.national, found.region, found.line_type


def near(example: str) -> list[str]:
    """A number and others that differ from it by a digit, or have one more or less, or a zero or a one before."""
    spread = [example[:place] + digit + example[place + 1 :] for place in range(len(example)) for digit in "0159"]
    return [example, *spread, example[:-1], f"{example}3", f"0{example}", f"1{example}"]


@pytest.mark.parametrize("code", CODES)
def test_every_kind_of_number_of_every_plan_and_its_neighbours(code: int) -> None:
    """Libphonenumber's own examples, of each region and kind, and what lies beside them: international, and as they are
    dialled in the region."""
    for region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]:
        if region == numbering.NO_REGION:
            found = [phonenumbers.example_number_for_non_geo_entity(code)]
        else:
            found = [phonenumbers.example_number_for_type(region, kind) for kind in KINDS]
            found.append(phonenumbers.invalid_example_number(region))
        nationals = {phonenumbers.national_significant_number(each) for each in found if each}
        assert nationals
        for national in {each for known in nationals for each in near(known)}:
            to = f"+{code}{national}"
            assert by_us(to, None) == by_libphonenumber(to, None), to
            if region != numbering.NO_REGION:
                assert by_us(national, region) == by_libphonenumber(national, region), (national, region)


@given(st.sampled_from(CODES), st.text("0123456789", max_size=16))
@example(39, "0612345678")
@example(1, "15555550123")
@example(44, "")
def test_any_digits_after_any_country_code(code: int, national: str) -> None:
    """Also what is no number: too short, too long, of no plan."""
    assert by_us(f"+{code}{national}", None) == by_libphonenumber(f"+{code}{national}", None)


@given(st.text("0123456789", max_size=17), st.sampled_from([None, *sorted(numbering.REGIONS)]))
def test_any_digits_with_and_without_a_plus(digits: str, region: str | None) -> None:
    """In any region and in none."""
    for to in (digits, f"+{digits}"):
        assert by_us(to, region) == by_libphonenumber(to, region)


def test_line_types_are_libphonenumbers() -> None:
    """All that it knows, in our spelling."""
    assert {name.lower().replace("_", "-") for name in KINDS.values()} - {"unknown"} == numbering.LINE_TYPES
