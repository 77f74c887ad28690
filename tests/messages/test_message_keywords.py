"""What people write back: STOP, START and HELP in every shipped language."""

import pytest

from verify_service.messages.keywords import KINDS, fold, is_unclear, keyword, tongue
from verify_service.messages.locales import language, tags

TAGS = list(tags().values())
CARRIERS = [
    *("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"),
    *("REVOKE", "OPTOUT", "OPT-OUT", "ARRET", "REMOVE", "TD"),
]


@pytest.mark.parametrize("tag", TAGS)
def test_keywords_are_understood(tag: str) -> None:
    """Each word of each language, as it is written, in small letters, without accents, and with a full stop."""
    for kind in KINDS:
        words = getattr(language(tag).keywords, kind)
        assert words
        for word in words:
            for form in (word, word.lower(), word.title(), f" {word}. ", fold(word)):
                assert keyword(form) == kind, form


def test_no_word_means_two_things() -> None:
    """Across all languages; were there one, the safest would win: stop, then help, then start."""
    meanings: dict[str, set[str]] = {}
    for tag in TAGS:
        for kind in KINDS:
            for word in getattr(language(tag).keywords, kind):
                meanings.setdefault(fold(word), set()).add(kind)
    assert {word for word, kinds in meanings.items() if len(kinds) > 1} == set()
    assert "" not in meanings


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("STOP", "stop"),
        ("stop", "stop"),
        ("Stop!", "stop"),
        ('"STOP"', "stop"),
        ("S T O P", "stop"),
        ("ＳＴＯＰ", "stop"),
        ("stop 🙏", "stop"),
        ("STOP\nALL", "stop"),
        ("stopall", "stop"),
        ("Opt-Out", "stop"),
        ("arrêt", "stop"),
        ("ARRET", "stop"),
        ("iptal", "stop"),
        ("çık", "stop"),
        ("CIK", "stop"),
        ("الغاء", "stop"),
        ("ΔΙΑΚΟΠΉ", "stop"),
        ("unstop", "start"),
        ("Yes", "start"),
        ("info", "help"),
        ("hjälp", "help"),
        ("hjælp", "help"),
        ("помощь", "help"),
        ("", None),
        ("!?", None),
        ("please stop by at five", None),
        ("123456", None),
        ("stopper", None),
        ("HELP me please", None),
        ("Yes, thanks. I got it", None),
        ("Start. Thank you", None),
    ],
    ids=ascii,
)
def test_a_keyword_is_the_whole_text(body: str, kind: str | None) -> None:
    """Case, accents, width, spaces and punctuation do not matter; any other word does."""
    assert keyword(body) == kind


@pytest.mark.parametrize(
    "body",
    [
        "Stop. Thank you",
        "STOP STOP",
        "STOP.stop.Stop",
        "STOP " * 50,
        "stop!!! unsubscribe!!!",
        "please stop",
        "Stop, please!",
        "pls STOP ALL, thx",
        "Hello! Stop please. I have another number now",
        "STOP\n\nAnn Walker\nAcme Ltd, 12 High Street",
        "STOP\r\n--\r\nSent from my phone",
        "STOP.\nReply STOP to end",
        "S.T.O.P!",
        "Stop. " + "x" * 3_000,
        "Arrêtez, s'il vous plaît. Merci",
        "Bitte abbestellen",
        "por favor, PARE",
        "СТОП, пожалуйста",
        "停止してください",
        "请停止。谢谢",
        "그만해 주세요",
        "กรุณาหยุดด้วยค่ะ",
        "कृपया बंद करें। धन्यवाद",
        "لطفا لغو",
        "Vui lòng dừng",
    ],
    ids=ascii,
)
def test_a_stop_may_be_polite_repeated_and_signed(body: str) -> None:
    """Its first sentence or line is keywords and words of courtesy alone; what comes after it may say anything."""
    assert keyword(body) == "stop"
    assert not is_unclear(body)


@pytest.mark.parametrize(
    "body",
    [
        "don't stop",
        "Don\u2019t. Stop.",
        "nonstop",
        "never stop!",
        "please stop by at five",
        "STOP it now please",
        "I said thanks, then they STOP",
        "Ann Walker\nSTOP",
        "a dead end",
        "bitte nicht stoppen",
        "ne pas arreter",
        "停止しないでください",
        "不要取消",
        "не отписка",
        "Liked \u201cReply STOP for no more\u201d",
    ],
    ids=ascii,
)
def test_a_sentence_that_holds_a_stop_is_none_and_unclear(body: str) -> None:
    """It opts nobody out, and is not passed over."""
    assert keyword(body) is None
    assert is_unclear(body)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "492816",
        "see you at five",
        "thank you",
        "sending",
        "weekend",
        "it was cancelled",
        "quite",
        "prepare",
        "trabajar",
        "стопка",
        "HELP",
        "yes",
        "\u0000" * 700,
        "é" * 700,
    ],
)
def test_other_texts_are_not_unclear(body: str) -> None:
    """Neither is a short word within another."""
    assert not is_unclear(body)


@pytest.mark.parametrize("tag", TAGS)
def test_each_language_has_its_courtesy(tag: str) -> None:
    """Beside each word that stops, before it and after; and no such word is a keyword."""
    words = language(tag).keywords
    for polite in words.polite:
        assert keyword(polite) is None
        for stop in words.stop:
            assert (keyword(f"{polite} {stop}"), keyword(f"{stop}, {polite}!")) == ("stop", "stop")


@pytest.mark.parametrize("word", CARRIERS)
def test_the_carriers_words_stop(word: str) -> None:
    """CTIA's, the FCC's and those that vendors take."""
    assert keyword(word) == "stop"


@pytest.mark.parametrize(
    ("body", "country", "tag"),
    [
        ("STOP", "CA", ""),
        ("STOP", "FR", ""),
        ("Arrêt", "CA", "fr"),
        ("AIDE", "US", "fr"),
        ("Arret", "FR", ""),
        ("BAJA", "US", "es"),
        ("Baja, por favor. Gracias", "US", "es"),
        ("PARAR", "ES", ""),
        ("PARAR", "BR", ""),
        ("PARAR", "US", "es"),
        ("停止", "JP", ""),
        ("退訂", "US", "zh-Hant"),
        ("see you at five", "FR", ""),
    ],
)
def test_a_word_of_another_language_is_answered_in_it(body: str, country: str, tag: str) -> None:
    """ARRET from Canada in French; STOP is everybody's word, so it is answered as the country reads."""
    assert tongue(body, country) == tag
