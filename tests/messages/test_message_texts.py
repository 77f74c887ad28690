"""The text of one code, by channel; what an SMS ends with; what it gives up to stay one segment."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some

from verify_service.messages import NONE, Own, Text, compose, measure, notice, reply
from verify_service.messages.composing import compose_anew
from verify_service.messages.locales import fill, tags

HASH = "FA+9qCX9VSu"
HOST = "login.example.com"
ENGLISH = "123456 is your Acme code. It expires in 10 minutes. Do not share it with anyone."


def text(
    channel: str = "sms", locale: str = "en", purpose: str = "login", brand: str = "Acme", minutes: int = 10
) -> Text:
    return compose(purpose, channel, locale, "US", "123456", brand, minutes)


def test_an_sms() -> None:
    """The code first, then how long it lives, then not to share it."""
    assert text() == Text(ENGLISH, "en", "", "GSM-7", 1)
    assert text(minutes=1).body == ENGLISH.replace("10 minutes", "1 minute")


def test_a_call_says_each_digit_and_all_of_them_twice() -> None:
    """In words, with pauses, so that no voice makes one number of them."""
    said = "one, two, three, four, five, six"
    whole = f"Your Acme code: {said}. Once more: {said}. Do not share it with anyone."
    assert text("voice") == Text(whole, "en", "", "GSM-7", 1)
    assert "一，二，三，四，五，六" in text("voice", "zh-CN").body


@pytest.mark.parametrize("tag", list(tags().values()))
def test_a_call_has_no_figures(tag: str) -> None:
    """In any language; and it is one call however long it lasts."""
    said = text("voice", tag)
    assert re.findall(r"\d", said.body) == []
    assert said.segments == 1


@pytest.mark.parametrize("channel", ["rcs", "whatsapp"])
def test_rcs_and_whatsapp_have_the_whole_text(channel: str) -> None:
    """What an SMS says, and never shorter: there are no segments."""
    assert text(channel) == Text(ENGLISH, "en", "", "GSM-7", 1)
    long = text(channel, "ru", brand="Ж" * 32)
    assert (long.segments, "Действует 10 минут. Никому не сообщайте." in long.body) == (1, True)


def test_an_email_has_a_subject_without_the_code() -> None:
    """Subjects are shown and logged where bodies are not."""
    found = text("email")
    assert found.subject == "Your Acme code"
    assert found.body == f"{ENGLISH}\n\nIf you did not ask for it, ignore this message."


def test_the_last_lines_of_an_sms() -> None:
    """`@host #code` is the very last line, one space in it and nothing behind it; an app hash has the line before."""

    def ending(app_hash: str | None, origin: str | None) -> str:
        body = compose("login", "sms", "en", "US", "123456", "Acme", 10, app_hash, origin).body
        assert body.startswith(ENGLISH)
        return body.removeprefix(ENGLISH)

    assert ending(None, None) == ending("", "") == ""
    assert ending(HASH, None) == f"\n{HASH}"
    assert ending(None, HOST) == f"\n@{HOST} #123456"
    assert ending(HASH, HOST) == f"\n{HASH}\n@{HOST} #123456"


@pytest.mark.parametrize("channel", ["rcs", "voice", "whatsapp", "email"])
def test_only_an_sms_has_these_lines(channel: str) -> None:
    """Nothing reads them anywhere else."""
    body = compose("login", channel, "en", "US", "123456", "Acme", 10, HASH, HOST).body
    assert HASH not in body
    assert HOST not in body


@given(
    some.sampled_from(list(tags().values())),
    some.tuples(some.just("login"), some.text("aЖ日", min_size=1, max_size=11))
    | some.tuples(some.just("payment"), some.text("aé", min_size=1, max_size=11)),
    some.none() | some.just(HASH),
)
def test_an_app_hash_leaves_one_segment_of_140_bytes(tag: str, of: tuple[str, str], app_hash: str | None) -> None:
    """SMS Retriever takes no more than 140 bytes, which is what one segment holds in either alphabet. A payment's text
    stays one, so it needs a brand that GSM-7 can write."""
    purpose, brand = of
    found = compose(purpose, "sms", tag, "US", "12345678", brand, 10, app_hash)
    assert found.segments == 1
    bits = 7 if found.encoding == "GSM-7" else 16
    assert len(found.body) * bits <= 140 * 8
    assert found.body.endswith(app_hash or "")


def test_what_is_too_long_loses_its_life_time_first_then_the_warning() -> None:
    """And keeps the code, whatever else; each form is the longest that one segment holds."""

    def sent(host: str) -> str:
        return compose("login", "sms", "ru", "US", "123456", "Acme", 10, None, host).body.split("\n")[0]

    assert compose("login", "sms", "ru", "US", "123456", "Acme", 10).body == (
        "123456 — код Acme. Действует 10 минут. Никому не сообщайте."
    )
    assert sent("a" * 20) == "123456 — код Acme. Никому не сообщайте."
    assert sent("a" * 21) == "123456 — код Acme. Никому не сообщайте."
    assert sent("a" * 22) == "123456 — код Acme."
    assert sent("a" * 42) == "123456 — код Acme."
    assert measure(compose("login", "sms", "ru", "US", "123456", "Acme", 10, None, "a" * 42).body) == ("UCS-2", 1)
    assert measure(compose("login", "sms", "ru", "US", "123456", "Acme", 10, None, "a" * 43).body) == ("UCS-2", 2)


def test_a_brand_is_taken_as_it_is() -> None:
    """Braces in it are no placeholders."""
    assert text(brand="{code} {x}").body == ENGLISH.replace("Acme", "{code} {x}")
    assert fill("{a}{b}", a="{b}", b="{a}") == "{b}{a}"


def test_replies() -> None:
    """What who wrote STOP, START or HELP is told, in their language; no other kind has a text."""
    stop = "Acme: You will get no more codes from us by text. Reply START to get them again."
    assert reply("stop", "Acme", "en") == Text(stop, "en", "", "GSM-7", 1)
    assert reply("help", "Acme", "", "DE").body == (
        "Acme: Einmalcodes, wenn Sie sie anfordern. Antworten Sie STOP, um keine mehr zu erhalten."
    )
    with pytest.raises(KeyError):
        reply("other", "Acme", "en")


def test_notices() -> None:
    """What a person is told who asked for nothing: an SMS keeps to one segment and gives up the advice, an email has
    it apart and what happened as its subject; no other name has a text."""
    happened = "Acme: The last of your recovery codes was used."
    advice = "If this was not you, contact us at once."
    assert notice("recovery_codes_used", "sms", "Acme", "en") == Text(f"{happened} {advice}", "en", "", "GSM-7", 1)
    mail = Text(f"{happened}\n\n{advice}", "en", happened, "GSM-7", 1)
    assert notice("recovery_codes_used", "email", "Acme", "en") == mail
    assert notice("wrong_codes", "sms", "Банк", None, "RU") == Text(
        "Банк: для вашего аккаунта введено много неверных кодов.", "ru", "", "UCS-2", 1
    )
    with pytest.raises(KeyError):
        notice("other", "sms", "Acme", "en")


OWN = Own(
    templates={
        ("login", "sms", "en"): "{code} for {brand}, 000000 never",
        ("login", "", "de"): "1{code}1 {life} {brand}",
        ("payment", "voice", "en"): "{brand} says {code} and {code}",
        ("payment", "", "xx"): "{code}{code} {minutes}",
    },
    languages={"FR": "de"},
)


@given(
    some.sampled_from(["login", "payment", "signup"]),
    some.sampled_from(["sms", "rcs", "whatsapp", "voice", "email"]),
    some.sampled_from([None, "xx", *tags().values()]),
    some.sampled_from(["US", "FR", "IL", "ZZ"]),
    some.lists(some.text("0123456789", min_size=4, max_size=10), min_size=2, max_size=4),
    some.sampled_from(["Acme", "Жизнь", "000000", "1111", "Bank 24", "{code}", "شركة"]),
    some.integers(1, 120),
    some.sampled_from([None, HASH, "00000000000"]),
    some.sampled_from([None, HOST, "1.example"]),
    some.sampled_from([NONE, OWN]),
)
def test_a_text_that_is_kept_is_the_text_composed_anew(
    purpose: str,
    channel: str,
    locale: str | None,
    country: str,
    codes: list[str],
    brand: str,
    minutes: int,
    app_hash: str | None,
    origin: str | None,
    own: Own,
) -> None:
    """Whatever its code, and whatever looks like one: body, language, subject, alphabet and segments."""
    around = (brand, minutes, app_hash, origin, own)
    for code in codes:
        found = compose(purpose, channel, locale, country, code, *around)
        assert found == compose_anew(code, purpose, channel, locale, country, *around)
