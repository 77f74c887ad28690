"""What people write back: STOP, START and HELP in every shipped language."""

import pytest

from verify_service.messages.keywords import KINDS, fold, keyword, tongue
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
        ("STOP " * 50, None),
    ],
    ids=ascii,
)
def test_a_keyword_is_the_whole_text(body: str, kind: str | None) -> None:
    """Case, accents, width, spaces and punctuation do not matter; any other word does."""
    assert keyword(body) == kind


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
