"""The operator's own texts: where they are taken, and what is refused at start, with the key and the fix."""

from pathlib import Path

import pytest

from verify_service import config
from verify_service.errors import ConfigError
from verify_service.messages import Own, compose, notice, reply

FAKE = '[providers.fake-a]\nkind = "fake"\n'
OWN = """
[templates.login]
en = "{code} opens your {brand} door for {life}."
pt = "{code} abre a porta por {minutes} min."
sl = "{code} je koda {brand}."
[templates.login.voice]
en = "Your number is {code}."
[templates.wire]
en = "{code} moves money at {brand}."
[replies.help]
en = "{brand}: help is at the desk. STOP ends it."
[languages]
IN = "en"
SI = "sl"
"""


def load(folder: Path, text: str) -> Own:
    file = folder / "verify.toml"
    file.write_text(text + FAKE)
    return config.load(file, None).own


def body(own: Own, locale: str | None, country: str = "US", purpose: str = "login", channel: str = "sms") -> str:
    return compose(purpose, channel, locale, country, "123456", "Acme", 10, own=own).body


def test_the_operators_text_comes_before_the_shipped_one(tmp_path: Path) -> None:
    """In its language, for its purpose; a person of another language reads the shipped text in theirs."""
    own = load(tmp_path, OWN)
    assert body(own, "en-GB") == "123456 opens your Acme door for 10 minutes."
    assert body(own, "pt-BR") == "123456 abre a porta por 10 min."
    assert body(own, "en", purpose="wire") == "123456 moves money at Acme."
    assert body(own, "en", purpose="signup").startswith("123456 is your Acme code.")
    assert body(own, "de").startswith("123456 ist Ihr Acme-Code.")
    assert body(own, "de", purpose="wire").startswith("123456 ist Ihr Acme-Code.")


def test_a_language_of_the_operators_own(tmp_path: Path) -> None:
    """One that is not shipped; its tag travels with the text."""
    own = load(tmp_path, OWN)
    assert compose("login", "sms", "sl-SI", "US", "123456", "Acme", 10, own=own)[:2] == ("123456 je koda Acme.", "sl")
    assert body(own, "sl", channel="voice") == "1, 2, 3, 4, 5, 6 je koda Acme. Once more: 1, 2, 3, 4, 5, 6."


def test_a_channels_own_text(tmp_path: Path) -> None:
    """Taken for that channel; the others have the general one, which a call says once more."""
    own = load(tmp_path, OWN)
    assert body(own, "en", channel="voice") == "Your number is one, two, three, four, five, six."
    assert body(own, "en", channel="whatsapp") == "123456 opens your Acme door for 10 minutes."
    assert body(own, "en", "US", "wire", "voice").startswith(
        "one, two, three, four, five, six moves money at Acme. Once"
    )


def test_a_countrys_language_can_be_set(tmp_path: Path) -> None:
    """For one country, or by * for all; a locale that is sent is still the person's."""
    own = load(tmp_path, OWN)
    assert body(own, None, "IN") == "123456 opens your Acme door for 10 minutes."
    assert body(own, "hi", "IN").startswith("123456 आपका")
    assert body(own, None, "SI") == "123456 je koda Acme."
    every = load(tmp_path, '[languages]\n"*" = "fr"\nDE = "de"\n')
    assert body(every, None, "JP").startswith("123456 est votre code")
    assert body(every, None, "DE").startswith("123456 ist Ihr")


def test_the_operators_reply(tmp_path: Path) -> None:
    """Carriers ask for a way to get help in it, which only the operator knows."""
    own = load(tmp_path, OWN)
    assert reply("help", "Acme", "en", own=own).body == "Acme: help is at the desk. STOP ends it."
    assert reply("help", "Acme", "de", own=own).body.startswith("Acme: Einmalcodes")


def test_the_operators_notice(tmp_path: Path) -> None:
    """In its language and, where it is written so, for email alone; it is sent as it is, and what happened is the
    subject all the same."""
    own = load(
        tmp_path,
        """
[notices.factor_added]
en = "{brand}: a new app signs in for you. Call 800 555 0100."
[notices.factor_added.email]
en = "{brand} says: a new app."
""",
    )
    said = "Acme: a new app signs in for you. Call 800 555 0100."
    assert notice("factor_added", "sms", "Acme", "en", own=own).body == said
    mail = notice("factor_added", "email", "Acme", "en", own=own)
    assert mail[:3] == ("Acme says: a new app.", "en", "Acme: A new way to sign in was added to your account.")
    assert notice("factor_added", "sms", "Acme", "de", own=own).body.startswith("Acme: Ihrem Konto")
    assert notice("wrong_codes", "sms", "Acme", "en", own=own).body.startswith("Acme: Many wrong codes")


def test_an_own_text_is_sent_as_it_is_whatever_it_takes(tmp_path: Path) -> None:
    """It may be registered word by word; `messages lint` says how long a host may be."""
    own = load(tmp_path, '[templates.login]\nen = "{code} is your {brand} code. Keep it safe and tell it to nobody."\n')
    found = compose("login", "sms", "en", "US", "123456", "Acme", 10, None, "a" * 120 + ".example", own)
    assert (found.segments, found.body.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('en = "Your {brand} code"', "templates.login.en: needs {code} once, where the code is to stand"),
        ('en = "{code} {code}"', "templates.login.en: needs {code} once, where the code is to stand"),
        (
            'en = "{code} for {name}"',
            "templates.login.en: there is no {name}; write {code}, {brand}, {minutes}, {life}",
        ),
        (
            'en = "{code} is {CODE}"',
            "templates.login.en: has a brace that belongs to no placeholder; there are {code}, {brand}, {minutes}, "
            "{life}",
        ),
        ('sl = "{code} velja {life}"', 'templates.login.sl: {life} is not known in "sl"; write {minutes} and the word'),
        ('en = "A{code}"', "templates.login.en: {code} touches 'A', so phones do not find the code; put a space"),
        ('en = "G-{code} is it"', "templates.login.en: {code} touches '-'"),
        ('en = "No. 1{code}"', "templates.login.en: {code} touches '1'"),
        ('en = "{brand}{code}"', "templates.login.en: {code} touches '}'"),
        ('en = "{code}{minutes}"', "templates.login.en: {code} touches '{'"),
        ('en = "{code}.5 is it"', "templates.login.en: {code} touches '.5'"),
        ('en = "#{code}"', "templates.login.en: {code} touches '#'"),
        ('en = "{code}\\t!"', "templates.login.en: has a control character"),
        ('en = "{code} or call 0800 1234"', "templates.login.en: has another number of four digits or more"),
        ('en = "{code}: https://acme.example/in"', "templates.login.en: has a link (https://acme.example/in)"),
        ('en = "{code}: www.acme"', "templates.login.en: has a link (www.acme)"),
        ('en = "{code}: bit.ly/3abc"', "templates.login.en: has a link (bit.ly/3abc)"),
        ('en = "{code}: {brand}.com"', "templates.login.en: has a link (B.com)"),
        ('fax = { en = "{code}" }', "templates.login.fax: a table here is `rcs`, `voice`, `whatsapp` or `email`"),
        ('english = "{code}"', "templates.login.english: is not a language tag, such as en or pt-BR"),
    ],
)
def test_a_template_that_would_not_work_stops_the_start(tmp_path: Path, toml: str, said: str) -> None:
    """One line that names the key, what is wrong, and the fix."""
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, f"[templates.login]\n{toml}\n")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "template",
    [
        "{code} is it.",
        "It is {code}.",
        "{brand}: {code}, for {minutes} min",
        "({code})",
        "您的验证码是{code}，请勿告知他人",
        "รหัสคือ {code}",
        "{brand}\\n{code}",
        "{code}\\u200c است",
        "Im Notfall 112, sonst: {code}. Z. B.",
    ],
)
def test_what_may_stand_beside_a_code(tmp_path: Path, template: str) -> None:
    """Spaces, signs, line feeds, and letters of scripts that have no spaces."""
    own = load(tmp_path, f'[templates.login]\nen = "{template}"\n')
    assert "123456" in body(own, "en")


def test_a_template_of_two_segments_is_refused(tmp_path: Path) -> None:
    """Judged with the longest brand, an 8-digit code and ten minutes: 160 septets pass, one more does not."""
    tenants = f'[tenants.a]\nbrand = "{"B" * 32}"\n[tenants.b]\nbrand = "B"\n'
    text = f'{tenants}[templates.login]\nen = "{{code}} {{brand}} {"x" * 118}"\n'
    load(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, text.replace("xx", "xxx", 1))
    assert str(refused.value) == (
        f'templates.login.en: takes 2 segments with the brand "{"B" * 32}", each billed: 161 of 160 GSM-7 units; '
        "shorten it by 1"
    )
    with pytest.raises(ConfigError, match="71 of 70 UCS-2 units; shorten it by 1"):
        load(tmp_path, text.replace("x" * 118, "ё" * 29))


def test_a_call_may_say_the_code_as_often_as_it_likes(tmp_path: Path) -> None:
    """Nothing looks for a code in what is spoken."""
    own = load(tmp_path, '[templates.login.voice]\nen = "Hello! {code}. Again: {code}. Call 0800 1234."\n')
    assert body(own, "en", channel="voice").count("one, two, three, four, five, six") == 2


def test_a_reply_may_have_a_link_and_a_number(tmp_path: Path) -> None:
    """Carriers want a way to get help in it, and it has no code to be mistaken for."""
    own = load(tmp_path, '[replies.help]\nen = "{brand}: acme.example/help or 800 555 0100"\n')
    assert reply("help", "Acme", "en", own=own).body == "Acme: acme.example/help or 800 555 0100"


def test_other_channels_may_be_longer(tmp_path: Path) -> None:
    """Nobody counts the segments of a call or an email."""
    own = load(tmp_path, f'[templates.login.email]\nen = "{{code}} {"word " * 100}"\n')
    assert len(body(own, "en", channel="email")) > 500


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ('[replies.stop]\nen = "{code}"', "replies.stop.en: there is no {code}; write {brand}"),
        (f'[replies.stop]\nen = "{"x" * 161}"', "replies.stop.en: takes 2 segments"),
        ('[notices.wrong_codes]\nen = "{code}"', "notices.wrong_codes.en: there is no {code}; write {brand}"),
        (f'[notices.wrong_codes]\nen = "{"x" * 161}"', "notices.wrong_codes.en: takes 2 segments"),
        (
            '[notices.wrong_codes]\nen = "see acme.example/in"',
            "notices.wrong_codes.en: has a link (acme.example/in); a person who is warned must not be asked to follow",
        ),
        ('[notices.wrong_codes.voice]\nen = "x"', "notices.wrong_codes.voice: a table here is `email`"),
        ('[notices.pause]\nen = "x"', "Invalid enum value 'pause'"),
        ('[replies.pause]\nen = "x"', "Invalid enum value 'pause'"),
        ('[languages]\nSI = "sl"', 'languages.SI: "sl" is not shipped, and no template is written in it'),
        ('[languages]\nGermany = "de"', "matching regex"),
    ],
)
def test_replies_and_languages_are_judged_too(tmp_path: Path, toml: str, said: str) -> None:
    """One line that names the key."""
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, f"{toml}\n")
    assert said in str(refused.value)
