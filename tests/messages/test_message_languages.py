"""The shipped languages: whole, short, in the right plural, and safe to read from either side."""

import re
import unicodedata
from typing import get_args

import pytest

from verify_service import phone
from verify_service.messages import compose, notice, reply
from verify_service.messages.composing import TRANSACTIONS, sentences
from verify_service.messages.keywords import KINDS
from verify_service.messages.locales import Language, language, of_country, placeholders, shipped, tags
from verify_service.messages.measure import size
from verify_service.messages.plural import RULES
from verify_service.model import NoticeName

TAGS = list(tags().values())
EVERY = pytest.mark.parametrize("tag", TAGS)
CODE = "12345678"
LONG = "A" * 32  # The longest brand that verify.toml takes.
ELEVEN = "BrandEleven"
MINUTES = range(1, 1441)
NOTICES = get_args(NoticeName)


def parts(words: Language, purpose: str, brand: str) -> tuple[str, str, str]:
    values = {"code": CODE, "brand": brand, "minutes": "10", "life": words.life(10)}
    return sentences(words, purpose, values)


def test_there_are_forty_languages() -> None:
    """At least 25 were asked for; each tag is BCP 47 in its usual case."""
    assert len(TAGS) == 40
    assert all(re.fullmatch(r"[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?", tag) for tag in TAGS)


@EVERY
def test_placeholders_are_those_that_each_text_needs(tag: str) -> None:
    """The code and the brand once in each text of a code, the life time in its own, the brand in each reply."""
    words = language(tag)
    for text in (words.text.default, words.text.transaction):
        assert sorted(placeholders(text)) == ["brand", "code"]
    assert placeholders(words.text.life) == ["life"]
    assert placeholders(words.text.warning) == placeholders(words.text.ignore) == []
    for text in (words.title, words.replies.stop, words.replies.start, words.replies.help):
        assert placeholders(text) == ["brand"]


@EVERY
def test_the_page_says_everything_with_the_placeholders_of_the_english_one(tag: str) -> None:
    """No sentence is left out or empty, and each tells what the English one tells; a script from the right runs so."""
    page, english = language(tag).page, language("en").page
    assert {name: placeholders(getattr(page, name)) for name in page.__struct_fields__} == {
        name: placeholders(getattr(english, name)) for name in english.__struct_fields__
    }
    assert all(getattr(page, name).strip() for name in page.__struct_fields__)
    letters = {unicodedata.bidirectional(char) for char in page.title}
    assert language(tag).direction == ("rtl" if {"R", "AL"} & letters else "ltr")


@EVERY
def test_replies_name_the_words_that_work(tag: str) -> None:
    """Who is told START or STOP can write it: those words are understood everywhere."""
    answers = language(tag).replies
    assert ("START" in answers.stop, "STOP" in answers.start, "STOP" in answers.help) == (True, True, True)


@EVERY
@pytest.mark.parametrize("purpose", ["login", "payment"])
def test_a_text_is_one_segment(tag: str, purpose: str) -> None:
    """In seven bits whole, with the longest brand; else with a brand of eleven characters and the line against sharing,
    and for the default text whole."""
    words = language(tag)
    code, life, warning = parts(words, purpose, LONG)
    whole = size(words.join.join((code, life, warning)))
    if whole.encoding == "UCS-2":
        code, life, warning = parts(words, purpose, ELEVEN)
        kept = (code, life, warning) if purpose == "login" else (code, warning)
        whole = size(words.join.join(kept))
    assert whole.segments == 1


@EVERY
def test_what_is_sent_is_one_segment_with_any_brand(tag: str) -> None:
    """The longest brand that is allowed, and one in letters that take more room, of which a payment's text has room
    for eleven."""
    for purpose, most in (("login", 32), ("payment", 11)):
        for brand in (LONG, "Ж" * most):
            assert compose(purpose, "sms", tag, "US", CODE, brand, 10).segments == 1


@EVERY
@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_is_one_segment(tag: str, kind: str) -> None:
    """With the longest brand in seven bits, with eleven characters else."""
    found = reply(kind, LONG, tag)
    assert found.locale == tag
    assert (found if found.encoding == "GSM-7" else reply(kind, ELEVEN, tag)).segments == 1


@EVERY
@pytest.mark.parametrize("name", NOTICES)
def test_a_notice_is_one_segment(tag: str, name: str) -> None:
    """The same; it says the brand, and, in seven bits with any brand, what to do."""
    words = language(tag).notices
    happened = getattr(words, name)
    assert (placeholders(happened), placeholders(words.advice)) == (["brand"], [])
    found = notice(name, "sms", LONG, tag)
    assert found.locale == tag
    if found.encoding == "UCS-2":
        found = notice(name, "sms", ELEVEN, tag)
    assert (found.segments, bool(re.search(r"\d", found.body))) == (1, False)
    whole = f"{happened.replace('{brand}', LONG)} {words.advice}"
    if size(whole).encoding == "GSM-7":
        assert found.body == whole


@EVERY
def test_every_number_of_minutes_has_its_form(tag: str) -> None:
    """A form for each plural category that its rule can ask for, and none for others."""
    words = language(tag)
    assert {RULES[words.plural](count) for count in MINUTES} == set(words.minutes)
    assert all(words.life(count) for count in MINUTES)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("en", {1: "1 minute", 2: "2 minutes", 21: "21 minutes"}),
        ("fr", {1: "1 minute", 2: "2 minutes"}),
        ("ru", {1: "1 минуту", 2: "2 минуты", 5: "5 минут", 11: "11 минут", 21: "21 минуту", 22: "22 минуты"}),
        ("uk", {1: "1 хвилину", 3: "3 хвилини", 12: "12 хвилин", 111: "111 хвилин", 121: "121 хвилину"}),
        ("pl", {1: "1 minutę", 2: "2 minuty", 5: "5 minut", 21: "21 minut", 22: "22 minuty", 12: "12 minut"}),
        ("hr", {1: "1 minutu", 2: "2 minute", 5: "5 minuta", 21: "21 minutu", 12: "12 minuta"}),
        ("cs", {1: "1 minutu", 4: "4 minuty", 5: "5 minut", 22: "22 minut"}),
        ("ro", {1: "1 minut", 10: "10 minute", 20: "20 de minute", 101: "101 minute", 120: "120 de minute"}),
        ("ar", {1: "دقيقة واحدة", 2: "دقيقتين", 10: "10 دقائق", 11: "11 دقيقة", 100: "100 دقيقة", 103: "103 دقائق"}),
        ("he", {1: "דקה אחת", 10: "10 דקות"}),
        ("sw", {1: "dakika 1", 10: "dakika 10"}),
        ("ja", {1: "1分", 10: "10分"}),
    ],
)
def test_minutes_are_said_as_the_language_does(tag: str, said: dict[int, str]) -> None:
    """The plural rules of CLDR, at their edges."""
    assert {count: language(tag).life(count) for count in said} == said


@EVERY
def test_digits_are_ten_different_words(tag: str) -> None:
    """Nobody hears one digit for another."""
    digits = language(tag).voice.digits
    assert len(set(digits)) == 10
    assert all(word == word.strip() and not re.search(r"\d", word) for word in digits)


@EVERY
def test_texts_are_in_composed_form_and_without_marks(tag: str) -> None:
    """NFC, so that a letter is one unit; nothing invisible but the joiners that Persian spells with."""
    words = language(tag)
    notices = [getattr(words.notices, name) for name in words.notices.__struct_fields__]
    for text in (
        *parts(words, "login", "X"),
        *parts(words, "payment", "X"),
        words.replies.stop,
        words.replies.help,
        *notices,
    ):
        assert unicodedata.is_normalized("NFC", text)
        assert {char for char in text if unicodedata.category(char)[0] == "C"} <= {"\u200c"}


@pytest.mark.parametrize("tag", ["ar", "he", "fa", "ur"])
def test_a_text_from_right_to_left_is_laid_out_as_one(tag: str) -> None:
    """Its first strong letter turns the line, whatever script the brand is in, and the code's digits stay in one piece
    without marks: beside them are spaces and neutral signs only."""
    for purpose in ("login", "payment"):
        line = compose(purpose, "sms", tag, "US", CODE, "Acme", 10, None, "login.example.com").body.split("\n")[0]
        strong = next(way for char in line if (way := unicodedata.bidirectional(char)) in ("L", "R", "AL"))
        assert strong in ("R", "AL")
        before, after = re.split(CODE, line)
        assert before[-1:].strip() == ""
        assert re.match(r"[ .۔]", after)
    answers = language(tag).replies
    for text in (answers.stop, answers.start, answers.help):
        assert unicodedata.bidirectional(text[0]) in ("R", "AL")


@EVERY
def test_the_code_stands_alone(tag: str) -> None:
    """As a word of its own for whatever looks for it, and no other number of four digits beside it."""
    for purpose in ("login", "payment"):
        body = compose(purpose, "sms", tag, "US", CODE, "Acme", 10).body
        assert re.findall(r"\b\d{4,}\b", body) == [CODE]


@pytest.mark.parametrize(
    ("locale", "country", "tag"),
    [
        ("en", "DE", "en"),
        ("EN_gb", "DE", "en"),
        ("de-CH", "US", "de"),
        ("de_CH", "US", "de"),
        ("es-419", "US", "es"),
        ("pt", "US", "pt"),
        ("pt-BR", "US", "pt-BR"),
        ("PT_br", "US", "pt-BR"),
        ("pt-AO", "US", "pt"),
        ("zh", "US", "zh-Hans"),
        ("zh-CN", "US", "zh-Hans"),
        ("zh-SG", "US", "zh-Hans"),
        ("zh-TW", "US", "zh-Hant"),
        ("zh-HK", "US", "zh-Hant"),
        ("zh-Hant-CN", "US", "zh-Hant"),
        ("zh-Hans-HK", "US", "zh-Hans"),
        ("no", "US", "nb"),
        ("nn-NO", "US", "nb"),
        ("iw", "US", "he"),
        ("in-ID", "US", "id"),
        ("tl", "US", "fil"),
        ("sr-Latn-u-co-x-y", "FR", "fr"),
        ("de-x-private", "US", "de"),
        ("xx", "BR", "pt-BR"),
        ("xx", "ZZ", "en"),
        (None, "BR", "pt-BR"),
        (None, "TW", "zh-Hant"),
        (None, "FR", "fr"),
        (None, "CA", "en"),
        (None, "ZZ", "en"),
        ("", "JP", "ja"),
    ],
)
def test_the_nearest_language_is_chosen(locale: str | None, country: str, tag: str) -> None:
    """The locale's own, then more general; then the country's; then English. Never an error."""
    assert compose("login", "sms", locale, country, CODE, "Acme", 10).locale == tag


def test_every_country_has_a_shipped_language() -> None:
    """Of all that have numbers; the table names no country that has none."""
    assert {of_country(country) for country in phone.REGIONS} <= set(TAGS)
    assert all(shipped(of_country(country)) == of_country(country) for country in phone.REGIONS)


def test_a_purpose_has_its_words() -> None:
    """A payment says so; every other purpose has the default text."""
    said = {
        purpose: compose(purpose, "sms", "en", "US", "123456", "Acme", 10).body
        for purpose in ("login", "signup", *TRANSACTIONS)
    }
    whole = "123456 is your Acme code. It expires in 10 minutes. Do not share it with anyone."
    pay = "123456 is your Acme code to confirm a payment. It expires in 10 minutes. Do not share it with anyone."
    assert said == {"login": whole, "signup": whole, "transaction": pay, "payment": pay, "transfer": pay}
